//! What is asked of AWS, and what is left to the instance.

use std::net::IpAddr;

use super::*;
use crate::{AddressKind, Ec2, Instance, TargetGroup};

const EC2: &str = r#"
    transport.insecure = true
    [agent]
    listen = "0.0.0.0:7400"
    [cluster]
    name = "prod"
    [inventory]
    kind = "ec2"
    tags = { "deployinator:cluster" = "prod", role = ["web", "job"] }
    [store]
    kind = "directory"
    [service.web]
    port = 8080
    instances = 2
    [service.web.balancer]
    kind = "aws"
    target_groups = [
        { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef" },
        { arn = "arn:aws-cn:elasticloadbalancing:eu-west-1:123456789012:targetgroup/tls/0123456789abcdef", port = 8443 },
    ]
"#;

fn instance(address: &str) -> Instance {
    Instance {
        host: "i-0abc".parse().unwrap(),
        address: address.parse::<IpAddr>().unwrap(),
        zone: Some("eu-west-1a".into()),
    }
}

fn with(instance: &Instance, more: &str) -> Result<Settings, Vec<Problem>> {
    let sources = [("10.toml".to_owned(), EC2.to_owned()), ("20.toml".to_owned(), more.to_owned())];
    parse_with("/etc/d", &sources, Some(instance))
}

fn loaded(more: &str) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("10.toml"), EC2).unwrap();
    std::fs::write(folder.path().join("20.toml"), more).unwrap();
    load(folder.path()).expect("nothing is wrong with it")
}

fn words(problems: Result<Settings, Vec<Problem>>) -> Vec<String> {
    problems.expect_err("something is wrong").iter().map(ToString::to_string).collect()
}

#[test]
fn the_instance_says_who_the_host_is() {
    let settings = with(&instance("10.0.0.7"), "").unwrap();
    assert_eq!(settings.agent.host.as_str(), "i-0abc");
    assert_eq!(settings.agent.advertise, address("10.0.0.7:7400"));
    assert_eq!(settings.agent.zone.as_deref(), Some("eu-west-1a"));
    let tags = BTreeMap::from([
        ("deployinator:cluster".to_owned(), vec!["prod".to_owned()]),
        ("role".to_owned(), vec!["web".to_owned(), "job".to_owned()]),
    ]);
    let poll = Duration::from_secs(30);
    let ec2 = Ec2 { tags, address: AddressKind::PrivateIpv4, port: 7400, region: None, poll };
    assert_eq!(settings.inventory, Inventory::Ec2(ec2));
    let web = &settings.services[&"web".parse().unwrap()];
    assert_eq!(web.address, address("10.0.0.7:8080"), "where requests reach it");
    let Some(Balancer::Aws { groups }) = &web.balancer else { panic!("{web:?}") };
    let [first, second] = &groups[..] else { panic!("{groups:?}") };
    let TargetGroup { region, name, port, .. } = first;
    assert_eq!((region.as_str(), name.as_str(), *port), ("eu-west-1", "web", 8080));
    assert_eq!((second.name.as_str(), second.port), ("tls", 8443));
}

#[test]
fn what_the_files_say_stands_before_what_the_instance_says() {
    let more = "agent = { host = \"h9\", advertise = \"10.9.9.9:9\", zone = \"z\" }\ninventory.port = 7500\n";
    let Loaded::Whole(settings) = loaded(more) else { panic!("nothing is left to ask") };
    assert_eq!(settings.agent.host.as_str(), "h9");
    assert_eq!(settings.agent.advertise, address("10.9.9.9:9"));
    assert_eq!(settings.agent.zone.as_deref(), Some("z"));
    let settings = with(&instance("10.0.0.7"), "inventory.port = 7500").unwrap();
    assert_eq!(settings.agent.advertise, address("10.0.0.7:7500"), "where the others look for it");
}

