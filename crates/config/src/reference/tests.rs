use std::{collections::BTreeSet, path::Path};

use toml::Value;

use super::*;

/// Every key there is, given a value.
const ALL_KEYS: &str = r#"
    [agent]
    host = "h1"
    state_dir = "/state"
    listen = "127.0.0.1:7400"
    advertise = "127.0.0.1:7400"
    zone = "a"
    log = "info"
    log_format = "json"
    [cluster]
    name = "c"
    bootstrap_expect = 1
    [transport]
    insecure = false
    [store]
    kind = "nix"
    keep_releases = 2
    substituters = ["https://cache.example.com"]
    trusted_public_keys = ["cache-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]
    nix_bin = "/n"
    store_dir = "/s"
    [timers]
    heartbeat = "1s"
    election_min = "2s"
    election_max = "3s"
    sighting = "1s"
    silent_after = "3s"
    [service.NAME]
    port = 80
    instances = 2
    after = []
    after_limit = "1s"
    address = "127.0.0.1"
    ready = "notify"
    user = "u"
    group = "g"
    working_directory = "/w"
    environment_files = ["/e"]
    stop_signal = "SIGQUIT"
    limits = { open_files = 1024, core_bytes = 0, processes = 10, memory_bytes = 1048576, cpu_weight = 1 }
    log_limit_bytes = 65536
    PROBE
    BALANCER
    channel = { url = "s3://releases/web", poll = "10s" }
    environment = { VARIABLE = "x" }
"#;

/// Every kind of probe, with every key of it.
const PROBES: [&str; 3] = [
    r#"probe = { kind = "http", path = "/", status = 204, headers = { HEADER = "x" }, timeout = "1s" }"#,
    r#"probe = { kind = "grpc", service = "x" }"#,
    r#"probe = { kind = "command", command = ["/bin/true"] }"#,
];

/// Every kind of balancer, with every key of it.
const BALANCERS: [&str; 2] = [
    r#"balancer = { kind = "local", url = "http://localhost:1", group = "g" }"#,
    r#"balancer = { kind = "aws", target_groups = [{ arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", port = 8080 }] }"#,
];

/// Every kind of inventory, with every key of it.
const INVENTORIES: [&str; 2] = [
    r#"inventory = { kind = "static", hosts = [{ host = "h1", address = "127.0.0.1:7400", zone = "a" }] }"#,
    r#"inventory = { kind = "ec2", tags = { TAG = "prod" }, address = "ipv6", port = 7400, region = "eu-west-1", poll = "1m" }"#,
];

fn keys_of(value: &Value, name: &str, keys: &mut BTreeSet<String>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                keys_of(value, &if name.is_empty() { key.clone() } else { format!("{name}.{key}") }, keys);
            }
        }
        Value::Array(items) => {
            keys.insert(name.to_owned());
            items
                .iter()
                .filter(|item| item.is_table())
                .for_each(|item| keys_of(item, &format!("{name}[]"), keys));
        }
        _ => {
            keys.insert(name.to_owned());
        }
    }
}

#[test]
fn the_reference_names_the_keys_that_are_read_and_no_others() {
    let mut read = BTreeSet::new();
    let first = (PROBES[0], BALANCERS[0], INVENTORIES[0]);
    let probes = PROBES.map(|probe| (probe, first.1, first.2));
    let balancers = BALANCERS.map(|balancer| (first.0, balancer, first.2));
    let inventories = INVENTORIES.map(|inventory| (first.0, first.1, inventory));
    for (probe, balancer, inventory) in probes.into_iter().chain(balancers).chain(inventories) {
        let text = ALL_KEYS.replace("PROBE", probe).replace("BALANCER", balancer);
        let text = format!("{inventory}\n{text}");
        crate::parse("dir", &[("all.toml".into(), text.clone())]).expect("every key here is read");
        keys_of(&toml::from_str(&text).unwrap(), "", &mut read);
    }
    // The program and its arguments are one value.
    read.remove("service.NAME.probe.command[]");
    let written: BTreeSet<String> = [host(), fleet(), store::keys(), timers(), services()]
        .into_iter()
        .flatten()
        .map(|key| key.name.to_owned())
        .collect();
    assert_eq!(read, written);
}

#[test]
fn the_reference_names_every_key_of_a_policy() {
    let named: BTreeSet<&str> =
        policy().iter().map(|key| key.name.split_once('.').map_or(key.name, |(table, _)| table)).collect();
    assert_eq!(named, crate::policy::POLICY_KEYS.into_iter().collect());
}

#[test]
fn the_examples_are_right() {
    crate::parse("dir", &[("example.toml".into(), EXAMPLE.into())]).expect("the example is right");
    crate::policy(POLICY_EXAMPLE, "policy.toml").expect("the example of a policy is right");
}

#[test]
fn the_page_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &page).expect("docs/configuration.md is written");
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == page,
        "docs/configuration.md is not what config::reference() says; to write it again: \
         UPDATE_DOCS=1 cargo test -p config"
    );
}
