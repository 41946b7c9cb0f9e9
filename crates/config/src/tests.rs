use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use ports::{
    Listed, ListedState, ProbeSpec,
    supervisor::{EnvironmentFile, Limits, StopSignal},
};

use super::*;

fn read(texts: &[(&str, &str)]) -> Result<Settings, Vec<Problem>> {
    let sources: Vec<_> = texts.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    parse("/etc/d", &sources)
}

/// What is wrong with the example once `more` is merged into it.
fn check(more: &str, expected: &str) {
    let problems = read(&[("10.toml", EXAMPLE), ("20.toml", more)]).err().unwrap_or_default();
    let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(found, expected, "after merging:\n{more}");
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("the test's own address")
}

#[test]
fn the_example_means_what_it_says() {
    let settings = read(&[("10.toml", EXAMPLE)]).expect("the example is right");
    let listed = |host: &str, at: &str, zone: &str, launched| Listed {
        host: host.parse().unwrap(),
        address: address(at),
        zone: Some(zone.into()),
        launched,
        state: ListedState::Present,
    };
    let service = Service {
        address: address("127.0.0.1:8080"),
        instances: 1,
        after: BTreeSet::new(),
        after_limit: Duration::from_secs(60),
        probe: Some(ProbeSpec::Http {
            path: "/healthz".into(),
            status: 200,
            headers: BTreeMap::from([("Host".into(), "www.example.org".into())]),
            timeout: Duration::from_secs(2),
        }),
        readiness: ports::supervisor::Readiness::Up,
        programs: Programs::default(),
        balancer: Some(Balancer::Local { url: "http://127.0.0.1:7500".into(), group: "web".into() }),
        channel: None,
        environment: BTreeMap::from([("DATABASE_URL".into(), "postgres:///shop".into())]),
        log_limit_bytes: 16 * 1024 * 1024,
    };
    let expected = Settings {
        agent: Agent {
            host: "h1".parse().unwrap(),
            state_dir: Path::new("/var/lib/deployinator").into(),
            listen: address("127.0.0.1:7400"),
            advertise: address("127.0.0.1:7400"),
            zone: Some("a".into()),
            log: "info".into(),
            log_format: LogFormat::Text,
        },
        cluster: Cluster { name: "demo".parse().unwrap(), bootstrap_expect: 2 },
        transport: Transport { insecure: false },
        inventory: Inventory::Static {
            hosts: vec![listed("h1", "127.0.0.1:7400", "a", 0), listed("h2", "127.0.0.2:7400", "b", 1)],
        },
        store: Store::Directory { keep_releases: 5 },
        timers: DEFAULTS.timers,
        services: BTreeMap::from([("web".parse().unwrap(), service)]),
    };
    assert_eq!(settings, expected);
}

#[test]
fn without_probe_and_balancer_a_service_is_headless() {
    let settings = read(&[("10.toml", EXAMPLE), ("20.toml", "[service.job]\nport = 9\n")]).unwrap();
    let job = &settings.services[&"job".parse().unwrap()];
    assert_eq!((&job.probe, &job.balancer), (&None, &None));
}

#[test]
fn a_tcp_probe_needs_nothing_else() {
    let more = "[service.job]\nport = 9\nprobe = { kind = \"tcp\" }\n";
    let settings = read(&[("10.toml", EXAMPLE), ("20.toml", more)]).unwrap();
    let probe = settings.services[&"job".parse().unwrap()].probe.clone();
    assert_eq!(probe, Some(ProbeSpec::Tcp { timeout: Duration::from_secs(2) }));
}

#[test]
fn grpc_and_command_probes_say_what_they_ask() {
    let more = r#"
        [service.a]
        port = 9
        probe = { kind = "grpc" }
        [service.b]
        port = 10
        probe = { kind = "grpc", service = "shop.v1.Cart", timeout = "1s" }
        [service.c]
        port = 11
        probe = { kind = "command", command = ["/usr/bin/check", "--deep", "a b"] }
    "#;
    let settings = read(&[("10.toml", EXAMPLE), ("20.toml", more)]).unwrap();
    let probe = |name: &str| settings.services[&name.parse().unwrap()].probe.clone();
    let (second, two) = (Duration::from_secs(1), Duration::from_secs(2));
    assert_eq!(probe("a"), Some(ProbeSpec::Grpc { service: None, timeout: two }));
    assert_eq!(probe("b"), Some(ProbeSpec::Grpc { service: Some("shop.v1.Cart".into()), timeout: second }));
    let argv = ["/usr/bin/check", "--deep", "a b"].map(str::to_owned).to_vec();
    assert_eq!(probe("c"), Some(ProbeSpec::Command { argv, timeout: two }));
}

