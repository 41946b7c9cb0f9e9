//! What the files say of who should be in the fleet.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use model::HostId;
use toml::Value;

use crate::{
    section::{Field, Section},
    settings::AddressKind,
    values::{address, duration, label, name, number, one_of, text},
};

pub(crate) struct InventoryFragment {
    pub(crate) kind: Field<InventoryKind>,
    pub(crate) hosts: Field<Vec<HostFragment>>,
    pub(crate) tags: Field<BTreeMap<String, Vec<String>>>,
    pub(crate) address: Field<AddressKind>,
    pub(crate) port: Field<u16>,
    pub(crate) region: Field<String>,
    pub(crate) poll: Field<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InventoryKind {
    Static,
    Ec2,
}

pub(crate) struct HostFragment {
    pub(crate) host: Field<HostId>,
    pub(crate) address: Field<SocketAddr>,
    pub(crate) zone: Field<String>,
}

/// How often EC2 is asked at most, and at least. A host that joins waits for it.
const POLL: std::ops::RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(600);

/// Most values that one filter of EC2 takes.
const VALUES_LIMIT: usize = 200;

pub(super) fn read(mut section: Section<'_>) -> InventoryFragment {
    let kinds = [("static", InventoryKind::Static), ("ec2", InventoryKind::Ec2)];
    let fragment = InventoryFragment {
        kind: section.read("kind", one_of(kinds)),
        hosts: section.list("hosts").map(|sections| sections.into_iter().map(listed).collect::<Vec<_>>()),
        tags: tags(&mut section),
        address: section.read(
            "address",
            one_of([
                ("private_ipv4", AddressKind::PrivateIpv4),
                ("public_ipv4", AddressKind::PublicIpv4),
                ("ipv6", AddressKind::Ipv6),
            ]),
        ),
        port: section.read("port", number(1..=u16::MAX)),
        region: section.read("region", label),
        poll: section.read("poll", duration(POLL)),
    };
    only_for(&fragment, &section);
    section.finish(|_| None);
    fragment
}

/// Records the keys that mean nothing for an inventory of this kind.
fn only_for(fragment: &InventoryFragment, section: &Section<'_>) {
    let Some((kind, _)) = fragment.kind.given() else { return };
    let hosts = fragment.hosts.given().map(|(_, place)| place);
    let of_ec2 = [
        fragment.tags.given().map(|(_, place)| place),
        fragment.address.given().map(|(_, place)| place),
        fragment.port.given().map(|(_, place)| place),
        fragment.region.given().map(|(_, place)| place),
        fragment.poll.given().map(|(_, place)| place),
    ];
    let wrong = match kind {
        InventoryKind::Static => of_ec2.into_iter().flatten().collect(),
        InventoryKind::Ec2 => Vec::from_iter(hosts),
    };
    let right = match kind {
        InventoryKind::Static => "ec2",
        InventoryKind::Ec2 => "static",
    };
    for place in wrong {
        section.sink().at(place, format!("is for kind = {right:?} only"));
    }
}

fn listed(mut section: Section<'_>) -> HostFragment {
    let fragment = HostFragment {
        host: section.read("host", name),
        address: section.read("address", address),
        zone: section.read("zone", label),
    };
    section.finish(|_| None);
    fragment
}

/// Each tag with its values: one text, or several of which one is enough.
fn tags(section: &mut Section<'_>) -> Field<BTreeMap<String, Vec<String>>> {
    let sink = section.sink();
    section.values("tags").map(|entries| {
        let mut tags = BTreeMap::new();
        for (name, value, place) in entries {
            match tag(&name, &value) {
                Ok(values) => {
                    tags.insert(name, values);
                }
                Err(text) => sink.at(&place, text),
            }
        }
        tags
    })
}

fn tag(name: &str, value: &Value) -> Result<Vec<String>, String> {
    if name.trim().is_empty() {
        return Err("a tag's name must not be empty".into());
    }
    let values = match value {
        Value::Array(values) => values.iter().map(text).collect::<Result<Vec<_>, _>>(),
        value => text(value).map(|value| vec![value]),
    };
    let values = values.map_err(|problem| format!("{problem}; several values are a list"))?;
    if values.is_empty() || VALUES_LIMIT < values.len() {
        return Err(format!("must have 1 to {VALUES_LIMIT} values"));
    }
    // EC2 takes them as patterns, and whoever writes one most likely does not mean all that it matches.
    match values.iter().find(|value| value.contains(['*', '?'])) {
        Some(pattern) => Err(format!("{pattern:?} is a pattern to EC2; name the values one by one")),
        None => Ok(values),
    }
}
