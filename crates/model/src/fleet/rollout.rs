//! One attempt to move a service to a release.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    command::{Failure, Operator},
    provenance::Provenance,
};
use crate::{HostId, Policy, Release, RolloutId, ServiceName, time::WallTime};

/// One attempt to move a service to a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its name.
    pub id: RolloutId,
    /// The service.
    pub service: ServiceName,
    /// The release wanted; none takes the service away, as the roll back of a first rollout does.
    pub target: Option<Release>,
    /// The last completed release when it began.
    pub before: Option<Release>,
    /// Why it is made.
    pub kind: RolloutKind,
    /// Who asked for it.
    pub by: Operator,
    /// Where its release comes from, as the push said.
    #[serde(default, skip_serializing_if = "Provenance::is_empty")]
    pub provenance: Provenance,
    /// How far it is.
    pub phase: RolloutPhase,
    /// An operator asked to wait.
    pub paused: Option<Operator>,
    /// The part of each host.
    pub parts: BTreeMap<HostId, Part>,
    /// Number of waves started; the first is the canary wave.
    pub waves: u32,
    /// Whether the last wave started has soaked.
    pub wave_soaked: bool,
    /// What failed, in order.
    pub failures: Vec<(HostId, Failure)>,
    /// Waits that were committed so far.
    pub elapsed: Vec<(Timer, u64)>,
    /// When it was asked for, for people.
    pub began: WallTime,
    /// When it ended, for people.
    pub ended: Option<WallTime>,
}

impl Rollout {
    /// Whether it is over.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            RolloutPhase::Ended { outcome } => Some(outcome),
            _ => None,
        }
    }

    /// Whether it takes the fleet back after another one.
    #[must_use]
    pub fn is_rollback(&self) -> bool {
        matches!(self.kind, RolloutKind::RollbackOf { .. })
    }

    /// Whether it goes through a canary wave.
    #[must_use]
    pub fn has_canary(&self) -> bool {
        matches!(self.kind, RolloutKind::Push | RolloutKind::Restart)
    }

    /// How many of its hosts may have a slot at once. A roll back has its own number; P1's sum is the same for all.
    #[must_use]
    pub fn slots(&self, policy: &Policy) -> u32 {
        match self.kind {
            RolloutKind::RollbackOf { .. } | RolloutKind::Rollback => {
                policy.rollback_parallel.max(policy.max_unavailable).get()
            }
            RolloutKind::Push | RolloutKind::Restart => policy.max_unavailable.get(),
        }
    }

    /// Whether a host has the target in soaked service: until then nobody knows that it works.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.parts.values().any(|part| part.state == PartState::Changed)
    }

    /// Whether nobody who was there at the push is left.
    #[must_use]
    pub fn is_deserted(&self) -> bool {
        self.parts.values().all(|part| part.state == PartState::Dropped)
    }

    /// P7: whether a host that joined late may take part. It may once the canary wave has soaked; or when nobody who was there at the
    /// push is left, as an acknowledged push is not lost (P11).
    #[must_use]
    pub fn takes_joiners(&self) -> bool {
        let soaked = self.is_proven() && (1 < self.waves || (self.waves == 1 && self.wave_soaked));
        match self.phase {
            RolloutPhase::Rolling if self.kind == RolloutKind::Push => soaked || self.is_deserted(),
            RolloutPhase::Rolling | RolloutPhase::Staging => !self.is_rollback() && self.is_deserted(),
            _ => false,
        }
    }

    /// How long this wait had lasted when it was committed last.
    #[must_use]
    pub fn elapsed(&self, timer: Timer) -> Duration {
        let found = self.elapsed.iter().find(|(other, _)| *other == timer);
        Duration::from_millis(found.map_or(0, |(_, ms)| *ms))
    }
}

/// Why a rollout is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutKind {
    /// A release was pushed.
    Push,
    /// Another rollout failed or was aborted.
    RollbackOf {
        /// That one.
        rollout: RolloutId,
        /// It was aborted, not failed.
        aborted: bool,
    },
    /// An operator asked for the release before.
    Rollback,
    /// An operator asked for a restart.
    Restart,
}

