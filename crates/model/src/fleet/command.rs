//! What may be asked of the fleet machine, and what it answers. A command carries what it assumes.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    host::{Availability, Declaration, PhaseKind},
    migration::Verdict,
    rollout::Halt,
};
use crate::{Fence, HostId, Policy, Release, ReleaseId, Revision, RolloutId, ServiceName, time::WallTime};

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
    },
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
                | Self::Exclude { .. }
        )
    }
}

/// What happened on a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// A release is fetched, verified and pinned.
    Staged {
        /// Which.
        release: ReleaseId,
    },
    /// A release could not be staged; it is tried again.
    NotStaged {
        /// Which.
        release: ReleaseId,
        /// Why.
        reason: String,
    },
    /// What the host found itself running when its agent started with an empty memory, or after it was set right.
    Runs {
        /// The release in soaked service, if any.
        release: Option<Release>,
    },
    /// The change goes from one phase to the next. The first one, from granted, asks for leave to begin.
    Moved {
        /// The grant.
        fence: Fence,
        /// The phase it was in.
        from: PhaseKind,
        /// The phase it is in now.
        to: PhaseKind,
        /// Why, where that is worth saying.
        reason: Option<String>,
    },
    /// The new release failed on this host, which now goes back.
    Failed {
        /// The grant.
        fence: Fence,
        /// How.
        failure: Failure,
    },
    /// The change is done: in service and soaked. Frees the slot.
    Changed {
        /// The grant.
        fence: Fence,
    },
    /// The host is back on what it had before. Frees the slot.
    Reverted {
        /// The grant.
        fence: Fence,
    },
    /// The host could not go back: it is out, and keeps the slot.
    Stuck {
        /// The grant.
        fence: Fence,
        /// How.
        failure: Failure,
    },
    /// The host gave up before it stopped anything, and is in service again on what it had. Frees the slot.
    Abandoned {
        /// The grant.
        fence: Fence,
        /// Why: a fault of the surroundings.
        reason: String,
    },
    /// The host is out of service for maintenance, and stays so.
    Parked {
        /// The grant.
        fence: Fence,
    },
    /// The host came into service or fell out of it, outside a change.
    Availability {
        /// What it is now.
        availability: Availability,
        /// Why.
        cause: Cause,
        /// More about it, for people.
        reason: String,
        /// The end of the process's output, when it exited.
        tail: Arc<str>,
    },
    /// `bin/migrate` was started under this grant.
    MigrationStarted {
        /// The grant.
        fence: Fence,
    },
    /// `bin/migrate` has ended, or nobody saw how.
    MigrationEnded {
        /// The grant.
        fence: Fence,
        /// How: succeeded, failed or unknown.
        end: MigrationEnd,
        /// The end of its output.
        tail: Arc<str>,
    },
}

/// How a run of `bin/migrate` ended, as its host saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MigrationEnd {
    /// Exit code 0.
    Succeeded,
    /// Anything else that was seen, or its deadline.
    Failed {
        /// "exit code 3", "deadline of 10m passed".
        reason: String,
    },
    /// It was started, and its end was not seen.
    Unknown {
        /// How that came.
        reason: String,
    },
    /// It was not started, and never will be under this grant (the release is gone from the host, say).
    NotStarted {
        /// Why.
        reason: String,
    },
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The release: it exited, or does not answer as it should. Condemns it during its rollout.
    Release,
    /// The surroundings: cloud, balancer, host, operator. Condemns nothing.
    Surroundings,
}

/// How a release failed on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The phase it happened in.
    pub phase: PhaseKind,
    /// Whose fault it is.
    pub cause: Cause,
    /// "exited with code 3", "probe GET /healthz answered 503 until the deadline of 1m".
    pub reason: String,
    /// The end of the process's output, at most 16 KiB.
    pub tail: Arc<str>,
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
    /// A roll back cannot go on.
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

/// What the fleet machine answers. "No" is an answer.
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
    /// A reason is owed.
    #[error("a reason is owed, as this replaces evidence by your word")]
    ReasonMissing,
    /// Not a sensible thing to ask now.
    #[error("{0}")]
    NotNow(String),
}

fn list<T: ToString>(items: &[T]) -> String {
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
    }
}
