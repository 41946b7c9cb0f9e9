//! Why the planner waits. `status` prints these word for word.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    HostId, ReleaseId, RolloutId, ServiceName,
    fleet::{Halt, PhaseKind, Rollout, Service},
};

/// One wait of one service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hold {
    /// The service.
    pub service: ServiceName,
    /// The rollout that waits; none for what is outside of rollouts.
    pub rollout: Option<RolloutId>,
    /// Whether `abort` is about that rollout: it is the one under way, and no roll back.
    #[serde(default)]
    pub abortable: bool,
    /// Why.
    pub why: Why,
}

impl Hold {
    /// A wait of the service, or of this rollout of it.
    #[must_use]
    pub fn of(service: &ServiceName, known: &Service, rollout: Option<&Rollout>, why: Why) -> Self {
        let under_way = |rollout: &Rollout| known.active == Some(rollout.id);
        let abortable = rollout.is_some_and(|rollout| under_way(rollout) && !rollout.is_rollback());
        Self { service: service.clone(), rollout: rollout.map(|rollout| rollout.id), abortable, why }
    }

    /// Why a rollout that is halted for this reason waits.
    #[must_use]
    pub fn of_halt(service: &ServiceName, known: &Service, rollout: &Rollout, halt: &Halt) -> Self {
        let target = rollout.target.as_ref().map(|target| &target.id);
        let why = match (halt, target) {
            (Halt::MigrationUnknown { host }, Some(release)) => {
                Why::MigrationUnknown { host: host.clone(), release: release.clone() }
            }
            _ => {
                let quarantined = target.filter(|target| known.quarantine.contains_key(*target));
                Why::Halted { reason: halt.to_string(), quarantined: quarantined.cloned() }
            }
        };
        Self::of(service, known, Some(rollout), why)
    }

    /// What would end it, with the command that helps where there is one, as it can be typed.
    #[must_use]
    pub fn ends_when(&self) -> String {
        let of = &self.service;
        let gives_up = || match self.abortable {
            true => format!("; `deployinator abort --service {of}` gives up"),
            false => String::new(),
        };
        let breaks = |host: &HostId| format!("`deployinator locks break {host} --service {of} --reason WHY`");
        match &self.why {
            Why::LeaderLearning => "the new leader has heard from the hosts for one interval".into(),
            Why::Staging { host, .. } => {
                let deadline = if self.rollout.is_some() { ", or the staging deadline passes" } else { "" };
                format!("{host} has the release{deadline}{}", gives_up())
            }
            Why::Migrating { .. } => "bin/migrate ends, or its deadline passes".into(),
            Why::MigrationUnknown { release, .. } => format!(
                "an operator says how it ended: `deployinator migration resolve {release} succeeded|failed|retry --service {of} \
                 --reason WHY`"
            ),
            Why::MigrationFailed { release, .. } => format!(
                "`deployinator migration resolve {release} retry --service {of} --reason WHY`, or another release is pushed"
            ),
            Why::Changing { .. } => "its steps end; each has a deadline".into(),
            Why::NoFreeSlot { drained, holders, .. } => match &drained[..] {
                [] => format!("a holder is done; `deployinator locks list --service {of}` shows them"),
                [host, ..] => {
                    let others =
                        if drained.len() < holders.len() { "another holder is done, or " } else { "" };
                    format!(
                        "{others}the maintenance is over: `deployinator hosts admit {host}`; until then \
                         `deployinator hosts exclude {host} --reason WHY` takes it out of the sum"
                    )
                }
            },
            Why::BudgetSpent { out, .. } => {
                let host = if let [(host, _)] = &out[..] { host.as_str() } else { "HOST" };
                format!(
                    "a host is back in service, admitted or terminated, or you take one out of the sum: {}",
                    leaves(host)
                )
            }
            Why::HostSilent { holds_slot: true, host } => format!(
                "{host} is back or terminated; or your word replaces that: {} if it is gone, else {}",
                removes(host),
                breaks(host)
            ),
            Why::HostSilent { host, .. } => {
                format!(
                    "{host} is back or terminated, or you take it out of the sum: {}",
                    leaves(host.as_str())
                )
            }
            Why::HostStuck { host, .. } => {
                format!(
                    "{host} is healthy again on what it had; or its slot is broken, so that the next release can be started on it: {}",
                    breaks(host)
                )
            }
            Why::HostFailed { host, .. } => {
                format!(
                    "it is pushed again, which tries it once more, or another release is; or `deployinator hosts exclude {host} --service \
                     {of} --reason WHY`"
                )
            }
            Why::RetryLater { .. } => {
                format!("the pause before the next attempt is over{}", gives_up())
            }
            Why::WaveSoak { .. } => format!("the wave has been in service for wave_soak{}", gives_up()),
            Why::Paused { .. } => format!("`deployinator resume --service {of}`"),
            // `abort` would be about the rollout under way, behind which this one waits.
            Why::Halted { .. } if !self.abortable => format!(
                "`deployinator resume --service {of}` once its cause is gone, or a newer push takes its place"
            ),
            Why::Halted { quarantined: None, .. } => format!(
                "`deployinator abort --service {of}`, or `deployinator resume --service {of}` once its cause is gone"
            ),
            Why::Halted { quarantined: Some(release), .. } => format!(
                "`deployinator abort --service {of}`; or, to go on with it, \
                 `deployinator quarantine release {release} --service {of} --reason WHY` and `deployinator resume --service {of}`"
            ),
            Why::Queued { behind } => format!("{behind} ends"),
            Why::ConfigurationDiffers { values, .. } => {
                let odd = odd_one(values).map_or("HOST", HostId::as_str);
                format!(
                    "the hosts' configurations agree: mend the files, and start deployinatord there again; or \
                     `deployinator hosts exclude {odd} --service {of} --reason WHY`"
                )
            }
            Why::NoHosts => format!("a host joins, is admitted or included{}", gives_up()),
        }
    }
}