/// How far a rollout is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutPhase {
    /// Another one must end first.
    Queued,
    /// Every host fetches the release; nothing is disturbed.
    Staging,
    /// `bin/migrate` is run under the migration lock.
    Migrating,
    /// Hosts are changed, wave by wave.
    Rolling,
    /// It failed or was aborted; this other rollout takes the fleet back.
    RollingBack {
        /// That one.
        by: RolloutId,
    },
    /// Stopped until an operator decides.
    Halted {
        /// What it was doing.
        during: Halting,
        /// Why.
        why: Halt,
    },
    /// It is over.
    Ended {
        /// How.
        outcome: Outcome,
    },
}

impl RolloutPhase {
    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Staging => "staging",
            Self::Migrating => "migrating",
            Self::Rolling => "rolling",
            Self::RollingBack { .. } => "rolling back",
            Self::Halted { .. } => "halted",
            Self::Ended { outcome } => outcome.word(),
        }
    }
}

impl fmt::Display for RolloutPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The phases that can be halted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Halting {
    /// Nothing was touched yet.
    Staging,
    /// The migration's end is unknown.
    Migrating,
    /// The fleet is mixed.
    Rolling,
}

/// Why a rollout is halted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Halt {
    /// It could not be staged on these hosts in time.
    #[error("not staged in time on {}", hosts_and_reasons(.hosts))]
    NotStaged {
        /// Which, and why.
        hosts: Vec<(HostId, String)>,
    },
    /// Nobody saw the end of the migration.
    #[error("the end of the migration on {host} was not seen")]
    MigrationUnknown {
        /// Where it was started.
        host: HostId,
    },
    /// A host failed, and the policy says pause.
    #[error("failed on {host}, and on_failure is pause")]
    Failed {
        /// Where.
        host: HostId,
    },
    /// A host went back again and again, for reasons outside the release.
    #[error("{host} went back {times} times in a row for reasons outside the release, at last: {reason}")]
    SetBack {
        /// Which.
        host: HostId,
        /// How often.
        times: u32,
        /// Why it did so last.
        reason: String,
    },
}

fn hosts_and_reasons(hosts: &[(HostId, String)]) -> String {
    hosts.iter().map(|(host, why)| format!("{host} ({why})")).collect::<Vec<_>>().join(", ")
}

/// How a rollout ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All hosts run the release, in service and soaked.
    Completed,
    /// `bin/migrate` failed; no host was disturbed.
    FailedInMigration,
    /// It failed, and there was nothing to go back to: a first rollout, a restart, or a release that others had condemned.
    Failed,
    /// It failed, and all hosts are back.
    RolledBack,
    /// It failed or was aborted, and not all hosts came back.
    RollbackFailed,
    /// An operator gave it up.
    Aborted,
    /// A newer push took its place.
    Superseded {
        /// That one.
        by: RolloutId,
    },
}

impl Outcome {
    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::FailedInMigration => "failed in migration",
            Self::Failed => "failed",
            Self::RolledBack => "rolled back",
            Self::RollbackFailed => "rollback failed",
            Self::Aborted => "aborted",
            Self::Superseded { .. } => "superseded",
        }
    }

    /// The exit code that `push --wait` and `watch` end with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Completed => 0,
            Self::FailedInMigration | Self::Failed | Self::RolledBack | Self::Aborted => 1,
            Self::RollbackFailed => 2,
            Self::Superseded { .. } => 4,
        }
    }
}

/// Exit code of a rollout that is halted until an operator decides.
pub const EXIT_HALTED: u8 = 3;

/// The part of one host in a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The wave it belongs to, once that is known.
    pub wave: Option<u32>,
    /// How far it is.
    pub state: PartState,
}

/// How far a host's part of a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartState {
    /// Its turn has not come.
    Pending,
    /// It has a slot.
    Changing,
    /// It is on the target, in service and soaked.
    Changed,
    /// The release failed on it.
    Failed,
    /// It is no longer part: silent before staging ended, removed, terminated or excluded.
    Dropped,
}

impl PartState {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Changing => "changing",
            Self::Changed => "changed",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// A wait of the leader that outlives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timer {
    /// Until the release is staged everywhere.
    Staging,
    /// Until this wave has soaked.
    WaveSoak(u32),
}
