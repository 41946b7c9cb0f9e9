//! What holds after every log entry, whatever was asked and in whatever order.

use std::collections::BTreeMap;

use crate::{
    Fence, HostId, ReleaseId, ServiceName,
    fleet::{
        Act, Availability, Change, Fleet, Halting, HostService, Lock, MigrationEnd, MigrationLock,
        MigrationState, Outcome, PartState, PhaseKind, Purpose, Report, Request, RolloutKind, RolloutPhase,
        Service, Verdict,
    },
};

/// What is compared with the state after an entry.
pub(super) struct Before {
    hosts: BTreeMap<HostId, (Option<Change>, Availability, bool)>,
    lock: Option<MigrationLock>,
    migrations: BTreeMap<(ReleaseId, Option<HostId>), MigrationState>,
    completed: Option<ReleaseId>,
}

impl Before {
    pub(super) fn of(fleet: &Fleet, name: &ServiceName) -> Self {
        let service = fleet.services.get(name);
        Self {
            hosts: fleet
                .declaring(name)
                .map(|(host, here)| (host.clone(), (here.change.clone(), here.availability, here.counted)))
                .collect(),
            lock: service.and_then(|service| service.migration_lock.clone()),
            migrations: service.map(migrations).unwrap_or_default(),
            completed: service.and_then(|service| service.last_completed().map(|release| release.id.clone())),
        }
    }

    /// Checks the state after `act`.
    pub(super) fn check(&self, fleet: &Fleet, name: &ServiceName, act: &Act) -> Result<(), String> {
        let Some(service) = fleet.services.get(name) else { return Ok(()) };
        for (host, here) in fleet.declaring(name) {
            let before = self.hosts.get(host);
            let (change, availability) =
                before.map_or((None, Availability::Out), |(change, is, _)| (change.as_ref(), *is));
            let fence = |change: &Change| change.fence;
            if let Some(granted) = &here.change
                && change.map(fence) != Some(granted.fence)
            {
                grants(fleet, name, service, (host, here), granted)?;
            }
            let begun = here.change.as_ref().is_some_and(|change| change.phase == PhaseKind::Draining);
            if begun && change.is_some_and(|change| change.phase == PhaseKind::Granted) {
                capacity(fleet, name, service, host, availability)?;
            }
            if let Some(change) = change
                && here.change.as_ref().map(fence) != Some(change.fence)
                && change.phase != PhaseKind::Granted
                && !frees(act, host, change.fence)
            {
                return Err(format!("P5: {host} lost the slot of fence {} by {act:?}", change.fence));
            }
            // Only where nothing has ever completed may a host be sent back to nothing, and then there is nothing to be out of.
            let nothing = here.current.is_none() && service.last_completed().is_none();
            if before.is_some_and(|(_, _, counted)| *counted) && !here.counted && !nothing {
                return Err(format!("P1: {host} no longer counts"));
            }
        }
        self.migration(service, act)?;
        self.rollouts(fleet, name, service)
    }

    /// P2: a migration that was started is never started again by itself, and only evidence frees its lock.
    fn migration(&self, service: &Service, act: &Act) -> Result<(), String> {
        let after = migrations(service);
        for (key, state) in &after {
            let before = self.migrations.get(key).unwrap_or(&MigrationState::Never);
            if let (MigrationState::Running { .. }, MigrationState::Never) = (before, state)
                && !matches!(
                    act,
                    Act::Report {
                        report: Report::MigrationEnded { end: MigrationEnd::NotStarted { .. }, .. },
                        ..
                    }
                )
            {
                return Err(format!("P2: the migration {key:?} was forgotten by {act:?}"));
            }
            let done = matches!(before, MigrationState::Failed { .. } | MigrationState::Unknown { .. });
            if done && *state == MigrationState::Never && !retries(act) {
                return Err(format!("P2: the migration {key:?} may be retried after {act:?}"));
            }
            if *before == MigrationState::Succeeded && before != state {
                return Err(format!("P2: the migration {key:?} had succeeded, and is {state}"));
            }
            let runs = matches!(state, MigrationState::Running { .. });
            if runs && !matches!(before, MigrationState::Never | MigrationState::Running { .. }) {
                return Err(format!("P2: the migration {key:?} was {before}, and runs again"));
            }
        }
        if let Some(lock) = &self.lock
            && service.migration_lock.as_ref() != Some(lock)
            && !frees_migration(act, lock)
        {
            return Err(format!("P5: {} lost the migration lock by {act:?}", lock.host));
        }
        let running = after.values().filter(|state| matches!(state, MigrationState::Running { .. })).count();
        if running != usize::from(service.migration_lock.is_some()) {
            return Err(format!("P2: {running} migrations run, the lock is {:?}", service.migration_lock));
        }
        Ok(())
    }