fn removes(host: &HostId) -> String {
    format!("`deployinator hosts remove {host} --reason WHY`")
}

fn leaves(host: &str) -> String {
    format!(
        "`deployinator hosts remove {host} --reason WHY` if it is gone, else `deployinator hosts exclude {host} --reason WHY`"
    )
}

/// Why the planner waits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Why {
    /// A new leader does not know yet who is silent.
    LeaderLearning,
    /// The host fetches the release.
    Staging {
        /// The host.
        host: HostId,
        /// What went wrong last.
        trouble: Option<String>,
    },
    /// The host runs `bin/migrate`.
    Migrating {
        /// The host.
        host: HostId,
    },
    /// Nobody saw the end of a migration.
    MigrationUnknown {
        /// Where it was started.
        host: HostId,
        /// The release.
        release: ReleaseId,
    },
    /// A joiner's own migration failed.
    MigrationFailed {
        /// The host.
        host: HostId,
        /// The release.
        release: ReleaseId,
    },
    /// The host is in the middle of its change.
    Changing {
        /// The host.
        host: HostId,
        /// How far it is.
        phase: PhaseKind,
    },
    /// All slots are taken.
    NoFreeSlot {
        /// How many there are.
        limit: u32,
        /// Who has them, and how far each is.
        holders: Vec<(HostId, PhaseKind)>,
        /// Those of them that an operator has drained: they keep theirs until they are admitted.
        drained: Vec<HostId>,
    },
    /// P1: as many hosts are out as may be.
    BudgetSpent {
        /// Who is out, with the reason.
        out: Vec<(HostId, String)>,
        /// How many may be.
        limit: u32,
    },
    /// The host is silent; unknown counts as out.
    HostSilent {
        /// The host.
        host: HostId,
        /// Whether it has a slot.
        holds_slot: bool,
    },
    /// The host could not go back; it keeps its slot.
    HostStuck {
        /// The host.
        host: HostId,
        /// Why.
        reason: String,
    },
    /// The release failed on this host before, so it is not tried there again.
    HostFailed {
        /// The host.
        host: HostId,
        /// How.
        reason: String,
    },
    /// The host gave a change up for reasons outside of the release, and is asked again later.
    RetryLater {
        /// The host.
        host: HostId,
        /// Why.
        reason: String,
    },
    /// The wave must stay in service for a while.
    WaveSoak {
        /// Its number.
        wave: u32,
    },
    /// An operator asked to wait.
    Paused {
        /// Who.
        by: String,
    },
    /// Stopped until an operator decides.
    Halted {
        /// Why.
        reason: String,
        /// The release, when it is quarantined: it has to be released before it can go on.
        quarantined: Option<ReleaseId>,
    },
    /// Another rollout must end first.
    Queued {
        /// That one.
        behind: RolloutId,
    },
    /// The hosts' configurations of the service differ.
    ConfigurationDiffers {
        /// The key.
        key: String,
        /// Each host's value.
        values: Vec<(HostId, String)>,
    },
    /// None of the hosts that were there at the push is left.
    NoHosts,
}

