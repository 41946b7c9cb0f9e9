//! P2 and P3: a release's migration is started once, and its outcome is a fact.

use std::sync::Arc;

use super::{
    command::{MigrationEnd, Refusal},
    event::EventKind,
    migration::{MigrationLock, MigrationState, Migrations},
    rollout::{Halt, Halting, Outcome, PartState, Rollout, RolloutPhase},
    scene::Scene,
};
use crate::{Fence, HostId, Release, ReleaseId, RolloutId};

impl Scene<'_> {
    /// Gives `host` the migration lock for `release`, if its migration was never started and nobody has the lock.
    pub(super) fn grant_migration(&mut self, host: &HostId, release: &ReleaseId) -> Result<(), Refusal> {
        let (release, rollout) = self.migratable(release)?;
        let refuse = |reason: String| Refusal::MigrationLocked { release: release.id.clone(), reason };
        if self.service.quarantine.contains_key(&release.id) {
            return Err(refuse("it is quarantined".into()));
        }
        if let Some(lock) = &self.service.migration_lock {
            return Err(refuse(format!("{} has the lock", lock.host)));
        }
        let here = self.host(host)?;
        if here.excluded.is_some() {
            return Err(Refusal::HostNotFree { host: host.clone(), state: "excluded".into() });
        }
        if !here.staged.contains(&release.id) {
            return Err(Refusal::NotStaged { host: host.clone(), release: release.id.clone() });
        }
        match self.service.migration(&release, host) {
            MigrationState::Never => (),
            known => return Err(refuse(format!("it is {known}"))),
        }
        let (per, fence) = (self.service.policy.migrate, self.scribe.fence());
        let known = self.service.migrations.entry(release.id.clone());
        let known = known.or_insert_with(|| Arc::new(Migrations::new(per)));
        let state = MigrationState::Running { host: host.clone(), started: false };
        Arc::make_mut(known).set(host, state.clone());
        self.service.migration_lock =
            Some(MigrationLock { host: host.clone(), fence, release: release.clone() });
        self.note(rollout, Some(host), EventKind::Migration { release: release.id, state });
        Ok(())
    }

    /// The release of this id that may be migrated to now: the target of the rollout under way, or what joiners get.
    fn migratable(&self, id: &ReleaseId) -> Result<(Release, Option<RolloutId>), Refusal> {
        let active = self.service.active().filter(|active| {
            let phase = matches!(active.phase, RolloutPhase::Migrating | RolloutPhase::Rolling);
            phase && active.paused.is_none()
        });
        let target = active.and_then(|active| Some((active.target.clone()?, Some(active.id))));
        let completed = self.service.last_completed().map(|release| (release.clone(), None));
        let found = [target, completed].into_iter().flatten().find(|(release, _)| release.id == *id);
        found.ok_or(Refusal::NoRollout)
    }

    pub(super) fn migration_started(&mut self, host: &HostId, fence: Fence) -> Result<(), Refusal> {
        let release = self.lock_of(host, fence)?.release.id.clone();
        let state = MigrationState::Running { host: host.clone(), started: true };
        if let Some(known) = self.service.migrations.get_mut(&release) {
            if *known.of(host) == state {
                return Ok(());
            }
            Arc::make_mut(known).set(host, state.clone());
        }
        let rollout = self.rollout_to(&release).map(|rollout| rollout.id);
        self.note(rollout, Some(host), EventKind::Migration { release, state });
        Ok(())
    }

    pub(super) fn migration_ended(
        &mut self,
        host: &HostId,
        fence: Fence,
        end: &MigrationEnd,
        tail: &Arc<str>,
    ) -> Result<(), Refusal> {
        let release = self.lock_of(host, fence)?.release.clone();
        let started =
            matches!(self.service.migration(&release, host), MigrationState::Running { started: true, .. });
        self.service.migration_lock = None;
        let tail = tail.clone();
        let state = match end {
            // It cannot be both; the doubt is for the operator.
            MigrationEnd::NotStarted { reason } if started => {
                MigrationState::Unknown { host: host.clone(), reason: reason.clone(), tail }
            }
            MigrationEnd::Succeeded => MigrationState::Succeeded,
            MigrationEnd::Failed { reason } => MigrationState::Failed { reason: reason.clone(), tail },
            MigrationEnd::Unknown { reason } => {
                MigrationState::Unknown { host: host.clone(), reason: reason.clone(), tail }
            }
            MigrationEnd::NotStarted { reason } => {
                // Not at once again: a host that cannot start it would be asked without end.
                let here = self.host_mut(host)?;
                here.abandoned = here.abandoned.saturating_add(1);
                here.abandoned_reason = Some(reason.clone());
                MigrationState::Never
            }
        };
        self.migration_became(&release, host, state);
        Ok(())
    }

    /// Writes down what became of a migration, and what follows from it for the rollout that needs it.
    pub(super) fn migration_became(&mut self, release: &Release, host: &HostId, state: MigrationState) {
        if let Some(known) = self.service.migrations.get_mut(&release.id) {
            Arc::make_mut(known).set(host, state.clone());
        }
        let id = self.rollout_to(&release.id).map(|rollout| rollout.id);
        self.note(id, Some(host), EventKind::Migration { release: release.id.clone(), state: state.clone() });
        match state {
            MigrationState::Failed { reason, .. } => self.migration_failed(&release.id, host, &reason),
            MigrationState::Unknown { .. } => {
                let phase = self.rollout_to(&release.id).map(|rollout| (rollout.id, rollout.phase.clone()));
                if let Some((id, RolloutPhase::Migrating | RolloutPhase::Rolling)) = phase {
                    self.halt(id, Halting::Migrating, Halt::MigrationUnknown { host: host.clone() });
                }
            }
            _ => (),
        }
        self.let_next_stage();
    }

    /// The rollout under way, if it goes to this release.
    pub(super) fn rollout_to(&self, release: &ReleaseId) -> Option<&Rollout> {
        let active = self.service.active()?;
        active.target.as_ref().is_some_and(|target| target.id == *release).then_some(active)
    }

    /// P6: a release whose migration failed is condemned, also when its rollout was given up meanwhile. One that completed before is
    /// not: the host that joined late goes without it.
    pub(super) fn migration_failed(&mut self, release: &ReleaseId, host: &HostId, reason: &str) {
        let rollout = self.rollout_to(release).map(|rollout| (rollout.id, rollout.phase.clone()));
        if !self.is_good(release) {
            let id = rollout.as_ref().map(|(id, _)| *id);
            self.quarantine(release, id, &format!("its migration failed on {host}: {reason}"));
        }
        let Some((id, phase)) = rollout else { return };
        if matches!(phase, RolloutPhase::Halted { during: Halting::Rolling, why: Halt::Failed { .. } }) {
            return;
        }
        if self.rollout(id).is_ok_and(Rollout::is_rollback) {
            self.set_part(id, host, PartState::Failed);
            if phase != RolloutPhase::Rolling {
                self.set_phase(id, RolloutPhase::Rolling);
            }
        } else if self.has_touched(id) {
            self.undo(id, host);
        } else {
            self.finish(id, &Outcome::FailedInMigration);
        }
    }

    /// A migration whose end nobody saw, in an earlier attempt, waits for an operator's word in this one too.
    pub(super) fn halt_on_unknown_migration(&mut self, id: RolloutId) {
        let Ok(rollout) = self.rollout(id) else { return };
        let Some(target) = rollout.target.as_ref().filter(|_| rollout.phase == RolloutPhase::Migrating)
        else {
            return;
        };
        let pending = rollout.parts.iter().filter(|(_, part)| part.state == PartState::Pending);
        let unknown =
            pending.map(|(host, _)| self.service.migration(target, host)).find_map(|state| match state {
                MigrationState::Unknown { host, .. } => Some(host),
                _ => None,
            });
        if let Some(host) = unknown {
            self.halt(id, Halting::Migrating, Halt::MigrationUnknown { host });
        }
    }

    fn lock_of(&self, host: &HostId, fence: Fence) -> Result<&MigrationLock, Refusal> {
        let lock = self.service.migration_lock.as_ref();
        let actual = lock.map_or("free".to_owned(), |lock| format!("{} at fence {}", lock.host, lock.fence));
        lock.filter(|lock| lock.host == *host && lock.fence == fence).ok_or_else(|| Refusal::Outdated {
            assumed: format!("the migration lock is with {host} at fence {fence}"),
            actual,
        })
    }
}
