//! Hosts whose slot an operator broke. He answers for them, until the fleet knows again what is true of them.

use std::collections::BTreeSet;

use model::{
    HostId, ReleaseId, ServiceName,
    fleet::{Act, Lock, Reply, Request},
};

use super::Applied;
use crate::{HostNo, ServiceNo, world::World};

/// What operators answer for.
#[derive(Default)]
pub(crate) struct Overridden {
    hosts: BTreeSet<(ServiceNo, HostNo)>,
    /// Releases that one said may be used again.
    released: BTreeSet<(ServiceNo, ReleaseId)>,
}

impl Overridden {
    pub(crate) fn contains(&self, service: ServiceNo, host: HostNo) -> bool {
        self.hosts.contains(&(service, host))
    }

    /// Whether an operator has released it from quarantine.
    pub(crate) fn was_released(&self, service: ServiceNo, release: &ReleaseId) -> bool {
        self.released.contains(&(service, release.clone()))
    }

    pub(crate) fn applied(&mut self, world: &World, applied: &Applied<'_>) {
        if let Some((service, host)) = broken(applied)
            && let (Some(service), Some(host)) = (world.service_number(service), world.number(host))
        {
            self.hosts.insert((service, host));
        }
        if let Act::Ask { service, request: Request::ReleaseQuarantine { release }, .. } = applied.act
            && let (Some(service), Reply::Done) = (world.service_number(service), applied.reply)
        {
            self.released.insert((service, release.clone()));
        }
        if let Act::Report { service, host, .. } = applied.act
            && let (Some(service), Some(host)) = (world.service_number(service), world.number(host))
            && self.contains(service, host)
            && is_known(world, applied, service, host)
        {
            self.hosts.remove(&(service, host));
        }
    }
}

/// Whose slot was broken.
fn broken<'a>(applied: &'a Applied<'_>) -> Option<(&'a ServiceName, &'a HostId)> {
    let Act::Ask { service, request, .. } = applied.act else { return None };
    match (request, applied.reply) {
        (Request::BreakSlot { host } | Request::BreakGrant { lock: Lock::SlotOf(host), .. }, Reply::Done) => {
            Some((service, host))
        }
        _ => None,
    }
}

/// Whether the fleet believes of the host what is so.
fn is_known(world: &World, applied: &Applied<'_>, service: ServiceNo, host: HostNo) -> bool {
    let record = applied.after.hosts.get(&world.hosts[host].name);
    let believed = record.and_then(|record| record.services.get(&world.services[service]));
    let ledger = &world.hosts[host].disks[service].ledger;
    believed.is_some_and(|believed| {
        let changes = believed.change.as_ref().map(|change| change.fence);
        changes == ledger.change.as_ref().map(|change| change.fence) && believed.current == ledger.serving
    })
}
