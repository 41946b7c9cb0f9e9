//! P5 evidence, not time, frees a lock: a slot or the migration lock is given back by its holder, or by one of three kinds of evidence.

use model::{
    Fence, HostId,
    fleet::{Act, Evidence, Fleet, Lock, MigrationLock, PhaseKind, Report, Request},
};

use super::{Applied, Verdict};
use crate::world::World;

pub(crate) fn applied(world: &World, applied: &Applied<'_>) -> Verdict {
    let Applied { before, after, act, .. } = applied;
    // What comes twice changes nothing.
    if let Act::Depart { host, evidence } = act
        && before.hosts.get(host) != after.hosts.get(host)
        && !is_so(world, before, host, evidence)
    {
        return Err(("P5", format!("{host} departs as {evidence:?}, and is there")));
    }
    for (name, service) in &before.services {
        for (host, here) in before.declaring(name) {
            let Some(change) = here.change.as_ref().filter(|change| change.phase != PhaseKind::Granted)
            else {
                continue;
            };
            if holds(after, host, name, change.fence) || frees(act, host, change.fence) {
                continue;
            }
            return Err(("P5", format!("{host} loses the slot of fence {} by {act:?}", change.fence)));
        }
        let Some(lock) = &service.migration_lock else { continue };
        let now = after.services.get(name).and_then(|service| service.migration_lock.as_ref());
        if now != Some(lock) && !frees_migration(act, lock) {
            return Err(("P5", format!("{} loses the migration lock by {act:?}", lock.host)));
        }
    }
    Ok(())
}

/// Whether the evidence is true.
fn is_so(world: &World, before: &Fleet, host: &HostId, evidence: &Evidence) -> bool {
    let Some(here) = world.number(host).map(|host| &world.hosts[host]) else { return false };
    let removed = matches!(evidence, Evidence::Removed(_));
    // Or another machine has its name now.
    let known = before.hosts.get(host).map(|known| &known.state);
    here.terminated && here.removed == removed || removed && known != Some(&here.state)
}

fn holds(fleet: &Fleet, host: &HostId, service: &model::ServiceName, fence: Fence) -> bool {
    let here = fleet.hosts.get(host).and_then(|record| record.services.get(service));
    here.and_then(|here| here.change.as_ref()).is_some_and(|change| change.fence == fence)
}

fn frees(act: &Act, host: &HostId, of: Fence) -> bool {
    match act {
        Act::Report { host: reporter, report, .. } => reporter == host && gives_back(report) == Some(of),
        Act::Depart { host: gone, .. } => gone == host,
        Act::Ask { request: Request::BreakSlot { host: broken }, .. } => broken == host,
        Act::Ask { request: Request::BreakGrant { lock: Lock::SlotOf(broken), fence }, .. } => {
            broken == host && *fence == of
        }
        _ => false,
    }
}

/// The grant that a report says is over.
fn gives_back(report: &Report) -> Option<Fence> {
    match report {
        Report::Changed { fence } | Report::Reverted { fence } | Report::Abandoned { fence, .. } => {
            Some(*fence)
        }
        _ => None,
    }
}

fn frees_migration(act: &Act, lock: &MigrationLock) -> bool {
    match act {
        Act::Report { host, report: Report::MigrationEnded { fence, .. }, .. } => {
            *host == lock.host && *fence == lock.fence
        }
        Act::Depart { host, .. } => *host == lock.host,
        Act::Ask { request: Request::BreakMigrationLock, .. } => true,
        Act::Ask { request: Request::BreakGrant { lock: Lock::Migration, fence }, .. } => {
            *fence == lock.fence
        }
        _ => false,
    }
}
