//! Keys that are right by themselves, and wrong together.

use super::*;

const LOOPBACK: &str = "must be a loopback address: until TLS exists, everything sent to another one could be \
                        read and changed on its way; where the network is trusted, set transport.insecure = true";

#[test]
fn plaintext_stays_on_loopback_unless_it_is_allowed() {
    let more = r#"
        agent.listen = "0.0.0.0:7400"
        agent.advertise = "10.0.0.1:7400"
        inventory.hosts = [{ host = "h1", address = "10.0.0.1:7400" }, { host = "h2", address = "10.0.0.2:7400" }]
        service.web.balancer.url = "http://10.0.0.9:7500"
        [service.job]
        port = 9
        balancer = { kind = "local", url = "http://balancer.example:80" }
    "#;
    let keys = [
        "agent.listen",
        "agent.advertise",
        "inventory.hosts[0].address",
        "inventory.hosts[1].address",
        "service.web.balancer.url",
    ];
    let problems = read(&[("10.toml", EXAMPLE), ("20.toml", more)]).unwrap_err();
    for key in keys {
        let expected = format!("20.toml: {key}: {LOOPBACK}");
        assert!(problems.iter().any(|found| found.to_string() == expected), "{expected}\nin {problems:#?}");
    }
    assert_eq!(problems.len(), keys.len() + 1, "{problems:#?}");
    assert_eq!(problems[4].key, "service.job.balancer.url");
    assert!(problems[4].text.contains("what a name stands for"), "{}", problems[4]);

    let insecure = format!("transport.insecure = true\n{more}");
    let settings = read(&[("10.toml", EXAMPLE), ("20.toml", &insecure)]).expect("it is allowed");
    assert!(settings.transport.insecure);
    let web = &settings.services[&"web".parse().unwrap()];
    assert_eq!(web.address, address("10.0.0.1:8080"), "an unspecified address is no service's");
}

#[test]
fn an_address_that_nobody_can_reach_is_not_advertised() {
    check(
        r#"
        transport.insecure = true
        agent.listen = "0.0.0.0:7400"
        inventory.hosts = [{ host = "h1", address = "0.0.0.0:7400" }]
        cluster.bootstrap_expect = 1
        "#,
        "20.toml: agent.listen: is no address that other hosts can reach: set agent.advertise to one
         20.toml: inventory.hosts[0].address: is no address that other hosts can reach",
    );
}

#[test]
fn every_host_and_address_is_listed_once_and_this_host_as_it_is() {
    check(
        r#"
        inventory.hosts = [
            { host = "h1", address = "127.0.0.9:7400", zone = "b" },
            { host = "h2", address = "127.0.0.2:7400" },
            { host = "h2", address = "127.0.0.3:7400" },
            { host = "h3", address = "127.0.0.2:7400", port = 1 },
            { address = "127.0.0.4:7400" },
            { host = "h5" },
            "h6",
        ]
        "#,
        r#"
        20.toml: inventory.hosts[6]: must be a table, not text
        20.toml: inventory.hosts[3].port: unknown key; known here: host, address, zone
        20.toml: inventory.hosts[0].address: must be 127.0.0.1:7400, as this is the host itself, and advertises that
        20.toml: inventory.hosts[0].zone: must be "a", as this is the host itself, and agent.zone says that
        20.toml: inventory.hosts[2].host: h2 is taken already, by inventory.hosts[1].host
        20.toml: inventory.hosts[3].address: 127.0.0.2:7400 is taken already, by inventory.hosts[1].address
        20.toml: inventory.hosts[4].host: is required
        20.toml: inventory.hosts[5].address: is required
        "#,
    );
}

#[test]
fn this_host_must_be_listed_and_an_own_entry_twice_is_one_too_many() {
    check("agent.host = \"h9\"", "10.toml: inventory.hosts: must list this host, h9 at 127.0.0.1:7400");
    check(
        "inventory.hosts = []\ncluster.bootstrap_expect = 1",
        "20.toml: inventory.hosts: must list this host, h1 at 127.0.0.1:7400
         20.toml: cluster.bootstrap_expect: must be 1 to 0: inventory.hosts lists no more, so no cluster would form",
    );
    check(
        r#"inventory.hosts = [{ host = "h1", address = "127.0.0.1:7400" }, { host = "h1", address = "127.0.0.1:7400" }]"#,
        "20.toml: inventory.hosts[1].address: 127.0.0.1:7400 is taken already, by inventory.hosts[0].address
         20.toml: inventory.hosts[1].host: h1 is taken already, by inventory.hosts[0].host",
    );
}

