//! The keys that say who is in the fleet.

use super::{Key, REQUIRED, code, key, quoted, time};
use crate::settings::{AddressKind, DEFAULTS};

pub(super) fn fleet() -> Vec<Key> {
    let mut keys = vec![
        key("cluster.name", "name", REQUIRED, "The cluster's name, the same on every host."),
        key(
            "cluster.bootstrap_expect",
            "number, from 1",
            code(DEFAULTS.bootstrap_expect),
            "How many hosts must be listed before a cluster is formed.",
        ),
        key(
            "transport.insecure",
            "true or false",
            code(DEFAULTS.insecure),
            "Accept plaintext on addresses other than loopback. Until TLS exists, `agent.listen`, \
             `agent.advertise`, the inventory's addresses and the balancers' must be loopback without it.",
        ),
    ];
    keys.extend(inventory());
    keys
}

fn inventory() -> Vec<Key> {
    let address = match DEFAULTS.address {
        AddressKind::PrivateIpv4 => "private_ipv4",
        AddressKind::PublicIpv4 => "public_ipv4",
        AddressKind::Ipv6 => "ipv6",
    };
    vec![
        key(
            "inventory.kind",
            "`\"static\"` or `\"ec2\"`",
            REQUIRED,
            "Who should be in the fleet: a list, or the instances of EC2 that have certain tags.",
        ),
        key(
            "inventory.hosts",
            "list of tables",
            "required for `\"static\"`",
            "The hosts, oldest first. Each id and address once; this host among them.",
        ),
        key("inventory.hosts[].host", "name", REQUIRED, "The host's id."),
        key("inventory.hosts[].address", "`IP:PORT`", REQUIRED, "What it advertises."),
        key("inventory.hosts[].zone", "name", "none", "Its failure domain."),
        key(
            "inventory.tags.TAG",
            "text, or list of texts",
            "required for `\"ec2\"`",
            "A tag that an instance has, with one of these values, to be a host of the fleet. It has all that are named here.",
        ),
        key(
            "inventory.address",
            "`\"private_ipv4\"`, `\"public_ipv4\"` or `\"ipv6\"`",
            quoted(address),
            "For `\"ec2\"`: where the agent of an instance is reached.",
        ),
        key(
            "inventory.port",
            "1 to 65535",
            "the port of `agent.listen`",
            "For `\"ec2\"`: where the agents listen, the same on every host.",
        ),
        key(
            "inventory.region",
            "region",
            "the instance's",
            "For `\"ec2\"`: the region that is asked. Without it, `AWS_REGION`, the profile's, or the instance's own.",
        ),
        key(
            "inventory.poll",
            "5s to 10m",
            time(DEFAULTS.poll),
            "For `\"ec2\"`: time between two questions while nothing changes. After a change it is shorter for a while.",
        ),
    ]
}
