//! Every name that there is to be met, and those that cannot be.

use model::{
    fleet::{Act, Halt, Halting, Outcome, PhaseKind, Refusal, Report, Request, RolloutPhase, Step},
    host::Effect,
    planner::Why,
};

use super::words;
use crate::scenario::{BLOWS, ITEMS};

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    /// Entries of the log.
    Command,
    /// What people ask.
    Request,
    /// What hosts report.
    Report,
    /// Choices of the planner that were carried out.
    Step,
    /// Why something was refused.
    Refusal,
    /// How far rollouts came.
    Rollout,
    /// Why rollouts were halted.
    Halt,
    /// How rollouts ended.
    Outcome,
    /// How far changes of hosts came.
    Phase,
    /// Why the planner waited.
    Hold,
    /// What host machines had done.
    Effect,
    /// What people do and what goes wrong.
    Item,
    /// What happened to hosts amid of their work.
    Blow,
    /// What happens to the log.
    Consensus,
}

impl Group {
    /// The word for it.
    #[must_use]
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Request => "request",
            Self::Report => "report",
            Self::Step => "step",
            Self::Refusal => "refusal",
            Self::Rollout => "rollout",
            Self::Halt => "halt",
            Self::Outcome => "outcome",
            Self::Phase => "phase",
            Self::Hold => "hold",
            Self::Effect => "effect",
            Self::Item => "item",
            Self::Blow => "blow",
            Self::Consensus => "consensus",
        }
    }
}

words! {
    /// The word for a command.
    pub(crate) fn command_word(Act), COMMANDS:
    Act::Enrol(_) => "enrol",
    Act::Depart { .. } => "depart",
    Act::Silent { .. } => "silent",
    Act::Report { .. } => "report",
    Act::Plan { .. } => "plan",
    Act::Ask { .. } => "ask",
    Act::RaiseLevel { .. } => "raise level",
    Act::GiveWay { .. } => "give way",
}

words! {
    /// The word for what somebody asks.
    pub(crate) fn request_word(Request), REQUESTS:
    Request::Push { .. } => "push",
    Request::Follow(_) => "follow",
    Request::Rollback => "rollback",
    Request::Restart => "restart",
    Request::Pause => "pause",
    Request::Resume => "resume",
    Request::Abort { .. } => "abort",
    Request::SetPolicy { .. } => "policy",
    Request::ResolveMigration { .. } => "resolve migration",
    Request::ReleaseQuarantine { .. } => "release quarantine",
    Request::BreakSlot { .. } => "break slot",
    Request::BreakMigrationLock => "break migration lock",
    Request::BreakGrant { .. } => "break grant",
    Request::Exclude { .. } => "exclude",
    Request::Include { .. } => "include",
    Request::Drain { .. } => "drain",
    Request::Admit { .. } => "admit",
}

words! {
    /// The word for a report.
    pub(crate) fn report_word(Report), REPORTS:
    Report::Staged { .. } => "staged",
    Report::NotStaged { .. } => "not staged",
    Report::Runs { .. } => "runs",
    Report::Moved { .. } => "moved",
    Report::Failed { .. } => "failed",
    Report::Changed { .. } => "changed",
    Report::Reverted { .. } => "reverted",
    Report::Stuck { .. } => "stuck",
    Report::Abandoned { .. } => "abandoned",
    Report::Parked { .. } => "parked",
    Report::Availability { .. } => "availability",
    Report::MigrationStarted { .. } => "migration started",
    Report::MigrationEnded { .. } => "migration ended",
}

words! {
    /// The word for a choice of the planner.
    pub(crate) fn step_word(Step), STEPS:
    Step::EndStaging { .. } => "end staging",
    Step::Halt { .. } => "halt",
    Step::GrantMigration { .. } => "grant migration",
    Step::EndMigrating { .. } => "end migrating",
    Step::StartWave { .. } => "start wave",
    Step::EndWave { .. } => "end wave",
    Step::Grant { .. } => "grant",
    Step::Converge { .. } => "converge",
    Step::Park { .. } => "park",
    Step::Adopt { .. } => "adopt",
    Step::Complete { .. } => "complete",
    Step::GiveUp { .. } => "give up",
    Step::Elapsed { .. } => "elapsed",
}