#[test]
fn a_cluster_that_could_not_form_is_a_problem() {
    check(
        "cluster.bootstrap_expect = 3",
        "20.toml: cluster.bootstrap_expect: must be 1 to 2: inventory.hosts lists no more, so no cluster would form",
    );
}

#[test]
fn timers_are_checked_against_each_other() {
    check("timers.heartbeat = \"500ms\"", "");
    check(
        "timers.heartbeat = \"501ms\"",
        "20.toml: timers.heartbeat: election_min (1s) must be at least twice heartbeat (501ms)",
    );
    check(
        "timers.election_min = \"2s\"",
        "20.toml: timers.election_min: election_max (2s) must be above election_min (2s)",
    );
    check(
        "timers = { election_min = \"3s\", election_max = \"1s\", heartbeat = \"2s\" }",
        "20.toml: timers.election_min: election_min (3s) must be at least twice heartbeat (2s)
         20.toml: timers.election_max: election_max (1s) must be above election_min (3s)",
    );
    check(
        "timers.silent_after = \"2s\"",
        "20.toml: timers.silent_after: silent_after (2s) must be more than twice sighting (1s)",
    );
    check("timers.silent_after = \"2001ms\"", "");
}

#[test]
fn a_port_belongs_to_one_service() {
    check(
        "[service.job]\nport = 8080\n[service.other]\nport = 7400\n[service.else]\nport = 7400\naddress = \"127.0.0.7\"",
        "20.toml: service.other.port: 7400 is taken already, by service.else.port
         20.toml: service.other.port: 7400 is taken already, by agent.listen
         10.toml: service.web.port: 8080 is taken already, by service.job.port",
    );
}

#[test]
fn so_does_each_port_of_an_instance() {
    check("service.web.instances = 3\n[service.job]\nport = 8083\n", "");
    check(
        r#"
        agent.listen = "127.0.0.1:8091"
        inventory.hosts = [{ host = "h1", address = "127.0.0.1:8091" }]
        cluster.bootstrap_expect = 1
        service.web.instances = 3
        [service.more]
        port = 8082
        instances = 9
        [service.most]
        port = 65500
        instances = 37
        [service.elsewhere]
        port = 8090
        instances = 2
        address = "127.0.0.7"
        [service.none]
        port = 1
        instances = 0
        "#,
        r#"
        20.toml: service.none.instances: must be 1 to 64
        20.toml: service.more.instances: instance 8 would listen on port 8090, which is taken already, by service.elsewhere.port
        20.toml: service.most.instances: the last of 37 would listen on port 65536, and there is none above 65535
        "#,
    );
    check(
        "service.job.port = 7399\nservice.job.instances = 2\nservice.last.port = 8079\nservice.last.instances = 2",
        "20.toml: service.job.instances: instance 1 would listen on port 7400, which is taken already, by agent.listen
         10.toml: service.web.port: 8080 is taken already, by service.last.port",
    );
}