#[test]
fn what_is_left_to_the_instance_is_named() {
    let Loaded::Partial(partial) = loaded("agent.zone = \"z\"\ninventory.address = \"ipv6\"\n") else {
        panic!("the host is not known")
    };
    assert_eq!(partial.keys, ["agent.host", "agent.advertise"]);
    assert_eq!(partial.address, AddressKind::Ipv6);
    assert_eq!(partial.with(&instance("fd00::7")).unwrap().agent.advertise, address("[fd00::7]:7400"));
    let sources = [("10.toml".to_owned(), EC2.to_owned())];
    assert_eq!(
        words(parse("/etc/d", &sources)),
        [
            "10.toml: agent.listen: is no address that other hosts can reach: set agent.advertise to one",
            "10.toml: agent.host: is required"
        ],
        "without an instance to ask"
    );
}

#[test]
fn an_instance_off_loopback_needs_the_switch() {
    let more = "transport.insecure = false\nagent.listen = \"127.0.0.7:7400\"\n";
    with(&instance("127.0.0.7"), more).expect("all of it is loopback");
    let found = words(with(&instance("10.0.0.7"), more));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("10.toml: agent.advertise: must be a loopback address"), "{found:?}");
}

#[test]
fn keys_of_the_other_kind_are_refused() {
    let more = "inventory.hosts = []\nservice.web.balancer.url = \"http://127.0.0.1:1\"\n";
    assert_eq!(
        words(with(&instance("10.0.0.7"), more)),
        [
            "20.toml: inventory.hosts: is for kind = \"static\" only",
            "20.toml: service.web.balancer.url: is for kind = \"local\" only"
        ]
    );
    check(
        "inventory.tags = { a = \"b\" }\ninventory.poll = \"5s\"\nservice.web.balancer.target_groups = []\n",
        "20.toml: inventory.tags: is for kind = \"ec2\" only
         20.toml: inventory.poll: is for kind = \"ec2\" only
         20.toml: service.web.balancer.target_groups: must name 1 to 16 target groups
         20.toml: service.web.balancer.target_groups: is for kind = \"aws\" only",
    );
}

#[test]
fn tags_and_target_groups_are_checked() {
    let more = r#"
        inventory.tags = { "role" = [], a = 1, b = "x*" }
        service.web.balancer.target_groups = [
            { arn = "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/web/1" },
            { arn = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/web/1", port = 65535 },
            { arn = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/web/1" },
            { arn = "arn:aws:elasticloadbalancing:eu-west-2:1:targetgroup/web/2" },
            { port = 1 },
        ]
    "#;
    let groups = "20.toml: service.web.balancer.target_groups";
    assert_eq!(
        words(with(&instance("10.0.0.7"), more)),
        [
            "20.toml: inventory.tags.a: must be text in quotes, not a whole number; several values are a list".into(),
            "20.toml: inventory.tags.b: \"x*\" is a pattern to EC2; name the values one by one".into(),
            "20.toml: inventory.tags.role: must have 1 to 200 values".into(),
            format!("{groups}[0].arn: must be the ARN of a target group: arn:aws:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID"),
            format!("{groups}[2].arn: arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/web/1 is taken already, by service.web.balancer.target_groups[1].arn"),
            format!("{groups}[3].arn: must be of region eu-west-1, as the others are: a host is in one region"),
            format!("{groups}[1].port: leaves no room for 2 instances: there is no port above 65535"),
            format!("{groups}[4].arn: is required"),
        ]
    );
}

#[test]
fn no_tags_at_all_would_be_everybody() {
    let text = EC2.replacen("{ \"deployinator:cluster\" = \"prod\", role = [\"web\", \"job\"] }", "{}", 1);
    let sources = [("10.toml".to_owned(), text)];
    assert_eq!(
        words(parse_with("/etc/d", &sources, Some(&instance("10.0.0.7")))),
        [
            "10.toml: inventory.tags: must name at least one tag, or every instance of the account would be a host of this fleet"
        ]
    );
}