    fn rollouts(&self, fleet: &Fleet, name: &ServiceName, service: &Service) -> Result<(), String> {
        let last = service.last_completed().map(|release| &release.id);
        if last != self.completed.as_ref() {
            let proven = service.rollouts.values().rev().find(|rollout| {
                rollout.outcome() == Some(&Outcome::Completed)
                    && rollout.target.as_ref().map(|target| &target.id) == last
            });
            if !proven.is_some_and(|rollout| rollout.is_proven()) {
                return Err(format!("P7: {last:?} completed, but no host has it"));
            }
        }
        if let Some(last) = last.filter(|last| service.quarantine.contains_key(*last)) {
            return Err(format!("P6: {last} is what joiners get, and condemned"));
        }
        let Some(active) = service.active() else { return Ok(()) };
        let target = active.target.as_ref().map(|target| &target.id);
        let condemned = target.is_some_and(|target| service.quarantine.contains_key(target));
        let stopped = matches!(active.phase, RolloutPhase::Halted { during: Halting::Rolling, .. });
        if condemned && !stopped {
            return Err(format!("P6: {} is {}, to a condemned release", active.id, active.phase));
        }
        if matches!(active.phase, RolloutPhase::RollingBack { .. } | RolloutPhase::Queued) {
            return Err(format!("{} is under way, but {}", active.id, active.phase));
        }
        for (host, part) in &active.parts {
            let here = fleet.hosts.get(host).and_then(|record| record.services.get(name));
            let change = here.and_then(|here| here.change.as_ref());
            let ours = change.is_some_and(|change| change.purpose == Purpose::Rollout(active.id));
            let fits = match part.state {
                PartState::Changing => ours,
                PartState::Pending | PartState::Changed => !ours,
                PartState::Failed | PartState::Dropped => true,
            };
            if !fits {
                return Err(format!("the part of {host} in {} is {:?}: {change:?}", active.id, part.state));
            }
            if part.state == PartState::Pending
                && here.is_none_or(|here| here.excluded.is_some() || here.parked.is_some())
            {
                return Err(format!("{host} waits for its turn in {}, and can never have it", active.id));
            }
        }
        Ok(())
    }
}

fn migrations(service: &Service) -> BTreeMap<(ReleaseId, Option<HostId>), MigrationState> {
    let each = |(release, known): (&ReleaseId, &std::sync::Arc<crate::fleet::Migrations>)| {
        let states = known.states().map(|(host, state)| ((release.clone(), host.cloned()), state.clone()));
        states.collect::<Vec<_>>()
    };
    service.migrations.iter().flat_map(each).collect()
}

/// P1, P3, P6 and P9 at a grant.
fn grants(
    fleet: &Fleet,
    name: &ServiceName,
    service: &Service,
    (host, here): (&HostId, &HostService),
    change: &Change,
) -> Result<(), String> {
    capacity(fleet, name, service, host, here.availability)?;
    let policy = &service.policy;
    let back = service.active().is_some_and(|active| {
        matches!(active.kind, RolloutKind::RollbackOf { .. } | RolloutKind::Rollback)
            && change.purpose == Purpose::Rollout(active.id)
    });
    let slots =
        if back { policy.rollback_parallel.max(policy.max_unavailable) } else { policy.max_unavailable };
    let taken = fleet.declaring(name).filter(|(_, here)| here.sums() && here.change.is_some()).count();
    if here.sums() && (slots.get() as usize) < taken {
        return Err(format!("P1: {taken} slots are taken of {slots}, the last by {host}"));
    }
    let park = change.purpose == Purpose::Park;
    if !park && (here.excluded.is_some() || here.parked.is_some()) {
        return Err(format!("{host} got a slot although it is excluded or drained"));
    }
    let Some(to) = change.to.as_ref().filter(|_| !park) else { return Ok(()) };
    if service.quarantine.contains_key(&to.id) {
        return Err(format!("P6: {host} got a slot for the condemned {}", to.id));
    }
    if !service.migration(to, host).lets_start() {
        return Err(format!("P3: {host} got a slot for {}, which is not migrated", to.id));
    }
    if !here.staged.contains(&to.id) {
        return Err(format!("P9: {host} got a slot for {}, which it does not have", to.id));
    }
    Ok(())
}

/// P1: a host that may be in service is taken out only while the policy has room for it.
fn capacity(
    fleet: &Fleet,
    name: &ServiceName,
    service: &Service,
    host: &HostId,
    availability: Availability,
) -> Result<(), String> {
    let sums = fleet.declaring(name).any(|(other, here)| other == host && here.sums());
    let out = fleet.declaring(name).filter(|(_, here)| here.sums() && here.is_out()).count();
    let limit = service.policy.max_unavailable.get() as usize;
    if sums && availability != Availability::Out && limit < out {
        return Err(format!("P1: {host} is taken out, and {out} are out then, of {limit}"));
    }
    Ok(())
}

fn frees(act: &Act, host: &HostId, of: Fence) -> bool {
    match act {
        Act::Report { host: reporter, report, .. } => {
            let fence = match report {
                Report::Changed { fence } | Report::Reverted { fence } | Report::Abandoned { fence, .. } => {
                    fence
                }
                _ => return false,
            };
            reporter == host && *fence == of
        }
        Act::Depart { host: gone, .. } => gone == host,
        Act::Ask { request: Request::BreakSlot { host: broken }, .. } => broken == host,
        Act::Ask { request: Request::BreakGrant { lock: Lock::SlotOf(broken), fence }, .. } => {
            broken == host && *fence == of
        }
        _ => false,
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

fn retries(act: &Act) -> bool {
    matches!(
        act,
        Act::Ask {
            request: Request::ResolveMigration { verdict: Verdict::Retry, .. }
                | Request::ReleaseQuarantine { .. },
            ..
        }
    )
}