#[test]
fn services_wait_for_others_of_their_host_and_not_in_a_circle() {
    let more = "service.web.after = [\"db\", \"cache\"]\nservice.web.after_limit = \"5s\"\n\
                [service.db]\nport = 1\nafter = [\"cache\"]\n[service.cache]\nport = 2\n";
    let settings = read(&[("10.toml", EXAMPLE), ("20.toml", more)]).expect("that is an order");
    let service = |name: &str| &settings.services[&name.parse().unwrap()];
    assert_eq!(service("web").after, ["cache", "db"].map(|name| name.parse().unwrap()).into());
    let limits = (service("web").after_limit, service("db").after_limit);
    assert_eq!(limits, (Duration::from_secs(5), Duration::from_secs(60)));
    check(
        "service.web.after = [\"dp\"]",
        "20.toml: service.web.after: dp is no service of this host; it is the only one",
    );
    check(
        r#"
        service.web.after = ["b"]
        [service.a]
        port = 1
        after = ["a", "web", "x"]
        [service.b]
        port = 2
        after = ["c", "a"]
        [service.c]
        port = 3
        after = ["b"]
        [service.d]
        port = 4
        after = "web"
        [service.e]
        port = 5
        after = ["no name", "web"]
        [service.f]
        port = 6
        after = ["web", "web"]
        after_limit = "2h"
        "#,
        r#"
        20.toml: service.d.after: must be a list of services, such as ["db-proxy"], not text
        20.toml: service.e.after: "no name": may hold only letters, digits, `-`, `_` and `.`
        20.toml: service.f.after: names web twice
        20.toml: service.f.after_limit: must be 0s to 1h
        20.toml: service.a.after: names the service itself
        20.toml: service.a.after: x is no service of this host; the others are: b, c, d, e, f, web
        20.toml: service.a.after: goes in a circle: a after web after b after a
        20.toml: service.b.after: goes in a circle: b after c after b
        "#,
    );
}

#[test]
fn what_a_service_says_is_checked() {
    check(
        r#"
        [service."bad name"]
        port = 1
        [service.a]
        port = 65536
        address = "0.0.0.0"
        log_limit_bytes = 1000
        [service.a.environment]
        PORT = "80"
        DEPLOYINATOR_HOST = "h2"
        "A-B" = "x"
        1ST = "x"
        ZERO = "a\u0000b"
        COUNT = 5
        TABLE = {}
        [service.a.balancer]
        kind = "alb"
        url = "https://127.0.0.1:1"
        group = "a b"
        "#,
        r#"
        20.toml: service.a.port: must be 1 to 65535
        20.toml: service.a.address: must be an address that requests can be sent to
        20.toml: service.a.balancer.kind: must be "local" or "aws"
        20.toml: service.a.balancer.url: must be http://HOST:PORT, with nothing after it
        20.toml: service.a.balancer.group: may hold only letters, digits, `-`, `_` and `.`
        20.toml: service.a.environment.COUNT: must be text in quotes, not a whole number
        20.toml: service.a.environment.TABLE: must be text in quotes, not a table
        20.toml: service.a.environment.1ST: a variable's name may hold only letters, digits and `_`, and starts with no digit
        20.toml: service.a.environment.A-B: a variable's name may hold only letters, digits and `_`, and starts with no digit
        20.toml: service.a.environment.DEPLOYINATOR_HOST: is set by Deployinator itself
        20.toml: service.a.environment.PORT: is set by Deployinator itself
        20.toml: service.a.environment.ZERO: must not hold a zero byte
        20.toml: service.a.log_limit_bytes: must be 65536 to 17179869184
        20.toml: service."bad name": the service's name may hold only letters, digits, `-`, `_` and `.`
        "#,
    );
}

