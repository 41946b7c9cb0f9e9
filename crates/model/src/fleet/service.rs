//! A service as the fleet machine knows it.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    channel::Heard,
    migration::{MigrationLock, MigrationState, Migrations},
    rollout::{Halt, Halting, Rollout, RolloutKind, RolloutPhase},
};
use crate::{HostId, Policy, Release, ReleaseId, Revision, RolloutId};

/// Rollouts that are remembered for `history`.
pub const ROLLOUTS_KEPT: usize = 50;
/// Completed releases that `rollback` can go through.
pub const COMPLETED_KEPT: usize = 10;

/// A service as the fleet machine knows it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Service {
    /// The last log entry that changed anything of it.
    pub changed: Revision,
    /// How it is rolled.
    pub policy: Policy,
    /// The last rollouts.
    pub rollouts: BTreeMap<RolloutId, Arc<Rollout>>,
    /// The one under way.
    pub active: Option<RolloutId>,
    /// The queue of one: the newest push that waits or stages behind the active one.
    pub next: Option<RolloutId>,
    /// Releases that completed, oldest first, each once.
    pub completed: Vec<Release>,
    /// Releases that failed.
    pub quarantine: BTreeMap<ReleaseId, Quarantine>,
    /// What is known of each release's migrations. Kept for good: a migration is started once, ever.
    pub migrations: BTreeMap<ReleaseId, Arc<Migrations>>,
    /// Who may run `bin/migrate`.
    pub migration_lock: Option<MigrationLock>,
    /// An operator left the fleet mixed, so hosts are not moved to the last completed release by themselves.
    pub mixed: bool,
    /// What its channels said last, by their addresses.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub channels: BTreeMap<String, Heard>,
}

/// Why a release is kept from use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// The rollout in which it failed.
    pub rollout: Option<RolloutId>,
    /// How.
    pub reason: String,
}

impl Service {
    /// The rollout under way.
    #[must_use]
    pub fn active(&self) -> Option<&Rollout> {
        self.rollouts.get(&self.active?).map(|rollout| &**rollout)
    }

    /// The rollout that waits or stages behind it.
    #[must_use]
    pub fn next(&self) -> Option<&Rollout> {
        self.rollouts.get(&self.next?).map(|rollout| &**rollout)
    }

    /// The last completed release: what joiners get (P7), and what a failed rollout goes back to.
    #[must_use]
    pub fn last_completed(&self) -> Option<&Release> {
        self.completed.last()
    }

    /// The releases that every host should have staged.
    #[must_use]
    pub fn wanted(&self) -> Vec<Release> {
        let active = self.active();
        let next = self.next().filter(|next| next.phase == RolloutPhase::Staging);
        let mut wanted: Vec<Release> = Vec::new();
        let releases = [
            active.and_then(|rollout| rollout.target.as_ref()),
            active.and_then(|rollout| rollout.before.as_ref()),
            next.and_then(|rollout| rollout.target.as_ref()),
            self.last_completed(),
        ];
        for release in releases.into_iter().flatten() {
            if !wanted.contains(release) && !self.quarantine.contains_key(&release.id) {
                wanted.push(release.clone());
            }
        }
        wanted
    }

    /// What is known of the migration of `release` for `host`.
    #[must_use]
    pub fn migration(&self, release: &Release, host: &HostId) -> MigrationState {
        if !release.migrates {
            return MigrationState::NotNeeded;
        }
        self.migrations.get(&release.id).map_or(MigrationState::Never, |known| known.of(host).clone())
    }

    /// The rollout that somebody means who names none: the one under way, or else the last. Where that one takes the fleet back after
    /// another, the other one is meant: what became of it is the truth (P12), and the way back is a part of it.
    #[must_use]
    pub fn meant(&self) -> Option<RolloutId> {
        let id = self.active.or_else(|| self.rollouts.keys().next_back().copied())?;
        let cause = match self.rollouts.get(&id)?.kind {
            RolloutKind::RollbackOf { rollout, .. } => Some(rollout),
            RolloutKind::Push | RolloutKind::Rollback | RolloutKind::Restart => None,
        };
        Some(cause.filter(|cause| self.rollouts.contains_key(cause)).unwrap_or(id))
    }

    /// Whether a newer push may take the place of the active rollout once it is staged: never of a roll back, nor while a
    /// migration runs or its end is unknown.
    #[must_use]
    pub fn may_be_superseded(&self) -> bool {
        let Some(active) = self.active() else { return true };
        let kind = matches!(active.kind, RolloutKind::Push | RolloutKind::Restart);
        let phase = match &active.phase {
            RolloutPhase::Queued | RolloutPhase::Staging | RolloutPhase::Rolling => true,
            RolloutPhase::Halted { during: Halting::Migrating, why: Halt::MigrationUnknown { .. } } => false,
            RolloutPhase::Halted { .. } => true,
            RolloutPhase::Migrating | RolloutPhase::RollingBack { .. } | RolloutPhase::Ended { .. } => false,
        };
        kind && phase && self.migration_lock.is_none()
    }
}
