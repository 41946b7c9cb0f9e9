//! Makes settings of what the files say: defaults are filled in, and keys are checked against each other.
//!
//! Every function returns `None` only when it, or the reading before it, has recorded why.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use crate::{
    fragment::{AgentFragment, ClusterFragment, Fragment, TimersFragment, inventory::InventoryKind},
    instance::Instance,
    problem::{Place, Sink},
    section::Field,
    settings::{Agent, Cluster, DEFAULTS, Inventory, Settings, Timers, Transport},
    values::shown,
};

mod inventory;
mod order;
mod service;
mod store;

/// What the files leave to the instance is taken from what it says of itself.
pub(crate) fn settle(fragment: Fragment, instance: Option<&Instance>, sink: &Sink) -> Option<Settings> {
    let transport = fragment.insecure.or(DEFAULTS.insecure).map(|insecure| Transport { insecure });
    // Unreadable is not false: nothing is said about addresses while it is not known.
    let must_be_loopback = transport.is_some_and(|transport| !transport.insecure);

    let inventory_kind = fragment.inventory.kind.given().map(|(kind, _)| *kind);
    let inventory_port = fragment.inventory.port.given().map(|(port, _)| *port);
    let instance = instance.filter(|_| inventory_kind == Some(InventoryKind::Ec2));
    let agent = agent(fragment.agent, instance, inventory_port, must_be_loopback, sink);
    let inventory = inventory::inventory(fragment.inventory, agent.as_ref(), must_be_loopback, sink);
    let cluster = cluster(fragment.cluster, inventory.as_ref(), sink);
    let store = store::store(fragment.store, sink);
    let timers = timers(fragment.timers, sink);
    let services = service::services(fragment.services, agent.as_ref(), must_be_loopback, sink);

    let (mut agent, inventory) = (agent?, inventory?);
    if agent.zone.is_none() {
        agent.zone = match &inventory {
            Inventory::Static { hosts } => {
                hosts.iter().find(|listed| listed.host == agent.host).and_then(|own| own.zone.clone())
            }
            Inventory::Ec2(_) => instance.and_then(|instance| instance.zone.clone()),
        };
    }
    Some(Settings {
        agent,
        cluster: cluster?,
        transport: transport?,
        inventory,
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

/// Says so when another key has the value already.
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

fn agent(
    fragment: AgentFragment,
    instance: Option<&Instance>,
    inventory_port: Option<u16>,
    must_be_loopback: bool,
    sink: &Sink,
) -> Option<Agent> {
    for (address, place) in [&fragment.listen, &fragment.advertise].into_iter().filter_map(Field::given) {
        if must_be_loopback {
            check_loopback(address.ip(), place, sink);
        }
    }
    let own = match (&fragment.advertise, fragment.listen.given(), instance) {
        (Field::Absent(place), Some((listen, _)), Some(instance)) => {
            if must_be_loopback {
                check_loopback(instance.address, place, sink);
            }
            Some(SocketAddr::new(instance.address, inventory_port.unwrap_or(listen.port())))
        }
        _ => None,
    };
    let advertised = if matches!(fragment.advertise, Field::Absent(_)) {
        fragment.listen.given()
    } else {
        fragment.advertise.given()
    };
    if let Some((_, place)) = advertised.filter(|(address, _)| own.is_none() && address.ip().is_unspecified())
    {
        sink.at(place, "is no address that other hosts can reach: set agent.advertise to one");
    }

    let host = match (fragment.host, instance) {
        (Field::Absent(_), Some(instance)) => Some(instance.host.clone()),
        (host, _) => host.required(sink),
    };
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
        advertise: advertise?.or(own).unwrap_or(listen),
        zone: zone?,
        log: log?,
        log_format: log_format?,
    })
}

fn cluster(fragment: ClusterFragment, inventory: Option<&Inventory>, sink: &Sink) -> Option<Cluster> {
    if let (Some((expect, place)), Some(Inventory::Static { hosts })) =
        (fragment.bootstrap_expect.given(), inventory)
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
