//! What happened, in order: kept for a while, so that a watcher who comes back misses nothing.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    command::{Evidence, Failure, Operator},
    host::{Availability, PhaseKind},
    migration::MigrationState,
    rollout::{Outcome, RolloutKind, RolloutPhase},
};
use crate::{ClusterId, Fence, HostId, ReleaseId, Revision, RolloutId, ServiceName, time::WallTime};

/// Events that are kept. A watcher who resumes before them gets an explicit gap.
pub const EVENTS_KEPT: usize = 2000;

/// One thing that happened. One revision can bring several: (`revision`, `index`) orders them all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The log entry it came with.
    pub revision: Revision,
    /// Its place among the events of that entry.
    pub index: u32,
    /// When the entry was proposed, for people.
    pub at: WallTime,
    /// The service it is about.
    pub service: Option<ServiceName>,
    /// The rollout it belongs to.
    pub rollout: Option<RolloutId>,
    /// The host it happened on.
    pub host: Option<HostId>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum EventKind {
    /// A rollout was asked for.
    RolloutBegan {
        /// The release wanted.
        release: Option<ReleaseId>,
        /// Why.
        why: RolloutKind,
        /// Who asked.
        by: Operator,
    },
    /// A rollout went on to another phase.
    RolloutMoved {
        /// Which.
        phase: RolloutPhase,
    },
    /// A rollout is over.
    RolloutEnded {
        /// How.
        outcome: Outcome,
    },
    /// An operator paused the rollout.
    Paused {
        /// Who.
        by: Operator,
    },
    /// An operator ended a pause or halt.
    Resumed {
        /// Who.
        by: Operator,
    },
    /// A wave began.
    WaveStarted {
        /// Its number, from 0, the canary.
        wave: u32,
        /// Its hosts.
        hosts: Vec<HostId>,
    },
    /// A wave has soaked.
    WaveSoaked {
        /// Its number.
        wave: u32,
    },
    /// A host has the release.
    Staged {
        /// Which.
        release: ReleaseId,
    },
    /// A host could not fetch the release; it tries again.
    NotStaged {
        /// Which.
        release: ReleaseId,
        /// Why.
        reason: String,
    },
    /// A host takes no part in the rollout any more.
    Dropped {
        /// Why.
        reason: String,
    },
    /// What is known of a migration.
    Migration {
        /// The release.
        release: ReleaseId,
        /// What is known now.
        state: MigrationState,
    },
    /// A host has a slot.
    Granted {
        /// Number of the grant.
        fence: Fence,
        /// The release it goes to.
        to: Option<ReleaseId>,
    },
    /// A host's change went on.
    HostMoved {
        /// Where it was.
        from: PhaseKind,
        /// Where it is.
        to: PhaseKind,
        /// Why, where that is worth saying.
        reason: Option<String>,
    },
    /// A release failed on a host.
    HostFailed {
        /// The release.
        release: Option<ReleaseId>,
        /// How.
        failure: Failure,
    },
    /// A host's change is over, and its slot is free.
    HostSettled {
        /// What it runs now.
        release: Option<ReleaseId>,
        /// How the change ended.
        end: Settled,
    },
    /// A host came into service, fell out of it, or fell silent.
    Availability {
        /// What it is now.
        availability: Availability,
        /// Why.
        reason: String,
        /// The end of the process's output, when it exited.
        tail: Arc<str>,
    },
    /// A release is kept from use.
    Quarantined {
        /// Which.
        release: ReleaseId,
        /// Why.
        reason: String,
    },
    /// A release may be used again.
    QuarantineReleased {
        /// Which.
        release: ReleaseId,
        /// Who said so.
        by: Operator,
    },
    /// An operator freed a lock.
    LockBroken {
        /// Which.
        lock: String,
        /// Who.
        by: Operator,
    },
    /// An operator did something else.
    Asked {
        /// What.
        what: String,
        /// Who.
        by: Operator,
    },
    /// A host joined the fleet, or came back with another configuration.
    Enrolled,
    /// A host is no more.
    Departed {
        /// What proves it.
        evidence: Evidence,
    },
    /// The cluster lost its majority, and was rebuilt from what one host knew.
    Rebuilt {
        /// The cluster that it was.
        from: ClusterId,
        /// The last log entry that was known. What was committed after it is lost.
        last: Revision,
        /// Who asked for it, and why.
        by: Operator,
    },
    /// What a channel says is not pushed.
    ChannelRefused {
        /// Its address.
        channel: String,
        /// Why.
        reason: String,
    },
    /// New behaviour was switched on.
    LevelRaised {
        /// The level.
        level: u32,
    },
}

