//! Makes settings of what the files say: defaults are filled in, and keys are checked against each other.
//!
//! Every function returns `None` only when it, or the reading before it, has recorded why.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use model::HostId;
use ports::{Listed, ListedState};

use crate::{
    fragment::{AgentFragment, ClusterFragment, Fragment, HostFragment, InventoryFragment, TimersFragment},
    problem::{Place, Sink},
    section::Field,
    settings::{Agent, Cluster, DEFAULTS, Inventory, Settings, Timers, Transport},
    values::shown,
};

mod order;
mod service;
mod store;

pub(crate) fn settle(fragment: Fragment, sink: &Sink) -> Option<Settings> {
    let transport = fragment.insecure.or(DEFAULTS.insecure).map(|insecure| Transport { insecure });
    // Unreadable is not false: nothing is said about addresses while it is not known.
    let must_be_loopback = transport.is_some_and(|transport| !transport.insecure);

    let agent = agent(fragment.agent, must_be_loopback, sink);
    let inventory = inventory(fragment.inventory, agent.as_ref(), must_be_loopback, sink);
    let cluster = cluster(fragment.cluster, inventory.as_deref(), sink);
    let store = store::store(fragment.store, sink);
    let timers = timers(fragment.timers, sink);
    let services = service::services(fragment.services, agent.as_ref(), must_be_loopback, sink);

    let (mut agent, hosts) = (agent?, inventory?);
    if agent.zone.is_none() {
        agent.zone = hosts.iter().find(|listed| listed.host == agent.host).and_then(|own| own.zone.clone());
    }
    Some(Settings {
        agent,
        cluster: cluster?,
        transport: transport?,
        inventory: Inventory::Static { hosts },
        store: store?,
        timers: timers?,
        services: services?,
    })
}

/// Says what is wrong with an address that is reached without TLS.
fn check_loopback(ip: IpAddr, place: &Place, sink: &Sink) {
    if !ip.is_loopback() {
        sink.at(
            place,
            "must be a loopback address: until TLS exists, everything sent to another one could be read and \
             changed on its way; where the network is trusted, set transport.insecure = true",
        );
    }
}

fn agent(fragment: AgentFragment, must_be_loopback: bool, sink: &Sink) -> Option<Agent> {
    for (address, place) in [&fragment.listen, &fragment.advertise].into_iter().filter_map(Field::given) {
        if must_be_loopback {
            check_loopback(address.ip(), place, sink);
        }
    }
    let advertised = if matches!(fragment.advertise, Field::Absent(_)) {
        fragment.listen.given()
    } else {
        fragment.advertise.given()
    };
    if let Some((_, place)) = advertised.filter(|(address, _)| address.ip().is_unspecified()) {
        sink.at(place, "is no address that other hosts can reach: set agent.advertise to one");
    }

    let host = fragment.host.required(sink);
    let state_dir = fragment.state_dir.or(DEFAULTS.state_dir.into());
    let listen = fragment.listen.required(sink);
    let advertise = fragment.advertise.optional();
    let zone = fragment.zone.optional();
    let log = fragment.log.or(DEFAULTS.log.to_owned());
    let log_format = fragment.log_format.or(DEFAULTS.log_format);
    let listen = listen?;
    Some(Agent {
        host: host?,
        state_dir: state_dir?,
        listen,
        advertise: advertise?.unwrap_or(listen),
        zone: zone?,
        log: log?,
        log_format: log_format?,
    })
}

fn inventory(
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

fn only_once<T: Ord + std::fmt::Display>(
    seen: &mut BTreeMap<T, Place>,
    value: T,
    place: &Place,
    sink: &Sink,
) {
    if let Some(first) = seen.get(&value) {
        sink.at(place, format!("{value} is taken already, by {}", first.key));
    } else {
        seen.insert(value, place.clone());
    }
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

fn cluster(fragment: ClusterFragment, hosts: Option<&[Listed]>, sink: &Sink) -> Option<Cluster> {
    if let (Some((expect, place)), Some(hosts)) = (fragment.bootstrap_expect.given(), hosts)
        && *expect > hosts.len()
    {
        let count = hosts.len();
        sink.at(
            place,
            format!("must be 1 to {count}: inventory.hosts lists no more, so no cluster would form"),
        );
    }
    let name = fragment.name.required(sink);
    let bootstrap_expect = fragment.bootstrap_expect.or(DEFAULTS.bootstrap_expect);
    Some(Cluster { name: name?, bootstrap_expect: bootstrap_expect? })
}

fn timers(fragment: TimersFragment, sink: &Sink) -> Option<Timers> {
    // A problem is put down to a key that somebody wrote: defaults agree with each other.
    let election_place = place_of([&fragment.election_min, &fragment.heartbeat]);
    let range_place = place_of([&fragment.election_max, &fragment.election_min]);
    let silence_place = place_of([&fragment.silent_after, &fragment.sighting]);
    let defaults = DEFAULTS.timers;
    let heartbeat = fragment.heartbeat.or(defaults.heartbeat);
    let election_min = fragment.election_min.or(defaults.election_min);
    let election_max = fragment.election_max.or(defaults.election_max);
    let sighting = fragment.sighting.or(defaults.sighting);
    let silent_after = fragment.silent_after.or(defaults.silent_after);

    if let (Some(heartbeat), Some(min), Some(place)) = (heartbeat, election_min, election_place)
        && min < heartbeat * 2
    {
        let (min, heartbeat) = (shown(min), shown(heartbeat));
        sink.at(&place, format!("election_min ({min}) must be at least twice heartbeat ({heartbeat})"));
    }
    if let (Some(min), Some(max), Some(place)) = (election_min, election_max, range_place)
        && max <= min
    {
        let (min, max) = (shown(min), shown(max));
        sink.at(&place, format!("election_max ({max}) must be above election_min ({min})"));
    }
    if let (Some(sighting), Some(silent), Some(place)) = (sighting, silent_after, silence_place)
        && silent <= sighting * 2
    {
        let (sighting, silent) = (shown(sighting), shown(silent));
        sink.at(&place, format!("silent_after ({silent}) must be more than twice sighting ({sighting})"));
    }
    Some(Timers {
        heartbeat: heartbeat?,
        election_min: election_min?,
        election_max: election_max?,
        sighting: sighting?,
        silent_after: silent_after?,
    })
}

fn place_of<T>(fields: [&Field<T>; 2]) -> Option<Place> {
    fields.into_iter().find_map(|field| field.given().map(|(_, place)| place.clone()))
}
