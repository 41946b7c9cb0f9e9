//! Who runs `bin/migrate`, and when.

use super::{Desk, Why};
use crate::{
    HostId, Release,
    fleet::{MigrationState, PartState, Rollout, Step},
};

impl Desk<'_> {
    pub(super) fn migrate(&mut self, rollout: &Rollout) {
        let Some(target) = &rollout.target else { return };
        let pending = rollout.parts.iter().filter(|(_, part)| part.state == PartState::Pending);
        let (silent, hosts): (Vec<&HostId>, Vec<&HostId>) =
            pending.map(|(host, _)| host).partition(|host| self.is_silent(host));
        if hosts.is_empty() && !silent.is_empty() {
            for host in silent {
                self.hold(Some(rollout), Why::HostSilent { host: host.clone(), holds_slot: false });
            }
            return;
        }
        let done = hosts.iter().all(|host| self.service.migration(target, host).lets_start());
        if done {
            self.steps.push(Step::EndMigrating { rollout: rollout.id });
            return;
        }
        for host in hosts {
            self.migrate_on(Some(rollout), host, target);
        }
    }

    /// Grants the migration lock if the release waits for it on this host, or says what it waits for. Returns whether the host
    /// may start the release.
    pub(super) fn migrate_on(&mut self, rollout: Option<&Rollout>, host: &HostId, release: &Release) -> bool {
        let state = self.service.migration(release, host);
        let why = match &state {
            MigrationState::NotNeeded | MigrationState::Succeeded => return true,
            MigrationState::Never => {
                self.grant_lock(rollout, host, release);
                return false;
            }
            MigrationState::Running { host, .. } if self.is_silent(host) => {
                Why::HostSilent { host: host.clone(), holds_slot: true }
            }
            MigrationState::Running { host, .. } => Why::Migrating { host: host.clone() },
            MigrationState::Failed { .. } => {
                Why::MigrationFailed { host: host.clone(), release: release.id.clone() }
            }
            MigrationState::Unknown { host, .. } => {
                Why::MigrationUnknown { host: host.clone(), release: release.id.clone() }
            }
        };
        self.hold(rollout, why);
        false
    }

    fn grant_lock(&mut self, rollout: Option<&Rollout>, host: &HostId, release: &Release) {
        if let Some(lock) = &self.service.migration_lock {
            let holder = lock.host.clone();
            let why = if self.is_silent(&holder) {
                Why::HostSilent { host: holder, holds_slot: true }
            } else {
                Why::Migrating { host: holder }
            };
            self.hold(rollout, why);
            return;
        }
        let granted = self.steps.iter().find_map(|step| match step {
            Step::GrantMigration { host, .. } => Some(host.clone()),
            _ => None,
        });
        let reason = self.here(host).and_then(|here| here.abandoned_reason.clone()).unwrap_or_default();
        let later = self.sightings.retry_in(self.name, host, self.now);
        match granted {
            _ if later.is_some() => {
                self.hold_until(rollout, Why::RetryLater { host: host.clone(), reason }, later);
            }
            Some(host) => self.hold(rollout, Why::Migrating { host }),
            None if !self.is_staged(host, release) => {
                let trouble = self.stage_trouble(host, release);
                self.hold(rollout, Why::Staging { host: host.clone(), trouble });
            }
            None => self.steps.push(Step::GrantMigration { host: host.clone(), release: release.id.clone() }),
        }
    }

    /// Names every host whose migration's end nobody saw. Returns whether there is one.
    pub(super) fn unknown_migration(&mut self, rollout: &Rollout) -> bool {
        let Some(target) = &rollout.target else { return false };
        let Some(known) = self.service.migrations.get(&target.id) else { return false };
        let mut any = false;
        for (_, state) in known.states() {
            if let MigrationState::Unknown { host, .. } = state {
                let why = Why::MigrationUnknown { host: host.clone(), release: target.id.clone() };
                self.hold(Some(rollout), why);
                any = true;
            }
        }
        any
    }
}