/// How a host's change ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// On the release wanted.
    Changed,
    /// Back on what it had.
    Reverted,
    /// Given up before anything was stopped.
    Abandoned {
        /// Why.
        reason: String,
    },
    /// Out of service for maintenance.
    Parked,
}

impl EventKind {
    /// A short, stable name for machines.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::RolloutBegan { .. } => "rollout_began",
            Self::RolloutMoved { .. } => "rollout_moved",
            Self::RolloutEnded { .. } => "rollout_ended",
            Self::Paused { .. } => "paused",
            Self::Resumed { .. } => "resumed",
            Self::WaveStarted { .. } => "wave_started",
            Self::WaveSoaked { .. } => "wave_soaked",
            Self::Staged { .. } => "staged",
            Self::NotStaged { .. } => "not_staged",
            Self::Dropped { .. } => "dropped",
            Self::Migration { .. } => "migration",
            Self::Granted { .. } => "granted",
            Self::HostMoved { .. } => "host_moved",
            Self::HostFailed { .. } => "host_failed",
            Self::HostSettled { .. } => "host_settled",
            Self::Availability { .. } => "availability",
            Self::Quarantined { .. } => "quarantined",
            Self::QuarantineReleased { .. } => "quarantine_released",
            Self::LockBroken { .. } => "lock_broken",
            Self::Asked { .. } => "asked",
            Self::Enrolled => "enrolled",
            Self::Departed { .. } => "departed",
            Self::Rebuilt { .. } => "rebuilt",
            Self::ChannelRefused { .. } => "channel_refused",
            Self::LevelRaised { .. } => "level_raised",
        }
    }

    /// The end of a process's output that came with it; empty when there is none.
    #[must_use]
    pub fn tail(&self) -> &str {
        match self {
            Self::HostFailed { failure, .. } => &failure.tail,
            Self::Availability { tail, .. }
            | Self::Migration {
                state: MigrationState::Failed { tail, .. } | MigrationState::Unknown { tail, .. },
                ..
            } => tail,
            _ => "",
        }
    }
}