words! {
    /// The word for a refusal.
    pub(crate) fn refusal_word(Refusal), REFUSALS:
    Refusal::UnknownService { .. } => "unknown service",
    Refusal::UnknownHost { .. } => "unknown host",
    Refusal::NoRollout => "no rollout",
    Refusal::Quarantined { .. } => "quarantined",
    Refusal::NothingBefore => "nothing before",
    Refusal::Busy { .. } => "busy",
    Refusal::Outdated { .. } => "outdated",
    Refusal::Budget { .. } => "budget",
    Refusal::NoFreeSlot { .. } => "no free slot",
    Refusal::NotMigrated { .. } => "not migrated",
    Refusal::NotStaged { .. } => "not staged",
    Refusal::MigrationLocked { .. } => "migration locked",
    Refusal::HostNotFree { .. } => "host not free",
    Refusal::Terminated { .. } => "terminated",
    Refusal::AgentTooOld { .. } => "agent too old",
    Refusal::AnotherHost { .. } => "another host",
    Refusal::ReasonMissing => "reason missing",
    Refusal::GivesWay { .. } => "gives way",
    Refusal::NotNow(_) => "not now",
}

words! {
    /// The word for how far a rollout is.
    pub(crate) fn rollout_word(RolloutPhase), ROLLOUTS:
    RolloutPhase::Queued => "queued",
    RolloutPhase::Staging => "staging",
    RolloutPhase::Migrating => "migrating",
    RolloutPhase::Rolling => "rolling",
    RolloutPhase::RollingBack { .. } => "rolling back",
    RolloutPhase::Halted { during: Halting::Staging, .. } => "halted in staging",
    RolloutPhase::Halted { during: Halting::Migrating, .. } => "halted in migrating",
    RolloutPhase::Halted { during: Halting::Rolling, .. } => "halted in rolling",
    RolloutPhase::Ended { .. } => "ended",
}

words! {
    /// The word for how a rollout ended.
    pub(crate) fn outcome_word(Outcome), OUTCOMES:
    Outcome::Completed => "completed",
    Outcome::FailedInMigration => "failed in migration",
    Outcome::Failed => "failed",
    Outcome::RolledBack => "rolled back",
    Outcome::RollbackFailed => "rollback failed",
    Outcome::Aborted => "aborted",
    Outcome::Superseded { .. } => "superseded",
}

words! {
    /// The word for why a rollout is halted.
    pub(crate) fn halt_word(Halt), HALTS:
    Halt::NotStaged { .. } => "not staged",
    Halt::MigrationUnknown { .. } => "migration unknown",
    Halt::Failed { .. } => "failed",
    Halt::SetBack { .. } => "set back",
}

words! {
    /// The word for how far a change is.
    pub(crate) fn phase_word(PhaseKind), PHASES:
    PhaseKind::Steady => "steady",
    PhaseKind::Granted => "granted",
    PhaseKind::Draining => "draining",
    PhaseKind::Stopping => "stopping",
    PhaseKind::Starting => "starting",
    PhaseKind::Probing => "probing",
    PhaseKind::Joining => "joining",
    PhaseKind::Soaking => "soaking",
    PhaseKind::Reverting => "reverting",
    PhaseKind::Stuck => "stuck",
    PhaseKind::Aborting => "aborting",
    PhaseKind::Parked => "parked",
}

