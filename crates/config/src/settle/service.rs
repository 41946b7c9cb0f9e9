//! Makes the settings of services.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use model::ServiceName;
use ports::{ProbeSpec, supervisor::Limits};

use super::order;
use crate::{
    fragment::service::{LimitsFragment, ProbeFragment, ProbeKind, ProgramsFragment, ServiceFragment},
    problem::{Place, Sink},
    section::Field,
    settings::{Agent, DEFAULTS, Programs, Service},
};

mod balancer;
mod channel;

pub(super) fn services(
    fragments: Vec<(ServiceName, ServiceFragment)>,
    agent: Option<&Agent>,
    must_be_loopback: bool,
    sink: &Sink,
) -> Option<BTreeMap<ServiceName, Service>> {
    check_ports(&fragments, agent, sink);
    order::check(&fragments, sink);
    let made: Vec<_> = fragments
        .into_iter()
        .map(|(name, fragment)| {
            let service = service(&name, fragment, agent, must_be_loopback, sink);
            Some((name, service?))
        })
        .collect();
    made.into_iter().collect()
}

/// A port belongs to one instance of one service, and none takes the agent's.
fn check_ports(fragments: &[(ServiceName, ServiceFragment)], agent: Option<&Agent>, sink: &Sink) {
    let mut taken: BTreeMap<u16, &Place> = BTreeMap::new();
    for (_, fragment) in fragments {
        let Some((port, place)) = fragment.port.given() else { continue };
        let (count, further) = match fragment.instances.given() {
            Some((count, place)) => (*count, place),
            None => (1, place),
        };
        let Some(last) = port.checked_add(count - 1) else {
            let last = u32::from(*port) + u32::from(count) - 1;
            sink.at(
                further,
                format!("the last of {count} would listen on port {last}, and there is none above 65535"),
            );
            continue;
        };
        let ports = *port..=last;
        let first_taken = ports.clone().find_map(|port| Some((port, *taken.get(&port)?)));
        if let Some((found, by)) = first_taken {
            clash(found, &by.key, (*port, place), further, sink);
        } else {
            taken.extend(ports.clone().map(|port| (port, place)));
        }
        let Some(agent) = agent.filter(|agent| ports.contains(&agent.listen.port())) else { continue };
        let ip = fragment.address.given().map_or(default_ip(agent), |(ip, _)| *ip);
        if agent.listen.ip().is_unspecified() || agent.listen.ip() == ip {
            clash(agent.listen.port(), "agent.listen", (*port, place), further, sink);
        }
    }
}

/// Says who has the port `found` already: of the first instance, or of a further one.
fn clash(found: u16, by: &str, (port, place): (u16, &Place), further: &Place, sink: &Sink) {
    if found == port {
        sink.at(place, format!("{port} is taken already, by {by}"));
    } else {
        let number = found - port;
        sink.at(
            further,
            format!("instance {number} would listen on port {found}, which is taken already, by {by}"),
        );
    }
}

/// Where a service listens that was told nothing else: where its agent does.
fn default_ip(agent: &Agent) -> IpAddr {
    if agent.listen.ip().is_unspecified() { agent.advertise.ip() } else { agent.listen.ip() }
}

fn service(
    name: &ServiceName,
    fragment: ServiceFragment,
    agent: Option<&Agent>,
    must_be_loopback: bool,
    sink: &Sink,
) -> Option<Service> {
    let port = fragment.port.required(sink);
    let ip = fragment.address.optional();
    let readiness = fragment.readiness.or(DEFAULTS.readiness);
    let probe = optional(fragment.probe, |probe| self::probe(probe, sink));
    let instances = fragment.instances.or(DEFAULTS.instances);
    let ports = port.zip(instances);
    let balancer = optional(fragment.balancer, |fragment| {
        balancer::balancer(name, fragment, ports, must_be_loopback, sink)
    });
    let channel = optional(fragment.channel, |fragment| channel::channel(fragment, must_be_loopback, sink));
    let after = fragment.after.or(Vec::new());
    let after_limit = fragment.after_limit.or(DEFAULTS.after_limit);
    let log_limit_bytes = fragment.log_limit_bytes.or(DEFAULTS.log_limit_bytes);
    let programs = programs(fragment.programs);
    let ip = match ip? {
        Some(ip) => ip,
        None => default_ip(agent?),
    };
    Some(Service {
        address: SocketAddr::new(ip, port?),
        instances: instances?,
        after: after?.into_iter().collect(),
        after_limit: after_limit?,
        readiness: readiness?,
        probe: probe?,
        balancer: balancer?,
        channel: channel?,
        programs: programs?,
        environment: fragment.environment,
        log_limit_bytes: log_limit_bytes?,
    })
}

fn programs(fragment: ProgramsFragment) -> Option<Programs> {
    let (user, group) = (fragment.user.optional(), fragment.group.optional());
    let working_directory = fragment.working_directory.optional();
    let environment_files = fragment.environment_files.or(Vec::new());
    let stop_signal = fragment.stop_signal.or(DEFAULTS.stop_signal);
    let limits = limits(fragment.limits);
    Some(Programs {
        user: user?,
        group: group?,
        working_directory: working_directory?,
        environment_files: environment_files?,
        stop_signal: stop_signal?,
        limits: limits?,
    })
}

fn limits(fragment: LimitsFragment) -> Option<Limits> {
    let (open_files, core_bytes) = (fragment.open_files.optional(), fragment.core_bytes.optional());
    let processes = fragment.processes.optional();
    let (memory_bytes, cpu_weight) = (fragment.memory_bytes.optional(), fragment.cpu_weight.optional());
    Some(Limits {
        open_files: open_files?,
        core_bytes: core_bytes?,
        processes: processes?,
        memory_bytes: memory_bytes?,
        cpu_weight: cpu_weight?,
    })
}

fn optional<T, U>(field: Field<T>, make: impl FnOnce(T) -> Option<U>) -> Option<Option<U>> {
    match field.optional()? {
        Some(fragment) => make(fragment).map(Some),
        None => Some(None),
    }
}

fn probe(fragment: ProbeFragment, sink: &Sink) -> Option<ProbeSpec> {
    let timeout = fragment.timeout.or(DEFAULTS.probe_timeout);
    let path = fragment.path.or(DEFAULTS.probe_path.to_owned());
    let status = fragment.status.or(DEFAULTS.probe_status);
    Some(match fragment.kind.required(sink)? {
        ProbeKind::Tcp => ProbeSpec::Tcp { timeout: timeout? },
        ProbeKind::Grpc => ProbeSpec::Grpc { service: fragment.service.optional()?, timeout: timeout? },
        ProbeKind::Command => {
            ProbeSpec::Command { argv: fragment.command.required(sink)?, timeout: timeout? }
        }
        ProbeKind::Http => {
            ProbeSpec::Http { path: path?, status: status?, headers: fragment.headers, timeout: timeout? }
        }
    })
}
