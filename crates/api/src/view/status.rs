//! How a cluster is now.

use std::time::Duration;

use model::{
    Fence, HostId, Policy, Release, ReleaseId, Revision, RolloutId, ServiceName, StageProgress,
    fleet::{Availability, Cause, Failure, MigrationState, Operator, PartState, PhaseKind, Rollout},
    host::Health,
    planner::hold::TimedHold,
    time::WallTime,
};

use super::Cursor;

/// How a cluster is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Name of the cluster; empty before it has formed.
    pub cluster: String,
    /// Host of the leader, where one is known.
    pub leader: Option<HostId>,
    /// Revision that this was made from.
    pub revision: Revision,
    /// Host that answers.
    pub answered_by: HostId,
    /// Why the answer may be old.
    pub stale: Option<Stale>,
    /// The services asked for, by name.
    pub services: Vec<ServiceStatus>,
    /// Where a watch goes on from here so that it misses nothing.
    pub cursor: Cursor,
}

/// No majority of voters is there, so an answer may be old.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stale {
    /// Why, and who is missing, in words.
    pub reason: String,
    /// Voters that do not answer.
    pub missing: Vec<HostId>,
}

/// How a service is now.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceStatus {
    /// The service.
    pub service: ServiceName,
    /// How it is rolled.
    pub policy: Policy,
    /// The rollout under way.
    pub active: Option<Rollout>,
    /// The rollout that waits for its end.
    pub next: Option<Rollout>,
    /// The last completed release.
    pub completed: Option<Release>,
    /// Releases that are kept from use.
    pub quarantine: Vec<QuarantineStatus>,
    /// What is known of migrations.
    pub migrations: Vec<MigrationStatus>,
    /// Why it waits.
    pub holds: Vec<HoldStatus>,
    /// Its hosts, by name.
    pub hosts: Vec<HostStatus>,
    /// Who may be out of service.
    pub slots: Slots,
    /// Who may run `bin/migrate`.
    pub migration_lock: Option<MigrationLockStatus>,
    /// An operator left the fleet mixed.
    pub mixed: bool,
    /// The channel that is followed, if its hosts declare one.
    pub channel: Option<ChannelStatus>,
}

/// Where CI leaves word of what it has released, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelStatus {
    /// Its address.
    pub url: String,
    /// The release that it named last, if that could be found out.
    pub release: Option<ReleaseId>,
    /// Why what it says was not pushed.
    pub refused: Option<String>,
    /// Why it cannot be read now, as the leader says.
    pub trouble: Option<String>,
}

/// Who may run `bin/migrate` of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationLockStatus {
    /// The holder.
    pub host: HostId,
    /// Number of the grant.
    pub fence: Fence,
    /// The release whose migration is run.
    pub release: Release,
    /// When it was granted, for people, as far as that is still known.
    pub granted_at: Option<WallTime>,
}

/// A release that is kept from use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineStatus {
    /// The release.
    pub release: ReleaseId,
    /// How it failed.
    pub reason: String,
    /// The rollout in which it did.
    pub rollout: Option<RolloutId>,
}

/// What is known of the migration of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// The release.
    pub release: ReleaseId,
    /// The host, when migrations run once on each host.
    pub host: Option<HostId>,
    /// What is known.
    pub state: MigrationState,
}

/// One wait, word for word as the planner says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldStatus {
    /// A short, stable name; of its page in the runbooks as well.
    pub name: String,
    /// Why it waits.
    pub text: String,
    /// What would end it.
    pub ends_when: String,
    /// How long it has lasted.
    pub lasted: Duration,
    /// When it ends by itself, if it does.
    pub ends_in: Option<Duration>,
    /// The host it names.
    pub host: Option<HostId>,
    /// The rollout that waits.
    pub rollout: Option<RolloutId>,
}

impl From<&TimedHold> for HoldStatus {
    fn from(timed: &TimedHold) -> Self {
        let why = &timed.hold.why;
        Self {
            name: why.name().to_owned(),
            text: why.to_string(),
            ends_when: timed.hold.ends_when(),
            lasted: timed.lasted,
            ends_in: timed.ends_in,
            host: why.host().cloned(),
            rollout: timed.hold.rollout,
        }
    }
}

/// One service on one host.
#[derive(Debug, Clone, PartialEq)]
pub struct HostStatus {
    /// The host.
    pub host: HostId,
    /// Where its agent listens.
    pub address: String,
    /// Its failure domain.
    pub zone: Option<String>,
    /// The release in soaked service.
    pub current: Option<Release>,
    /// The change under way.
    pub change: Option<ChangeStatus>,
    /// Whether it is in service, as last reported.
    pub availability: Availability,
    /// Whether it is part of P1's sum.
    pub counted: bool,
    /// Who excluded it, and why.
    pub excluded: Option<Operator>,
    /// Who asked it out for maintenance, and why.
    pub parked: Option<Operator>,
    /// Releases that are staged on it.
    pub staged: Vec<ReleaseId>,
    /// Why it could not stage the release that it should.
    pub stage_trouble: Option<String>,
    /// How long the leader has not heard from it, when that is too long.
    pub silent: Option<Duration>,
    /// Process id of the service, as last seen.
    pub pid: Option<u32>,
    /// How often the process was restarted, as last seen.
    pub restarts: Option<u32>,
    /// What went wrong last, or why it is out; empty while all goes well.
    pub trouble: String,
    /// What its present step waits for, as last seen.
    pub waits_for: String,
    /// How well the service is, as last seen.
    pub health: Option<Health>,
    /// The release that it stages now and how far that is, as last seen.
    pub staging: Option<Staging>,
    /// The last release that failed here, and how.
    pub last_failure: Option<HostFailure>,
    /// Its part of the rollout under way.
    pub part: Option<PartState>,
}

/// A release that is being staged on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staging {
    /// The release.
    pub release: ReleaseId,
    /// How far that is.
    pub progress: StageProgress,
}

/// A change of one host under a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeStatus {
    /// Number of the grant.
    pub fence: Fence,
    /// The release wanted; none takes the service away.
    pub to: Option<Release>,
    /// What the host had.
    pub from: Option<Release>,
    /// How far it is.
    pub phase: PhaseKind,
    /// How long it has been in that phase, as far as the leader knows.
    pub since: Duration,
    /// It is told to go back.
    pub revert: bool,
    /// The rollout it is for; none for converging and maintenance.
    pub rollout: Option<RolloutId>,
    /// It is for maintenance.
    pub park: bool,
    /// When it was granted, for people, as far as that is still known.
    pub granted_at: Option<WallTime>,
}

/// How a release failed on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFailure {
    /// The host.
    pub host: HostId,
    /// The release, where it is known.
    pub release: Option<ReleaseId>,
    /// How.
    pub failure: Failure,
}

impl HostFailure {
    /// Whether the release is to blame.
    #[must_use]
    pub fn condemns(&self) -> bool {
        self.failure.cause == Cause::Release
    }
}

/// Who may be out of service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slots {
    /// How many slots there are.
    pub limit: u32,
    /// Hosts that have one.
    pub holders: Vec<HostId>,
}
