//! What may be asked of the fleet machine. A command carries what it assumes.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};

use super::{channel::Word, host::Declaration, migration::Verdict, provenance::Provenance, rollout::Halt};
pub use super::{
    reply::{Refusal, Reply},
    report::{Cause, Failure, MigrationEnd, Report},
};
use crate::{
    ClusterId, Fence, HostId, Incarnation, Policy, Release, ReleaseId, Revision, RolloutId, ServiceName,
    time::WallTime,
};

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// One run of one agent: its host and a word drawn when it started.
    pub proposer: String,
    /// Counts this run's proposals. The same number again gets the first reply.
    pub sequence: u64,
    /// When it was proposed, for people.
    pub at: WallTime,
    /// What is asked.
    pub act: Act,
}

/// What is asked of the fleet machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A host says who it is and which services it declares. Done at each start of its agent.
    Enrol(Enrolment),
    /// A host is no more.
    Depart {
        /// The host.
        host: HostId,
        /// What proves it.
        evidence: Evidence,
    },
    /// The leader has not heard from a host for too long: its availability is unknown from now on.
    Silent {
        /// The host.
        host: HostId,
    },
    /// A host reports what happened on it.
    Report {
        /// The host.
        host: HostId,
        /// The service.
        service: ServiceName,
        /// What happened.
        report: Report,
    },
    /// The planner's choice, made while looking at one revision.
    Plan {
        /// The service.
        service: ServiceName,
        /// The service's revision that was looked at; another one now, and the plan is refused.
        planned_at: Revision,
        /// In this order; one that is refused does not stop those after it.
        steps: Vec<Step>,
    },
    /// An operator or CI asks.
    Ask {
        /// The service.
        service: ServiceName,
        /// Who asks, and why.
        by: Operator,
        /// What for.
        request: Request,
    },
    /// New behaviour of `apply` up to this level is switched on, as all voters support it.
    RaiseLevel {
        /// The level.
        level: u32,
    },
    /// A lost cluster is about to be rebuilt from a backup in place of this one: from here on nothing is asked of this one any more.
    GiveWay {
        /// The lost cluster.
        to: ClusterId,
        /// Who rebuilds it, and why.
        by: Operator,
    },
}

/// A host as it describes itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Enrolment {
    /// The host.
    pub host: HostId,
    /// Identity of its state directory; another one under the same name is another host.
    pub state: String,
    /// Where its agent listens.
    pub address: SocketAddr,
    /// Its failure domain.
    pub zone: Option<String>,
    /// The services that its configuration declares.
    pub declares: BTreeMap<ServiceName, Declaration>,
    /// The `fleet_level` that its agent supports.
    pub level: u32,
    /// The newest incarnation that it has obeyed. A cluster that is older, as where two were rebuilt from one, becomes newer by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obeyed: Option<Incarnation>,
    /// The last migration that it was granted of each service, as it has noted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub migrated: BTreeMap<ServiceName, (Fence, Release)>,
    /// Those that it was granted before that one, as far as it remembers, oldest first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub migrated_before: BTreeMap<ServiceName, Vec<(Fence, Release)>>,
}

/// What proves that a host is no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The cloud said so.
    Terminated,
    /// An operator said so, and replaces the evidence by his word.
    Removed(Operator),
}

/// Who asked for something, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Operator {
    /// A person or a CI job, as it named itself.
    pub name: String,
    /// The reason given, where one is owed.
    pub reason: String,
}