impl Why {
    /// A short, stable name: of the hold, and of its page in the runbooks.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::LeaderLearning => "leader_learning",
            Self::Staging { .. } => "staging",
            Self::Migrating { .. } => "migrating",
            Self::MigrationUnknown { .. } => "migration_unknown",
            Self::MigrationFailed { .. } => "migration_failed",
            Self::Changing { .. } => "changing",
            Self::NoFreeSlot { .. } => "no_free_slot",
            Self::BudgetSpent { .. } => "budget_spent",
            Self::HostSilent { .. } => "host_silent",
            Self::HostStuck { .. } => "host_stuck",
            Self::HostFailed { .. } => "host_failed",
            Self::RetryLater { .. } => "retry_later",
            Self::WaveSoak { .. } => "wave_soak",
            Self::Paused { .. } => "paused",
            Self::Halted { .. } => "halted",
            Self::Queued { .. } => "queued",
            Self::ConfigurationDiffers { .. } => "configuration_differs",
            Self::NoHosts => "no_hosts",
        }
    }

    /// The host it names, if it names one.
    #[must_use]
    pub fn host(&self) -> Option<&HostId> {
        match self {
            Self::Staging { host, .. }
            | Self::Migrating { host }
            | Self::MigrationUnknown { host, .. }
            | Self::MigrationFailed { host, .. }
            | Self::Changing { host, .. }
            | Self::HostSilent { host, .. }
            | Self::HostStuck { host, .. }
            | Self::HostFailed { host, .. }
            | Self::RetryLater { host, .. } => Some(host),
            _ => None,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeaderLearning => f.write_str("the leader is new and still learns who is there"),
            Self::Staging { host, trouble: None } => write!(f, "{host} fetches the release"),
            Self::Staging { host, trouble: Some(trouble) } => {
                write!(f, "{host} cannot fetch the release: {trouble}")
            }
            Self::Migrating { host } => write!(f, "{host} runs bin/migrate"),
            Self::MigrationUnknown { host, release } => {
                write!(f, "nobody saw the end of the migration of {release} on {host}")
            }
            Self::MigrationFailed { host, release } => {
                write!(f, "the migration of {release} failed on {host}")
            }
            Self::Changing { host, phase: PhaseKind::Granted } => {
                write!(f, "{host} has a slot, and has not begun")
            }
            Self::Changing { host, phase } => write!(f, "{host} is {phase}"),
            Self::NoFreeSlot { limit, holders, .. } => {
                let taken = holders.len();
                let holders = holders.iter().map(|(host, phase)| format!("{host} ({phase})"));
                let holders = holders.collect::<Vec<_>>().join(", ");
                write!(f, "no free slot ({taken} of {limit} held): {holders}")
            }
            Self::BudgetSpent { out, limit } => {
                let out =
                    out.iter().map(|(host, why)| format!("{host}: {why}")).collect::<Vec<_>>().join("; ");
                write!(f, "as many hosts are out as may be ({limit}): {out}")
            }
            Self::HostSilent { host, holds_slot: true } => write!(f, "{host} is silent and holds a slot"),
            Self::HostSilent { host, holds_slot: false } => {
                write!(f, "{host} is silent, which counts as out")
            }
            Self::HostStuck { host, reason } => {
                write!(f, "{host} could not go back and keeps its slot: {reason}")
            }
            Self::HostFailed { host, reason } => write!(f, "the release failed on {host} before: {reason}"),
            Self::RetryLater { host, reason } => write!(f, "{host} gave up and tries again later: {reason}"),
            Self::WaveSoak { wave } => write!(f, "wave {wave} soaks"),
            Self::Paused { by } => write!(f, "paused by {by}"),
            Self::Halted { reason, .. } => write!(f, "halted: {reason}"),
            Self::Queued { behind } => write!(f, "waits for {behind}"),
            Self::ConfigurationDiffers { key, values } => {
                let values = values
                    .iter()
                    .map(|(host, value)| format!("{host} has {value}"))
                    .collect::<Vec<_>>()
                    .join(", ");
                write!(f, "the hosts differ in {key}: {values}")
            }
            Self::NoHosts => f.write_str("no host is left to take part"),
        }
    }
}

/// The only host that has a value of its own, if there is one. Of two that differ, each has.
fn odd_one(values: &[(HostId, String)]) -> Option<&HostId> {
    let alone =
        |(_, value): &&(HostId, String)| values.iter().filter(|(_, other)| other == value).count() == 1;
    let mut odd = values.iter().filter(alone);
    let (host, _) = odd.next()?;
    odd.next().is_none().then_some(host)
}

/// A hold with what the leader knows of its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedHold {
    /// The hold.
    pub hold: Hold,
    /// How long it has lasted.
    pub lasted: Duration,
    /// When it ends by itself, if it does.
    pub ends_in: Option<Duration>,
}
