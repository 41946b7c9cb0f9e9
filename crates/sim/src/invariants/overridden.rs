//! Hosts whose slot an operator broke. He answers for them, until the fleet knows again what is true of them.

use std::collections::BTreeSet;

use model::{
    HostId, ServiceName,
    fleet::{Act, Lock, Reply, Request},
};

use super::Applied;
use crate::{HostNo, ServiceNo, world::World};

/// Those hosts.
#[derive(Default)]
pub(crate) struct Overridden(BTreeSet<(ServiceNo, HostNo)>);

impl Overridden {
    pub(crate) fn contains(&self, service: ServiceNo, host: HostNo) -> bool {
        self.0.contains(&(service, host))
    }

    pub(crate) fn applied(&mut self, world: &World, applied: &Applied<'_>) {
        if let Some((service, host)) = broken(applied)
            && let (Some(service), Some(host)) = (world.service_number(service), world.number(host))
        {
            self.0.insert((service, host));
        }
        if let Act::Report { service, host, .. } = applied.act
            && let (Some(service), Some(host)) = (world.service_number(service), world.number(host))
            && self.contains(service, host)
            && is_known(world, applied, service, host)
        {
            self.0.remove(&(service, host));
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