/// One sentence for people, without the host and the service.
impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RolloutBegan { release, why, by } => {
                let release = release.as_ref().map_or("nothing", ReleaseId::as_str);
                match why {
                    RolloutKind::Push => write!(f, "push of {release}")?,
                    RolloutKind::RollbackOf { rollout, aborted: false } => {
                        write!(f, "roll back of {rollout} to {release}")?;
                    }
                    RolloutKind::RollbackOf { rollout, aborted: true } => {
                        write!(f, "{rollout} aborted, back to {release}")?;
                    }
                    RolloutKind::Rollback => write!(f, "roll back to {release}")?,
                    RolloutKind::Restart => write!(f, "restart of {release}")?,
                }
                write_by(f, by)
            }
            Self::RolloutMoved { phase: RolloutPhase::Halted { why, .. } } => write!(f, "halted: {why}"),
            Self::RolloutMoved { phase: RolloutPhase::RollingBack { by } } => {
                write!(f, "rolling back with {by}")
            }
            Self::RolloutMoved { phase } => write!(f, "{phase}"),
            Self::RolloutEnded { outcome: Outcome::Superseded { by } } => write!(f, "superseded by {by}"),
            Self::RolloutEnded { outcome } => f.write_str(outcome.word()),
            Self::Paused { by } => f.write_str("paused").and_then(|()| write_by(f, by)),
            Self::Resumed { by } => f.write_str("resumed").and_then(|()| write_by(f, by)),
            Self::WaveStarted { wave, hosts } => {
                let hosts = hosts.iter().map(HostId::as_str).collect::<Vec<_>>().join(", ");
                if *wave == 0 { write!(f, "first wave: {hosts}") } else { write!(f, "wave {wave}: {hosts}") }
            }
            Self::WaveSoaked { wave } => write!(f, "wave {wave} has soaked"),
            Self::Staged { release } => write!(f, "staged {release}"),
            Self::NotStaged { release, reason } => write!(f, "not staged {release}: {reason}"),
            Self::Dropped { reason } => write!(f, "dropped from the rollout: {reason}"),
            Self::Migration { release, state } => match state {
                MigrationState::Failed { reason, .. } | MigrationState::Unknown { reason, .. } => {
                    write!(f, "migration of {release} {state}: {reason}")
                }
                MigrationState::Running { started: false, .. } => write!(f, "migration lock for {release}"),
                _ => write!(f, "migration of {release} {state}"),
            },
            Self::Granted { fence, to } => match to {
                Some(to) => write!(f, "slot granted for {to} (fence {fence})"),
                None => write!(f, "slot granted (fence {fence})"),
            },
            Self::HostMoved { from, to, reason: Some(reason) } => write!(f, "{from} → {to}: {reason}"),
            Self::HostMoved { from, to, reason: None } => write!(f, "{from} → {to}"),
            Self::HostFailed { release, failure } => {
                let release = release.as_ref().map_or("nothing", ReleaseId::as_str);
                write!(f, "{release} failed while {}: {}", failure.phase, failure.reason)
            }
            Self::HostSettled { release, end } => {
                let release = release.as_ref().map_or("nothing", ReleaseId::as_str);
                match end {
                    Settled::Changed => write!(f, "done, serves {release}"),
                    Settled::Reverted => write!(f, "reverted to {release}"),
                    Settled::Abandoned { reason } => write!(f, "gave up, still serves {release}: {reason}"),
                    Settled::Parked => f.write_str("out for maintenance"),
                }
            }
            Self::Availability { availability, reason, .. } => {
                write!(f, "availability {availability}: {reason}")
            }
            Self::Quarantined { release, reason } => write!(f, "{release} quarantined: {reason}"),
            Self::QuarantineReleased { release, by } => {
                write!(f, "{release} may be used again").and_then(|()| write_by(f, by))
            }
            Self::LockBroken { lock, by } => write!(f, "{lock} broken").and_then(|()| write_by(f, by)),
            Self::Asked { what, by } => f.write_str(what).and_then(|()| write_by(f, by)),
            Self::Enrolled => f.write_str("enrolled"),
            Self::Departed { evidence: Evidence::Terminated } => {
                f.write_str("terminated, says the inventory")
            }
            Self::Departed { evidence: Evidence::Removed(by) } => {
                f.write_str("removed").and_then(|()| write_by(f, by))
            }
            Self::Rebuilt { from, last, by } => {
                write!(f, "cluster rebuilt from {from} as it was at revision {last}")
                    .and_then(|()| write_by(f, by))
            }
            Self::ChannelRefused { channel, reason } => {
                write!(f, "what channel {channel} says is not pushed: {reason}")
            }
            Self::LevelRaised { level } => write!(f, "fleet level {level}"),
        }
    }
}

fn write_by(f: &mut fmt::Formatter<'_>, by: &Operator) -> fmt::Result {
    if !by.name.is_empty() {
        write!(f, ", by {}", by.name)?;
    }
    if !by.reason.is_empty() {
        write!(f, ": {}", by.reason)?;
    }
    Ok(())
}
