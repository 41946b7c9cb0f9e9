//! What is listed, for programs: hosts, migrations, quarantines, policies, the cluster.

use std::collections::BTreeMap;

use api::view::{ClusterView, FleetHost, Member, ServiceStatus, Status};
use model::{HostId, Policy, ServiceName};
use serde_json::{Value, json};

use super::json::{kept, migration, stale};

pub(super) fn hosts(cluster: &ClusterView, status: &Status) -> Value {
    let host = |host: &FleetHost| {
        let services: BTreeMap<&ServiceName, Value> =
            status.services.iter().filter_map(|service| on_host(service, &host.host)).collect();
        json!({
            "host": host.host,
            "address": host.address,
            "zone": host.zone,
            "role": cluster.role_of(&host.host),
            "level": host.level,
            "silent": cluster.silent.contains(&host.host),
            "quiet_ms": host.quiet.map(|quiet| quiet.as_millis()),
            "services": services,
        })
    };
    let stale = stale(cluster.stale.as_ref().or(status.stale.as_ref()));
    json!({ "hosts": cluster.hosts.iter().map(host).collect::<Vec<_>>(), "stale": stale })
}

fn on_host<'a>(service: &'a ServiceStatus, host: &HostId) -> Option<(&'a ServiceName, Value)> {
    let found = service.hosts.iter().find(|found| found.host == *host)?;
    Some((&service.service, super::json::host(found)))
}

/// Each service's own list, below its name.
fn by_service<T>(
    status: &Status,
    items: impl Fn(&ServiceStatus) -> &[T],
    write: impl Fn(&T) -> Value,
) -> BTreeMap<&ServiceName, Vec<Value>> {
    let of = |service: &'_ ServiceStatus| items(service).iter().map(&write).collect();
    status.services.iter().map(|service| (&service.service, of(service))).collect()
}

pub(super) fn migrations(status: &Status) -> Value {
    let migrations = by_service(status, |service| &service.migrations, migration);
    json!({ "migrations": migrations, "stale": stale(status.stale.as_ref()) })
}

pub(super) fn quarantine(status: &Status) -> Value {
    let quarantine = by_service(status, |service| &service.quarantine, kept);
    json!({ "quarantine": quarantine, "stale": stale(status.stale.as_ref()) })
}

pub(super) fn policies(status: &Status) -> Value {
    let policies: BTreeMap<&ServiceName, Value> =
        status.services.iter().map(|service| (&service.service, policy(&service.policy))).collect();
    json!({ "policies": policies, "stale": stale(status.stale.as_ref()) })
}

fn policy(policy: &Policy) -> Value {
    let deadlines = &policy.deadlines;
    json!({
        "max_unavailable": policy.max_unavailable,
        "canary": policy.canary,
        "wave": policy.wave,
        "soak_ms": policy.soak.as_millis(),
        "wave_soak_ms": policy.wave_soak.as_millis(),
        "failure_tolerance": policy.failure_tolerance,
        "on_failure": policy.on_failure,
        "migrate_per": policy.migrate,
        "rollback_parallel": policy.rollback_parallel,
        "settle_ms": policy.settle.as_millis(),
        "stop_grace_ms": policy.stop_grace.as_millis(),
        "deadlines": {
            "stage_ms": deadlines.stage.as_millis(),
            "migrate_ms": deadlines.migrate.as_millis(),
            "drain_ms": deadlines.drain.as_millis(),
            "healthy_ms": deadlines.healthy.as_millis(),
            "join_ms": deadlines.join.as_millis(),
        },
    })
}

pub(super) fn cluster(cluster: &ClusterView) -> Value {
    let members = |members: &[Member]| -> Vec<Value> {
        let member =
            |member: &Member| json!({ "host": member.host, "node": member.node, "address": member.address });
        members.iter().map(member).collect()
    };
    json!({
        "cluster": cluster.cluster,
        "leader": cluster.leader,
        "revision": cluster.revision,
        "answered_by": cluster.answered_by,
        "fleet_level": cluster.fleet_level,
        "voters": members(&cluster.voters),
        "learners": members(&cluster.learners),
        "silent": cluster.silent,
        "hosts": cluster.hosts.iter().map(|host| json!({
            "host": host.host, "address": host.address, "zone": host.zone, "level": host.level,
            "quiet_ms": host.quiet.map(|quiet| quiet.as_millis()),
        })).collect::<Vec<_>>(),
        "stale": stale(cluster.stale.as_ref()),
    })
}
