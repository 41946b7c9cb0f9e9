//! What the fleet machine answers. "No" is an answer.

use serde::{Deserialize, Serialize};

use crate::{ClusterId, HostId, ReleaseId, RolloutId, ServiceName};

/// What the fleet machine answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Done, or it was so already.
    Done,
    /// A push, roll back or restart was accepted as this rollout.
    Accepted(RolloutId),
    /// The release is the target already: this is its rollout.
    Joined(RolloutId),
    /// No, and nothing was changed.
    Refused(Refusal),
    /// What became of each step of a plan.
    Planned(Vec<Result<(), Refusal>>),
}

/// Why the fleet machine says no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No host declares the service.
    #[error("no host declares service {service}; declared are: {}", list(.declared))]
    UnknownService {
        /// As asked.
        service: ServiceName,
        /// What there is.
        declared: Vec<ServiceName>,
    },
    /// The host is not in the fleet, or does not declare the service.
    #[error("host {host} is not in the fleet or does not declare this service")]
    UnknownHost {
        /// As asked.
        host: HostId,
    },
    /// There is no such rollout, or it is over.
    #[error("no rollout is under way")]
    NoRollout,
    /// The release failed before.
    #[error("release {release} is quarantined: {reason}")]
    Quarantined {
        /// The release.
        release: ReleaseId,
        /// How it failed.
        reason: String,
    },
    /// There is nothing to go back to.
    #[error("there is no earlier completed release to go back to")]
    NothingBefore,
    /// Something else is under way, which this would disturb.
    #[error("rollout {rollout} is {phase}")]
    Busy {
        /// The rollout.
        rollout: RolloutId,
        /// What it is doing.
        phase: String,
    },
    /// The proposal assumed something that is no longer so. Look again.
    #[error("assumed {assumed}, but it is {actual}")]
    Outdated {
        /// What was assumed.
        assumed: String,
        /// What is.
        actual: String,
    },
    /// P1: too many hosts would be out.
    #[error("{out} hosts are out, {limit} may be")]
    Budget {
        /// Hosts that are out now.
        out: u32,
        /// How many may be.
        limit: u32,
    },
    /// All slots are taken.
    #[error("all {limit} slots are taken")]
    NoFreeSlot {
        /// How many there are.
        limit: u32,
    },
    /// P3: the release's migration is not recorded as succeeded or not needed.
    #[error("the migration of {release} is {state}")]
    NotMigrated {
        /// The release.
        release: ReleaseId,
        /// What is known of it.
        state: String,
    },
    /// P9: the release is not staged on the host.
    #[error("{release} is not staged on {host}")]
    NotStaged {
        /// The host.
        host: HostId,
        /// The release.
        release: ReleaseId,
    },
    /// P2: the migration lock is taken, or this migration was started before.
    #[error("the migration of {release} cannot be granted: {reason}")]
    MigrationLocked {
        /// The release.
        release: ReleaseId,
        /// Why.
        reason: String,
    },
    /// The host is excluded, parked or already changing.
    #[error("host {host} is {state}")]
    HostNotFree {
        /// The host.
        host: HostId,
        /// What it is.
        state: String,
    },
    /// The host's name is taken by another machine.
    #[error("host {host} is enrolled with another state directory ({enrolled}, not {offered})")]
    AnotherHost {
        /// The name.
        host: HostId,
        /// The state directory that is enrolled.
        enrolled: String,
        /// The one that was offered.
        offered: String,
    },
    /// The cloud has said that this very machine is no more; what comes late in its name is not it.
    #[error("host {host} was terminated, says the inventory, and its state directory with it")]
    Terminated {
        /// The name.
        host: HostId,
    },
    /// The host's agent does not know the behaviour that is switched on.
    #[error("the agent of {host} knows fleet level {knows}, the cluster is at {at}")]
    AgentTooOld {
        /// The host.
        host: HostId,
        /// What its agent knows.
        knows: u32,
        /// What is switched on.
        at: u32,
    },
    /// A reason is owed.
    #[error("a reason is owed, as this replaces evidence by your word")]
    ReasonMissing,
    /// The cluster is about to be no more.
    #[error(
        "nothing was rolled out in this cluster, and it gives way to {to}, which is being rebuilt from a backup"
    )]
    GivesWay {
        /// The lost cluster.
        to: ClusterId,
    },
    /// Not a sensible thing to ask now.
    #[error("{0}")]
    NotNow(String),
}

impl Refusal {
    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::UnknownService { .. } => "unknown service",
            Self::UnknownHost { .. } => "unknown host",
            Self::NoRollout => "no rollout",
            Self::Quarantined { .. } => "quarantined",
            Self::NothingBefore => "nothing before",
            Self::Busy { .. } => "busy",
            Self::Outdated { .. } => "outdated",
            Self::Budget { .. } => "budget",
            Self::NoFreeSlot { .. } => "no free slot",
            Self::NotMigrated { .. } => "not migrated",
            Self::NotStaged { .. } => "not staged",
            Self::MigrationLocked { .. } => "migration locked",
            Self::HostNotFree { .. } => "host not free",
            Self::Terminated { .. } => "terminated",
            Self::AgentTooOld { .. } => "agent too old",
            Self::AnotherHost { .. } => "another host",
            Self::ReasonMissing => "reason missing",
            Self::GivesWay { .. } => "gives way",
            Self::NotNow(_) => "not now",
        }
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
    }
}
