//! What can happen to the host machine. Outcomes of effects name the ticket of the effect they answer.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Fence, ReleaseId, Revision, fleet::assignment::ServiceAssignment};

/// Names one asynchronous effect. An answer with a ticket that is no longer waited for is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Names one report of this host and service. Grows, also over restarts of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct ReportId(pub u64);

/// Everything that can happen.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The agent has started. Comes once, first.
    Booted,
    /// The moment that [`super::Host::deadline`] named has come. Harmless at any other time.
    DeadlinePassed,
    /// The host's view of the fleet, whenever a newer one is known. Older revisions than the newest seen are dropped.
    Assigned {
        /// The revision it was made from.
        revision: Revision,
        /// What to do.
        assignment: Box<ServiceAssignment>,
    },
    /// A proposed report was committed and answered.
    ReportAnswered {
        /// Which.
        id: ReportId,
        /// What the fleet said.
        answer: Answer,
        /// How long that took, from the `Propose` effect to the answer, on the boot-time clock. Counted by the shell, as it
        /// retries by itself; an answer may wait for long before the machine gets to see it.
        took: Duration,
    },
    /// The supervisor's news, unasked: something changed. Must be wired to its `changed`.
    ProcessChanged(Observed),
    /// Answers `Observe`.
    Observed {
        /// The effect's.
        ticket: Ticket,
        /// What the supervisor knows.
        result: Result<Observed, FaultSeen>,
    },
    /// Answers `QueryStanding`.
    StandingRead {
        /// The effect's.
        ticket: Ticket,
        /// What the balancer says.
        result: Result<StandingSeen, FaultSeen>,
    },
    /// Answers `QueryStaged`.
    StagedRead {
        /// The effect's.
        ticket: Ticket,
        /// The releases that are staged.
        result: Result<BTreeSet<ReleaseId>, FaultSeen>,
    },
    /// Answers `Stage`.
    StageEnded {
        /// The effect's.
        ticket: Ticket,
        /// Whether it is staged now.
        result: Result<(), FaultSeen>,
    },
    /// Answers `Collect`.
    Collected {
        /// The effect's.
        ticket: Ticket,
        /// What was removed.
        result: Result<Vec<ReleaseId>, FaultSeen>,
    },
    /// Answers `Leave`.
    Left {
        /// The effect's.
        ticket: Ticket,
        /// It is deregistered, and its drain takes so long at the most, where the balancer says so.
        result: Result<Option<Duration>, FaultSeen>,
    },
    /// Answers `Join`.
    Joined {
        /// The effect's.
        ticket: Ticket,
        /// Whether it is registered.
        result: Result<(), FaultSeen>,
    },
    /// Answers `Stop`.
    Stopped {
        /// The effect's.
        ticket: Ticket,
        /// What the supervisor sees after it.
        result: Result<Observed, Denied>,
    },
    /// Answers `VerifyAndStart`.
    Started {
        /// The effect's.
        ticket: Ticket,
        /// What the supervisor sees after it.
        result: Result<Observed, Denied>,
    },
    /// Answers `KeepRunning`.
    Kept {
        /// The effect's.
        ticket: Ticket,
        /// Whether the keeper took note.
        result: Result<(), Denied>,
    },
    /// Answers `Probe`.
    Probed {
        /// The effect's.
        ticket: Ticket,
        /// Whether it passed, or why not.
        result: Result<(), Miss>,
    },
    /// Answers `Migrate`.
    MigrateCalled {
        /// The effect's.
        ticket: Ticket,
        /// What the supervisor sees after it.
        result: Result<Observed, Denied>,
    },
    /// Answers `StopMigration`.
    MigrationStopped {
        /// The effect's.
        ticket: Ticket,
        /// What the supervisor sees after it.
        result: Result<Observed, Denied>,
    },
    /// Answers `ReadTail`.
    TailRead {
        /// The effect's.
        ticket: Ticket,
        /// The end of the output, at most [`super::TAIL_LIMIT_BYTES`].
        result: Result<String, FaultSeen>,
    },
}

/// Why a probe did not pass, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// The service was asked, and is not healthy.
    Service(String),
    /// The service could not be asked: the keeper does not answer, or the program that probes is not there.
    Unasked(String),
}

/// The fleet's answer to a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was taken note of, now or before.
    Accepted,
    /// No, and why.
    Refused(String),
}

/// What can go wrong outside, in three words. Mirrors the ports' fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultWord {
    /// The other side asked us to slow down.
    Throttled,
    /// It may work when tried again.
    Transient,
    /// Trying again changes nothing.
    Permanent,
}

/// A call to the outside that did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultSeen {
    /// How it is classified.
    pub kind: FaultWord,
    /// What was attempted on what and why it failed, with all causes, on one line.
    pub text: String,
}

/// Why the store or the supervisor did not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// The supervisor has seen a newer fence.
    Stale {
        /// That one.
        newest: Fence,
    },
    /// Something else runs.
    Occupied {
        /// What.
        text: String,
    },
    /// The program could not be executed at all.
    Exec {
        /// What and why.
        text: String,
    },
    /// The release could not be verified, or the keeper could not be reached.
    Fault(FaultSeen),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitSeen {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It is gone, and nobody saw how.
    Unknown,
}

/// The service's process as the supervisor sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessSeen {
    /// Nothing was started, or it was stopped as asked.
    Stopped,
    /// It runs.
    Running {
        /// The release.
        release: ReleaseId,
        /// The grant it was started under.
        fence: Fence,
        /// Its process id.
        pid: u32,
        /// How often the keeper restarted it.
        restarts: u32,
        /// It counts as ready: it has said so where that is asked of it, and has not said since that it stops.
        ready: bool,
        /// What it said of itself last, in its own words.
        status: Option<String>,
    },
    /// It ended unasked. The keeper starts it again only if it is to be kept.
    Exited {
        /// The release.
        release: ReleaseId,
        /// The grant it was started under.
        fence: Fence,
        /// How it ended.
        exit: ExitSeen,
        /// How often the keeper restarted it.
        restarts: u32,
        /// What else there is to say of its end, in words.
        note: Option<String>,
    },
}

/// What is written of `bin/migrate` of one release on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationSeen {
    /// No record: it did not start.
    NotStarted,
    /// It runs.
    Running {
        /// The grant it was started under.
        fence: Fence,
    },
    /// It ended. [`ExitSeen::Unknown`] is a record without an end and without a process.
    Ended {
        /// The grant it was started under.
        fence: Fence,
        /// How.
        exit: ExitSeen,
    },
}

/// All that the supervisor knows of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Counts the supervisor's changes. Unasked news with a lower count than the newest seen are old, and dropped.
    pub change: u64,
    /// The process.
    pub process: ProcessSeen,
    /// The last migration, with its release.
    pub migration: Option<(ReleaseId, MigrationSeen)>,
    /// The newest fence that the supervisor has seen.
    pub fence: Option<Fence>,
    /// The processes of all instances, in order, where there is more than one; `process` is what they are as one.
    pub instances: Vec<ProcessSeen>,
}

/// What the balancer says of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StandingSeen {
    /// Not registered; nothing is in flight.
    Absent,
    /// Registered, not yet found healthy.
    Initial,
    /// It gets requests.
    InService,
    /// Registered, and found unhealthy.
    Unhealthy {
        /// The balancer's own words.
        reason: String,
    },
    /// No new requests; those in flight go on.
    Draining,
}