#[test]
fn later_files_win_key_by_key_and_lists_as_a_whole() {
    let more = "service.web.port = 81\n\
                inventory.hosts = [{ host = \"h1\", address = \"127.0.0.1:7400\" }]\n\
                cluster.bootstrap_expect = 1\n";
    let settings = read(&[("10.toml", EXAMPLE), ("20.toml", more)]).expect("both together are right");
    let web = &settings.services[&"web".parse().unwrap()];
    assert_eq!(web.address, address("127.0.0.1:81"));
    assert!(web.balancer.is_some(), "what the later file does not say stays");
    let Inventory::Static { hosts } = &settings.inventory else { panic!("{settings:?}") };
    assert_eq!(hosts.len(), 1);
}

#[test]
fn the_zone_is_the_inventorys_where_the_agent_says_none() {
    let text = EXAMPLE.replacen("zone = \"a\"\n", "", 1);
    assert_eq!(read(&[("10.toml", &text)]).unwrap().agent.zone.as_deref(), Some("a"));
}

#[test]
fn all_that_is_missing_is_named_at_once() {
    let problems = read(&[("10.toml", "[service.web]\nprobe = {}\nbalancer = {}\n")]).unwrap_err();
    let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        "/etc/d: agent.host: is required",
        "/etc/d: agent.listen: is required",
        "/etc/d: inventory.kind: is required",
        "/etc/d: inventory.hosts: is required",
        "/etc/d: cluster.name: is required",
        "/etc/d: store.kind: is required",
        "10.toml: service.web.port: is required",
        "10.toml: service.web.probe.kind: is required",
        "10.toml: service.web.balancer.kind: is required",
        "10.toml: service.web.balancer.url: is required",
    ];
    assert_eq!(found, expected);
}

#[test]
fn text_that_is_no_toml_is_named_with_its_line_beside_the_problems_of_other_files() {
    let problems = read(&[
        ("10.toml", "[agent]\nhost = h1\nlisten = \"127.0.0.1:1\"\n"),
        ("15.toml", "[agent]\nlog = \"info\"\nlog = \"debug\"\n"),
        ("20.toml", "[service.web]\nport = 0\n[transport]\ncolour = 1\n"),
    ])
    .unwrap_err();
    let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(found[0].starts_with("10.toml:2: "), "{found:#?}");
    assert!(found[1].starts_with("15.toml:3: duplicate key"), "{found:#?}");
    let rest = [
        "20.toml: transport.colour: unknown key; known here: insecure",
        "20.toml: service.web.port: must be 1 to 65535",
    ];
    assert_eq!(found[2..], rest, "what the broken files might say is not called missing");
}

#[test]
fn a_number_that_is_too_large_for_toml_is_a_problem_of_its_line() {
    let problems = read(&[("10.toml", "[service.web]\nport = 99999999999999999999999\n")]).unwrap_err();
    assert_eq!((problems.len(), problems[0].line), (1, Some(2)), "{problems:?}");
}

#[test]
fn values_are_checked_by_themselves() {
    check(
        r#"
        [agent]
        host = "no spaces"
        state_dir = "state"
        listen = "localhost:7400"
        advertise = "127.0.0.1:0"
        zone = ""
        log = " "
        log_format = 1
        [cluster]
        name = ""
        bootstrap_expect = 0
        [transport]
        insecure = "yes"
        [inventory]
        kind = "consul"
        hosts = "h1"
        [store]
        kind = "s3"
        keep_releases = 1
        [timers]
        heartbeat = "0s"
        sighting = 5
        "#,
        r#"
        20.toml: agent.host: may hold only letters, digits, `-`, `_` and `.`
        20.toml: agent.state_dir: must be an absolute path
        20.toml: agent.listen: must be an IP address and a port, such as "127.0.0.1:7400"
        20.toml: agent.advertise: must name a port, not 0
        20.toml: agent.zone: must not be empty
        20.toml: agent.log: must not be empty
        20.toml: agent.log_format: must be "text" or "json"
        20.toml: cluster.name: must not be empty
        20.toml: cluster.bootstrap_expect: must be 1 to 10000
        20.toml: transport.insecure: must be true or false, not text
        20.toml: inventory.kind: must be "static" or "ec2"
        20.toml: inventory.hosts: must be a list of tables, such as [{ host = "h1", … }]
        20.toml: store.kind: must be "directory" or "nix"
        20.toml: store.keep_releases: must be 2 to 1000
        20.toml: timers.heartbeat: must be 10ms to 10m
        20.toml: timers.sighting: must be text with a unit, such as "5s", not a whole number
        "#,
    );
}