#[test]
fn what_a_probe_says_is_checked() {
    check(
        r#"
        [service.a]
        port = 1
        probe = { kind = "http", path = "healthz", status = 99, timeout = "0s", headers = { "a b" = "x", Connection = "close", host = "x", Host = "y", Line = "a\nb" } }
        [service.b]
        port = 2
        probe = { kind = "tcp", path = "/", status = 200, headers = { Host = "x" } }
        [service.c]
        port = 3
        probe = { kind = "exec" }
        [service.d]
        port = 4
        probe = "http"
        [service.e]
        port = 5
        probe = { kind = "grpc", path = "/", service = "a b", headers = { Host = "x" } }
        [service.f]
        port = 6
        probe = { kind = "command", service = "x" }
        [service.g]
        port = 7
        probe = { kind = "command", command = [], status = 200 }
        [service.h]
        port = 8
        probe = { kind = "command", command = "/bin/check --deep" }
        [service.i]
        port = 9
        probe = { kind = "command", command = ["/bin/check", 1] }
        [service.j]
        port = 10
        probe = { kind = "http", command = ["/bin/check"] }
        "#,
        r#"
        20.toml: service.a.probe.timeout: must be 10ms to 1m
        20.toml: service.a.probe.path: must start with `/` and hold no spaces, no `#` and nothing outside ASCII
        20.toml: service.a.probe.status: must be 200 to 599
        20.toml: service.a.probe.headers.Connection: is set by the probe itself
        20.toml: service.a.probe.headers.Line: must hold only printable ASCII
        20.toml: service.a.probe.headers."a b": is no name of a header
        20.toml: service.a.probe.headers.host: is given twice, in capitals and in small letters
        20.toml: service.b.probe.path: is for kind = "http" only
        20.toml: service.b.probe.status: is for kind = "http" only
        20.toml: service.b.probe: headers, such as "Host": is for kind = "http" only
        20.toml: service.c.probe.kind: must be "http" or "tcp" or "grpc" or "command"
        20.toml: service.d.probe: must be a table, not text
        20.toml: service.e.probe.service: must hold no spaces and nothing outside ASCII
        20.toml: service.e.probe.path: is for kind = "http" only
        20.toml: service.e.probe: headers, such as "Host": is for kind = "http" only
        20.toml: service.f.probe.service: is for kind = "grpc" only
        20.toml: service.g.probe.command: must be a list of texts, the program first, such as ["/usr/bin/check", "--deep"]
        20.toml: service.g.probe.status: is for kind = "http" only
        20.toml: service.h.probe.command: must be a list of texts, the program first, such as ["/usr/bin/check", "--deep"], not text
        20.toml: service.i.probe.command: must be a list of texts, the program first, such as ["/usr/bin/check", "--deep"]
        20.toml: service.j.probe.command: is for kind = "command" only
        20.toml: service.f.probe.command: is required
        "#,
    );
}

#[test]
fn a_balancers_address_is_taken_in_every_usual_form() {
    for url in ["http://127.0.0.1:80", "http://[::1]:80/", "http://localhost:80"] {
        check(&format!("service.web.balancer.url = {url:?}"), "");
    }
    for url in
        ["http://127.0.0.1", "127.0.0.1:80", "http://:80", "http://a:0", "http://a:80/x", "http://a:99999"]
    {
        check(
            &format!("service.web.balancer.url = {url:?}"),
            "20.toml: service.web.balancer.url: must be http://HOST:PORT, with nothing after it",
        );
    }
}

#[test]
fn what_only_nix_knows_is_only_for_nix() {
    check(
        r#"
        [store]
        kind = "directory"
        substituters = ["file:///cache"]
        nix_bin = "/run/current-system/sw/bin"
        "#,
        r#"
        20.toml: store.substituters: is only for store.kind = "nix"
        20.toml: store.nix_bin: is only for store.kind = "nix"
        "#,
    );
    check(
        r#"
        [store]
        kind = "nix"
        substituters = []
        trusted_public_keys = ["cache-1:short", "x"]
        nix_bin = "bin"
        store_dir = "nix/store"
        "#,
        r#"
        20.toml: store.substituters: must list one cache or more; leave it out to ask those that Nix itself is configured for
        20.toml: store.trusted_public_keys: "cache-1:short" is no public key, such as "cache-1:" and 44 letters of base64
        20.toml: store.nix_bin: must be an absolute path
        20.toml: store.store_dir: must be an absolute path
        "#,
    );
}

#[test]
fn a_store_of_nix_is_read() {
    let text = r#"
        [store]
        kind = "nix"
        keep_releases = 3
        substituters = ["https://one", "s3://two?region=x"]
        trusted_public_keys = ["cache-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]
    "#;
    let settings = read(&[("10.toml", EXAMPLE), ("20.toml", text)]).unwrap();
    let Store::Nix(store) = settings.store else { panic!("{:?}", settings.store) };
    assert_eq!((store.keep_releases, store.store_dir.to_str()), (3, Some("/nix/store")));
    assert_eq!(store.substituters.unwrap(), ["https://one", "s3://two?region=x"]);
    assert_eq!((store.trusted_public_keys.map(|keys| keys.len()), store.nix_bin), (Some(1), None));
}
