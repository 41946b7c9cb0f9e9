//! Makes the settings of what sends requests to a service.

use std::{collections::BTreeMap, net::IpAddr};

use model::ServiceName;

use super::super::{check_loopback, only_once};
use crate::{
    fragment::service::{BalancerFragment, BalancerKind, GroupFragment},
    problem::{Place, Sink},
    section::Field,
    settings::{Balancer, TargetGroup},
};

/// `ports` are the service's own, the first and how many.
pub(super) fn balancer(
    name: &ServiceName,
    fragment: BalancerFragment,
    ports: Option<(u16, u16)>,
    must_be_loopback: bool,
    sink: &Sink,
) -> Option<Balancer> {
    match fragment.kind {
        Field::Given(BalancerKind::Aws, _) => aws(fragment, ports, sink),
        _ => local(name, fragment, must_be_loopback, sink),
    }
}

fn aws(fragment: BalancerFragment, ports: Option<(u16, u16)>, sink: &Sink) -> Option<Balancer> {
    let fragments = fragment.target_groups.required(sink)?;
    let mut arns: BTreeMap<String, Place> = BTreeMap::new();
    let mut region: Option<String> = None;
    for group in &fragments {
        let Some((arn, place)) = group.arn.given() else { continue };
        only_once(&mut arns, arn.text.clone(), place, sink);
        let first = region.get_or_insert_with(|| arn.region.clone());
        if *first != arn.region {
            sink.at(place, format!("must be of region {first}, as the others are: a host is in one region"));
        }
    }
    let made: Vec<_> = fragments.into_iter().map(|group| target_group(group, ports, sink)).collect();
    let groups: Vec<TargetGroup> = made.into_iter().collect::<Option<_>>()?;
    (!groups.is_empty()).then_some(Balancer::Aws { groups })
}

fn target_group(fragment: GroupFragment, ports: Option<(u16, u16)>, sink: &Sink) -> Option<TargetGroup> {
    let arn = fragment.arn.required(sink);
    let (own, instances) = ports?;
    if let Some((port, place)) = fragment.port.given()
        && port.checked_add(instances - 1).is_none()
    {
        sink.at(place, format!("leaves no room for {instances} instances: there is no port above 65535"));
    }
    let port = fragment.port.or(own);
    let arn = arn?;
    Some(TargetGroup { arn: arn.text, region: arn.region, name: arn.name, port: port? })
}

fn local(
    name: &ServiceName,
    fragment: BalancerFragment,
    must_be_loopback: bool,
    sink: &Sink,
) -> Option<Balancer> {
    if let Some((url, place)) = fragment.url.given()
        && must_be_loopback
        && !names_localhost(url)
    {
        match ip_of(url) {
            Some(ip) => check_loopback(ip, place, sink),
            None => sink.at(
                place,
                "must be a loopback address or localhost: until TLS exists, what a name stands for cannot be \
                 proven; where the network is trusted, set transport.insecure = true",
            ),
        }
    }
    let kind = fragment.kind.required(sink);
    let url = fragment.url.required(sink);
    let group = fragment.group.or(name.to_string());
    kind?;
    Some(Balancer::Local { url: url?, group: group? })
}

fn host_of(url: &str) -> &str {
    let authority = url.strip_prefix("http://").unwrap_or(url);
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

fn names_localhost(url: &str) -> bool {
    host_of(url).eq_ignore_ascii_case("localhost")
}

fn ip_of(url: &str) -> Option<IpAddr> {
    host_of(url).trim_matches(['[', ']']).parse().ok()
}