#[test]
fn unknown_keys_are_refused_wherever_they_stand() {
    check(
        r#"
        agnet = {}
        [agent]
        lisen = "127.0.0.1:1"
        [service.web]
        prt = 1
        [service.web.probe]
        expect = 200
        [service.web.balancer]
        groop = "x"
        "#,
        r#"
        20.toml: agent.lisen: unknown key; did you mean "listen"?
        20.toml: service.web.probe.expect: unknown key; known here: kind, timeout, path, status, headers, service, command
        20.toml: service.web.balancer.groop: unknown key; did you mean "group"?
        20.toml: service.web.prt: unknown key; did you mean "port"?
        20.toml: agnet: unknown key; did you mean "agent"?
        "#,
    );
}

#[test]
fn policy_is_sent_away_with_a_hint() {
    check(
        "policy = {}\nsoak = \"5s\"\n[service.web]\nmax_unavailable = 1\ndeadlines = { stage = \"1s\" }\n",
        "20.toml: service.web.deadlines: is policy: it belongs to the service, not to a host, and travels with `push --policy FILE`
         20.toml: service.web.max_unavailable: is policy: it belongs to the service, not to a host, and travels with `push --policy FILE`
         20.toml: policy: is policy: it belongs to the service, not to a host, and travels with `push --policy FILE`
         20.toml: soak: is policy: it belongs to the service, not to a host, and travels with `push --policy FILE`",
    );
}

#[test]
fn a_table_and_a_value_are_told_apart() {
    check(
        "agent.host = { name = \"h1\" }\nstore = \"directory\"\nservice.web = 80\n",
        "20.toml: agent.host: must be text in quotes, not a table
         20.toml: store: must be a table, not text
         20.toml: service.web: must be a table, not a whole number
         20.toml: store.kind: is required",
    );
}

mod aws;
mod channel;
mod relations;

#[test]
fn how_programs_are_run_is_read_and_what_is_wrong_with_it_is_said() {
    let more = "[service.web]\nuser = \"www\"\ngroup = \"33\"\nworking_directory = \"/srv\"\n\
                stop_signal = \"SIGQUIT\"\nenvironment_files = [\"/etc/a\", \"-/etc/b\"]\nlimits = { open_files = 1024, core_bytes = 0 }\n";
    let settings = read(&[("10.toml", EXAMPLE), ("20.toml", more)]).unwrap();
    let file = |path: &str, optional| EnvironmentFile { path: path.into(), optional };
    let expected = Programs {
        user: Some("www".into()),
        group: Some("33".into()),
        working_directory: Some("/srv".into()),
        environment_files: vec![file("/etc/a", false), file("/etc/b", true)],
        stop_signal: StopSignal::Quit,
        limits: Limits { open_files: Some(1024), core_bytes: Some(0), ..Limits::default() },
    };
    assert_eq!(settings.services[&"web".parse().unwrap()].programs, expected);
    check(
        "[service.web]\nuser = \"a b\"\ngroup = 33\nworking_directory = \"srv\"\nstop_signal = \"TERM\"\n\
         environment_files = [\"-etc/b\"]\nready = \"yes\"\nlimits = { open_files = 9, memory = 1 }\nenvironment = { NOTIFY_SOCKET = \"@a\" }\n",
        "
        20.toml: service.web.ready: must be \"up\" or \"notify\"
        20.toml: service.web.user: must be a name or a number in quotes, without spaces, `:` and `/`
        20.toml: service.web.group: must be text in quotes, not a whole number
        20.toml: service.web.working_directory: must be an absolute path
        20.toml: service.web.environment_files: \"-etc/b\" must be an absolute path, with `-` before it if the file may be missing
        20.toml: service.web.stop_signal: must be \"SIGTERM\" or \"SIGINT\" or \"SIGQUIT\" or \"SIGHUP\" or \"SIGUSR1\" or \"SIGUSR2\" or \"SIGWINCH\"
        20.toml: service.web.limits.open_files: must be 256 to 1073741824
        20.toml: service.web.limits.memory: unknown key; known here: open_files, core_bytes, processes, memory_bytes, cpu_weight
        20.toml: service.web.environment.NOTIFY_SOCKET: is set by Deployinator itself
        ",
    );
}