/// What an operator or CI may ask of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Move the service to this release.
    Push {
        /// The release.
        release: Release,
        /// The service's policy from now on; unchanged when absent.
        policy: Option<Policy>,
        /// Where the release comes from.
        #[serde(default, skip_serializing_if = "Provenance::is_empty")]
        provenance: Provenance,
    },
    /// Move the service to what its channel says now, if that was not answered before.
    Follow(Word),
    /// Move the service to the last completed release before the present one.
    Rollback,
    /// Restart the present release on all hosts, under the same slots.
    Restart,
    /// Freeze the rollout and its deadlines; hosts in mid-step finish.
    Pause,
    /// End a pause or a halt.
    Resume,
    /// Give the rollout up.
    Abort {
        /// Leave changed hosts on the new release.
        leave: bool,
    },
    /// Replace the policy.
    SetPolicy {
        /// The new one.
        policy: Policy,
    },
    /// Say how a migration whose end nobody saw has ended.
    ResolveMigration {
        /// The release it belongs to.
        release: ReleaseId,
        /// What happened in truth.
        verdict: Verdict,
    },
    /// Let a quarantined release be used again.
    ReleaseQuarantine {
        /// The release.
        release: ReleaseId,
    },
    /// Free the slot of a host. If the host lives, the asker answers for P1.
    BreakSlot {
        /// The holder.
        host: HostId,
    },
    /// Free the migration lock; what became of the migration is then unknown. If the holder lives, the asker answers for P2.
    BreakMigrationLock,
    /// Free a lock for as long as it is under the grant that the asker was shown: one that was granted anew meanwhile is kept.
    BreakGrant {
        /// The lock.
        lock: Lock,
        /// The grant that was shown.
        fence: Fence,
    },
    /// Take a host out of P1's sum and out of rollouts.
    Exclude {
        /// The host.
        host: HostId,
    },
    /// End an exclusion.
    Include {
        /// The host.
        host: HostId,
    },
    /// Take a host out of service under a slot, and keep it out.
    Drain {
        /// The host.
        host: HostId,
    },
    /// End a drain: the host starts its release again and joins.
    Admit {
        /// The host.
        host: HostId,
    },
}

impl Request {
    /// Whether it replaces evidence by somebody's word, so that a reason is owed.
    #[must_use]
    pub fn overrides_a_promise(&self) -> bool {
        matches!(
            self,
            Self::ResolveMigration { .. }
                | Self::ReleaseQuarantine { .. }
                | Self::BreakSlot { .. }
                | Self::BreakMigrationLock
                | Self::BreakGrant { .. }
                | Self::Exclude { .. }
        )
    }
}

/// A lock that a host may hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lock {
    /// The slot of this host.
    SlotOf(HostId),
    /// The migration lock.
    Migration,
}

/// One choice of the planner. Each is checked again when it is applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Staging is over. Hosts that fell silent before are dropped from the rollout, visibly.
    EndStaging {
        /// The rollout.
        rollout: RolloutId,
        /// Those that are dropped.
        dropped: Vec<HostId>,
    },
    /// Stop, and let an operator decide.
    Halt {
        /// The rollout.
        rollout: RolloutId,
        /// Why.
        why: Halt,
    },
    /// Give a host the migration lock.
    GrantMigration {
        /// The host.
        host: HostId,
        /// The release whose migration is run.
        release: ReleaseId,
    },
    /// All migrations that are needed are recorded.
    EndMigrating {
        /// The rollout.
        rollout: RolloutId,
    },
    /// These hosts are changed next.
    StartWave {
        /// The rollout.
        rollout: RolloutId,
        /// Its hosts.
        hosts: Vec<HostId>,
    },
    /// The present wave has soaked.
    EndWave {
        /// The rollout.
        rollout: RolloutId,
    },
    /// Give a host a slot for its part of the rollout.
    Grant {
        /// The rollout.
        rollout: RolloutId,
        /// The host.
        host: HostId,
    },
    /// Give a host outside any rollout a slot to reach the last completed release.
    Converge {
        /// The host.
        host: HostId,
    },
    /// Give a host a slot to leave service for maintenance, as an operator asked.
    Park {
        /// The host.
        host: HostId,
    },
    /// A host that joined late takes part in the rollout.
    Adopt {
        /// The rollout.
        rollout: RolloutId,
        /// The host.
        host: HostId,
    },
    /// Every host of the rollout has soaked.
    Complete {
        /// The rollout.
        rollout: RolloutId,
    },
    /// A roll back cannot go on; or, of any other rollout, no host is left on which it could succeed.
    GiveUp {
        /// The rollout.
        rollout: RolloutId,
    },
    /// How long a wait has lasted so far, so that the next leader goes on from there.
    Elapsed {
        /// The rollout.
        rollout: RolloutId,
        /// Which wait.
        timer: super::rollout::Timer,
        /// How long, in milliseconds.
        elapsed_ms: u64,
    },
}
