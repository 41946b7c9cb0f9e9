//! What the host machine remembers over restarts of the agent and of the host. Observations are no part of it.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{event::ReportId, phase::Phase};
use crate::{
    Fence, Incarnation, Policy, Release,
    fleet::{command::Report, host::PhaseKind},
};

/// Releases whose migration is remembered, for the case that the cluster forgets it in a recovery.
const MIGRATIONS_KEPT: usize = 64;

/// The durable memory of one service on one host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// The release last in soaked service: what is started after a reboot.
    pub serving: Option<Release>,
    /// It was started again outside a change, and has not been in service since: it is joined without asking.
    pub returning: bool,
    /// How to wait, as the fleet said last.
    pub policy: Policy,
    /// The newest grant that was begun.
    pub fence: Option<Fence>,
    /// The change under way.
    pub change: Option<Change>,
    /// The last migration granted to this host.
    pub migration: Option<MigrationNote>,
    /// The grants of migrations before that, oldest first: one for each release, and no more than are needed after a recovery.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub migrated_before: VecDeque<(Fence, Release)>,
    /// Reports that the fleet has not answered yet, in order.
    pub reports: VecDeque<Unanswered>,
    /// The last report's name.
    pub last_report: ReportId,
}

impl Ledger {
    /// The newest incarnation that this host has obeyed here.
    #[must_use]
    pub fn obeyed(&self) -> Option<Incarnation> {
        let change = self.change.as_ref().map(|change| change.fence);
        let migration = self.migration.as_ref().map(|note| note.fence);
        [self.fence, change, migration].into_iter().flatten().max().map(|fence| fence.incarnation)
    }

    /// Puts a new migration in the place of the one noted, which is remembered.
    pub(super) fn note(&mut self, note: MigrationNote) {
        if let Some(before) = self.migration.replace(note) {
            self.migrated_before.push_back((before.fence, before.release));
        }
        let now = self.migration.as_ref().map(|note| &note.release.id);
        let mut seen: BTreeSet<_> = now.cloned().into_iter().collect();
        let newest =
            self.migrated_before.drain(..).rev().filter(|(_, release)| seen.insert(release.id.clone()));
        let mut kept: VecDeque<_> = newest.take(MIGRATIONS_KEPT - 1).collect();
        kept.make_contiguous().reverse();
        self.migrated_before = kept;
    }

    /// The last migration that was granted to this host, for the fleet.
    #[must_use]
    pub fn migrated(&self) -> Option<(Fence, Release)> {
        self.migration.as_ref().map(|note| (note.fence, note.release.clone()))
    }
}

/// A change under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Its grant.
    pub fence: Fence,
    /// The release to end with; none: nothing is to run.
    pub goal: Option<Release>,
    /// What the host had.
    pub from: Option<Release>,
    /// Whether `from` may be started again.
    pub fallback: bool,
    /// Stay out once stopped, until told otherwise.
    pub park: bool,
    /// How far it is.
    pub phase: Phase,
    /// How long the present wait had lasted when this was written.
    pub elapsed: Duration,
    /// How long it will have lasted when the drain is over at the latest, by the balancer's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained_by: Option<Duration>,
    /// The phase that was reported last.
    pub told: PhaseKind,
    /// How often the host was frozen in the present wait.
    #[serde(default)]
    pub frozen: Freezes,
}

/// How often a host was frozen, and for how long in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Freezes {
    /// How often.
    pub times: u32,
    /// How long in all.
    pub length: Duration,
}

/// What was done about a migration grant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MigrationNote {
    /// The grant.
    pub fence: Fence,
    /// The release.
    pub release: Release,
    /// How far it is.
    pub state: MigrationProgress,
    /// How long it had been so when this was written.
    pub elapsed: Duration,
    /// How often the host was frozen while it ran.
    #[serde(default)]
    pub frozen: Freezes,
}

/// How far a migration is, as this host reported it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MigrationProgress {
    /// It may have been started; only the supervisor's record says so.
    Called,
    /// It was seen to be started.
    Started,
    /// Its deadline passed, and it is being stopped.
    Overdue,
    /// Its end was reported.
    Ended,
}

/// A report that waits for its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unanswered {
    /// Its name.
    pub id: ReportId,
    /// What happened.
    pub report: Report,
}

/// A ledger as it lies on disk: tagged with its version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "version", rename_all = "snake_case")]
pub enum Stored {
    /// The first format.
    V1(Box<Ledger>),
}

impl From<Ledger> for Stored {
    fn from(ledger: Ledger) -> Self {
        Self::V1(Box::new(ledger))
    }
}

impl From<Stored> for Ledger {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::V1(ledger) => *ledger,
        }
    }
}
