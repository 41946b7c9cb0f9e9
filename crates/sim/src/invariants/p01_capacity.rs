//! P1 capacity: no act of ours takes a host of a service out while more than `max_unavailable` of its hosts would then be out.
//!
//! Twice: at every grant and every leave to begin, as the fleet machine counts; and in truth, whenever a host that serves is disturbed, over the
//! hosts that are out because of us.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Fence, ServiceName,
    fleet::{Availability, Fleet, HostService, PhaseKind, Purpose, RolloutKind, Service},
};

use super::{Applied, Verdict, overridden::Overridden};
use crate::{HostNo, ServiceNo, world::World};

/// What it remembers.
pub(crate) struct Capacity {
    /// Hosts that were taken out of service by us and are not done, for each service.
    taken: Vec<BTreeMap<HostNo, Fence>>,
    /// The largest budget that counted since somebody was taken out.
    budget: Vec<u32>,
    /// Hosts that were known to be out when they got leave to go: that takes none of the budget, even when they are back before they go.
    known_out: BTreeSet<(ServiceNo, HostNo)>,
}

impl Capacity {
    pub(crate) fn new(services: usize) -> Self {
        Self { taken: vec![BTreeMap::new(); services], budget: vec![0; services], known_out: BTreeSet::new() }
    }

    pub(crate) fn applied(&mut self, world: &World, applied: &Applied<'_>) -> Verdict {
        for (name, service) in &applied.after.services {
            if let Some(number) = world.service_number(name) {
                let limit = service.policy.max_unavailable.get();
                self.budget[number] =
                    if self.taken[number].is_empty() { limit } else { self.budget[number].max(limit) };
            }
            self.note_known_out(world, applied, name);
            as_counted(applied.before, applied.after, name, service).map_err(|text| ("P1", text))?;
        }
        Ok(())
    }

    fn note_known_out(&mut self, world: &World, applied: &Applied<'_>, name: &ServiceName) {
        let Some(service) = world.service_number(name) else { return };
        for (host, here) in applied.after.declaring(name) {
            let then = applied.before.hosts.get(host).and_then(|record| record.services.get(name));
            let (Some(host), Some(then)) = (world.number(host), then) else { continue };
            let phase = |here: &HostService| here.change.as_ref().map(|change| change.phase);
            if phase(here) == phase(then) {
                continue;
            }
            if phase(then) == Some(PhaseKind::Granted) && then.availability == Availability::Out {
                self.known_out.insert((service, host));
            } else if phase(here).is_none() {
                self.known_out.remove(&(service, host));
            }
        }
    }

    /// A host is taken out, or its process is stopped.
    pub(crate) fn disturbs(
        &mut self,
        world: &World,
        overridden: &Overridden,
        host: HostNo,
        service: ServiceNo,
    ) -> Verdict {
        let counts = |host: HostNo| {
            let record = world.fleet.hosts.get(&world.hosts[host].name);
            record.and_then(|record| record.services.get(&world.services[service])).is_some_and(sums)
        };
        let change =
            |host: HostNo| world.hosts[host].disks[service].ledger.change.as_ref().map(|change| change.fence);
        self.taken[service].retain(|host, fence| change(*host) == Some(*fence) && counts(*host));
        let Some(fence) = change(host) else { return Ok(()) };
        let known = &world.fleet.services[&world.services[service]];
        let limit = known.policy.max_unavailable.get();
        self.budget[service] =
            if self.taken[service].is_empty() { limit } else { self.budget[service].max(limit) };
        if !counts(host)
            || !world.is_in_service(host, service)
            || self.taken[service].contains_key(&host)
            || overridden.contains(service, host)
        {
            return Ok(());
        }
        if self.known_out.contains(&(service, host)) {
            return Ok(());
        }
        let others = self.taken[service].keys().filter(|other| !overridden.contains(service, **other));
        let out = 1 + u32::try_from(others.count()).unwrap_or(u32::MAX);
        let budget = self.budget[service];
        if budget < out {
            let text =
                format!("h{host} is taken out of service, and {out} are out because of us then, of {budget}");
            return Err(("P1", text));
        }
        self.taken[service].insert(host, fence);
        Ok(())
    }
}

/// Whether it is part of the sum, and whether the sum takes it as out: in words of the promise, not of the fleet machine.
fn sums(here: &HostService) -> bool {
    here.counted && here.excluded.is_none()
}

fn is_out(here: &HostService) -> bool {
    here.availability != Availability::In || here.change.is_some()
}

fn as_counted(before: &Fleet, after: &Fleet, name: &ServiceName, service: &Service) -> Result<(), String> {
    for (host, here) in after.declaring(name) {
        let then = before.hosts.get(host).and_then(|record| record.services.get(name));
        let change = then.and_then(|then| then.change.as_ref());
        let availability = then.map_or(Availability::Out, |then| then.availability);
        if let Some(granted) = &here.change
            && change.map(|change| change.fence) != Some(granted.fence)
        {
            within(after, name, service, here, availability, host.as_str())?;
            slots(after, name, service, here, granted.purpose, host.as_str())?;
        }
        let begun = here.change.as_ref().is_some_and(|change| change.phase == PhaseKind::Draining);
        if begun && change.is_some_and(|change| change.phase == PhaseKind::Granted) {
            within(after, name, service, here, availability, host.as_str())?;
        }
        let nothing = here.current.is_none() && service.last_completed().is_none();
        if then.is_some_and(|then| then.counted) && !here.counted && !nothing {
            return Err(format!("{host} no longer counts"));
        }
    }
    Ok(())
}

/// A host that may be in service is taken out only while the policy has room for it.
fn within(
    fleet: &Fleet,
    name: &ServiceName,
    service: &Service,
    here: &HostService,
    availability: Availability,
    host: &str,
) -> Result<(), String> {
    let out = fleet.declaring(name).filter(|(_, here)| sums(here) && is_out(here)).count();
    let limit = service.policy.max_unavailable.get() as usize;
    if sums(here) && availability != Availability::Out && limit < out {
        return Err(format!("{host} gets leave to go, and {out} are out then, of {limit}"));
    }
    Ok(())
}

fn slots(
    fleet: &Fleet,
    name: &ServiceName,
    service: &Service,
    here: &HostService,
    purpose: Purpose,
    host: &str,
) -> Result<(), String> {
    let policy = &service.policy;
    let back = service.active().is_some_and(|active| {
        matches!(active.kind, RolloutKind::RollbackOf { .. } | RolloutKind::Rollback)
            && purpose == Purpose::Rollout(active.id)
    });
    let limit =
        if back { policy.rollback_parallel.max(policy.max_unavailable) } else { policy.max_unavailable };
    let taken = fleet.declaring(name).filter(|(_, here)| sums(here) && here.change.is_some()).count();
    if sums(here) && (limit.get() as usize) < taken {
        return Err(format!("{taken} slots are taken of {limit}, the last by {host}"));
    }
    Ok(())
}
