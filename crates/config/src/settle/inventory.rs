//! Makes the settings of who should be in the fleet.

use std::{collections::BTreeMap, net::SocketAddr};

use model::HostId;
use ports::{Listed, ListedState};

use super::{check_loopback, only_once};
use crate::{
    fragment::inventory::{HostFragment, InventoryFragment, InventoryKind},
    problem::{Place, Sink},
    section::Field,
    settings::{Agent, DEFAULTS, Ec2, Inventory},
};

const NO_TAGS: &str =
    "must name at least one tag, or every instance of the account would be a host of this fleet";

pub(super) fn inventory(
    fragment: InventoryFragment,
    agent: Option<&Agent>,
    must_be_loopback: bool,
    sink: &Sink,
) -> Option<Inventory> {
    match fragment.kind {
        Field::Given(InventoryKind::Ec2, _) => ec2(fragment, agent, sink).map(Inventory::Ec2),
        _ => list(fragment, agent, must_be_loopback, sink).map(|hosts| Inventory::Static { hosts }),
    }
}

fn ec2(fragment: InventoryFragment, agent: Option<&Agent>, sink: &Sink) -> Option<Ec2> {
    let tags = match fragment.tags {
        Field::Given(tags, place) if tags.is_empty() => {
            // What could not be read has had its word.
            if sink.is_empty() {
                sink.at(&place, NO_TAGS);
            }
            None
        }
        tags => tags.required(sink),
    };
    let address = fragment.address.or(DEFAULTS.address);
    let port = fragment.port.optional();
    let region = fragment.region.optional();
    let poll = fragment.poll.or(DEFAULTS.poll);
    Some(Ec2 {
        tags: tags?,
        address: address?,
        port: match port? {
            Some(port) => port,
            None => agent?.listen.port(),
        },
        region: region?,
        poll: poll?,
    })
}

fn list(
    fragment: InventoryFragment,
    agent: Option<&Agent>,
    must_be_loopback: bool,
    sink: &Sink,
) -> Option<Vec<Listed>> {
    let kind = fragment.kind.required(sink);
    let place = fragment.hosts.given().map(|(_, place)| place.clone());
    let fragments = fragment.hosts.required(sink)?;
    let mut hosts: BTreeMap<HostId, Place> = BTreeMap::new();
    let mut addresses: BTreeMap<SocketAddr, Place> = BTreeMap::new();
    for listed in &fragments {
        if let Some((address, place)) = listed.address.given() {
            if must_be_loopback {
                check_loopback(address.ip(), place, sink);
            }
            if address.ip().is_unspecified() {
                sink.at(place, "is no address that other hosts can reach");
            }
            only_once(&mut addresses, *address, place, sink);
        }
        if let Some((host, place)) = listed.host.given() {
            only_once(&mut hosts, host.clone(), place, sink);
        }
        if let Some(agent) = agent {
            check_own(listed, agent, sink);
        }
    }
    let readable = fragments.iter().all(|listed| listed.host.given().is_some());
    if let (Some(place), Some(agent)) = (place, agent)
        && readable
        && !hosts.contains_key(&agent.host)
    {
        sink.at(&place, format!("must list this host, {} at {}", agent.host, agent.advertise));
    }
    let listed = fragments.into_iter().zip(0..).map(|(fragment, launched)| listed(fragment, launched, sink));
    // Collected before the first bad one ends it, so that each gets its word.
    let listed: Vec<Option<Listed>> = listed.collect();
    kind?;
    listed.into_iter().collect()
}

/// What the list says of this host must be what this host says of itself.
fn check_own(listed: &HostFragment, agent: &Agent, sink: &Sink) {
    if listed.host.given().is_none_or(|(host, _)| *host != agent.host) {
        return;
    }
    if let Some((_, place)) = listed.address.given().filter(|(address, _)| **address != agent.advertise) {
        let advertise = agent.advertise;
        sink.at(place, format!("must be {advertise}, as this is the host itself, and advertises that"));
    }
    if let Some((_, place)) = listed.zone.given()
        && let Some(own) = &agent.zone
        && listed.zone.given().is_some_and(|(zone, _)| zone != own)
    {
        sink.at(place, format!("must be {own:?}, as this is the host itself, and agent.zone says that"));
    }
}

fn listed(fragment: HostFragment, launched: u64, sink: &Sink) -> Option<Listed> {
    let host = fragment.host.required(sink);
    let address = fragment.address.required(sink);
    let zone = fragment.zone.optional();
    Some(Listed { host: host?, address: address?, zone: zone?, launched, state: ListedState::Present })
}