words! {
    /// The name of a hold.
    pub(crate) fn hold_word(Why), HOLDS:
    Why::LeaderLearning => "leader_learning",
    Why::Staging { .. } => "staging",
    Why::Migrating { .. } => "migrating",
    Why::MigrationUnknown { .. } => "migration_unknown",
    Why::MigrationFailed { .. } => "migration_failed",
    Why::Changing { .. } => "changing",
    Why::NoFreeSlot { .. } => "no_free_slot",
    Why::BudgetSpent { .. } => "budget_spent",
    Why::HostSilent { .. } => "host_silent",
    Why::HostStuck { .. } => "host_stuck",
    Why::HostFailed { .. } => "host_failed",
    Why::RetryLater { .. } => "retry_later",
    Why::WaveSoak { .. } => "wave_soak",
    Why::Paused { .. } => "paused",
    Why::Halted { .. } => "halted",
    Why::Queued { .. } => "queued",
    Why::ConfigurationDiffers { .. } => "configuration_differs",
    Why::NoHosts => "no_hosts",
}

words! {
    /// The word for what a host machine wants done.
    pub(crate) fn effect_word(Effect), EFFECTS:
    Effect::Persist(_) => "persist",
    Effect::Observe { .. } => "observe",
    Effect::QueryStanding { .. } => "query standing",
    Effect::QueryStaged { .. } => "query staged",
    Effect::Stage { .. } => "stage",
    Effect::Collect { .. } => "collect",
    Effect::Leave { .. } => "leave",
    Effect::Join { .. } => "join",
    Effect::Stop { .. } => "stop",
    Effect::VerifyAndStart { .. } => "verify and start",
    Effect::KeepRunning { .. } => "keep running",
    Effect::Probe { .. } => "probe",
    Effect::Migrate { .. } => "migrate",
    Effect::StopMigration { .. } => "stop migration",
    Effect::ReadTail { .. } => "read tail",
    Effect::Propose { .. } => "propose",
    Effect::Log(_) => "log",
}

/// What happens to the log.
pub(crate) const ELECTED: &str = "a leader is elected";

/// Every name, by group.
pub(crate) const ALL: &[(Group, &[&str])] = &[
    (Group::Command, COMMANDS),
    (Group::Request, REQUESTS),
    (Group::Report, REPORTS),
    (Group::Step, STEPS),
    (Group::Refusal, REFUSALS),
    (Group::Rollout, ROLLOUTS),
    (Group::Halt, HALTS),
    (Group::Outcome, OUTCOMES),
    (Group::Phase, PHASES),
    (Group::Hold, HOLDS),
    (Group::Effect, EFFECTS),
    (Group::Item, ITEMS),
    (Group::Blow, BLOWS),
    (Group::Consensus, &[ELECTED]),
];

/// What need not be met, and why: it cannot happen in here, or takes more seeds than are enough for all else.
pub(crate) const UNMET: &[(Group, &str, &str)] = &[
    (Group::Command, "give way", "clusters that are rebuilt are not simulated"),
    (Group::Command, "raise level", "all agents are of one build, and know one level"),
    (Group::Request, "follow", "there are no channels: they are pushes whose answer is remembered"),
    (Group::Request, "break migration lock", "people break the grant that they were shown"),
    (Group::Refusal, "agent too old", "all agents are of one build"),
    (Group::Refusal, "budget", PLANNED),
    (Group::Refusal, "gives way", "clusters that are rebuilt are not simulated"),
    (Group::Refusal, "host not free", "once in 2000 seeds"),
    (Group::Refusal, "migration locked", PLANNED),
    (Group::Refusal, "no free slot", PLANNED),
    (Group::Refusal, "not migrated", PLANNED),
    (Group::Refusal, "not staged", PLANNED),
    (Group::Refusal, "reason missing", "whoever asks here gives a reason"),
    (
        Group::Refusal,
        "terminated",
        "it takes an enrolment on its way for longer than the cloud takes to say that its host is no more",
    ),
    (Group::Refusal, "unknown service", "people ask before a host has enrolled: four times in 2000 seeds"),
    (Group::Halt, "set back", "twice in 2000 seeds"),
    (Group::Phase, "granted", "a host's own change begins with draining"),
    (
        Group::Hold,
        "migration_failed",
        "it takes a joiner on which alone the migration fails: not once in 2000 seeds",
    ),
];

/// Why what the planner chooses is not refused for this.
const PLANNED: &str =
    "the planner counts as the fleet machine does, and what it chose at another revision is refused whole";
