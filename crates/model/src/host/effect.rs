//! What the host machine wants done. The shell carries effects out strictly in the order of the list.

use std::{collections::BTreeSet, time::Duration};

use super::{
    event::{ReportId, Ticket},
    ledger::Ledger,
};
use crate::{Fence, Release, ReleaseId, fleet::command::Report};

/// One thing to do. Those with a ticket are started in order and answered later by the event named; every one of them must be
/// answered within a deadline of its own, with a fault if need be. Those without are done when the next one begins.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write the ledger durably *before* anything after it in the list begins.
    Persist(Box<Ledger>),
    /// Ask the supervisor what runs. Answered by `Observed`.
    Observe {
        /// To answer with.
        ticket: Ticket,
    },
    /// Ask the balancer. Answered by `StandingRead`. Never sent for a headless service.
    QueryStanding {
        /// To answer with.
        ticket: Ticket,
    },
    /// Ask the store what is staged. Answered by `StagedRead`.
    QueryStaged {
        /// To answer with.
        ticket: Ticket,
    },
    /// Fetch, verify and pin. Answered by `StageEnded`.
    Stage {
        /// To answer with.
        ticket: Ticket,
        /// The release.
        release: Release,
        /// Not before the balancer is known to be usable.
        preflight: bool,
    },
    /// Remove old releases, but none of these. Answered by `Collected`.
    Collect {
        /// To answer with.
        ticket: Ticket,
        /// What must stay.
        keep: BTreeSet<ReleaseId>,
    },
    /// Deregister. Answered by `Left`.
    Leave {
        /// To answer with.
        ticket: Ticket,
        /// What is to be started as soon as it has left: it is verified meanwhile.
        next: Option<ReleaseId>,
    },
    /// Register. Answered by `Joined`.
    Join {
        /// To answer with.
        ticket: Ticket,
    },
    /// Stop the service's process. Answered by `Stopped`.
    Stop {
        /// To answer with.
        ticket: Ticket,
        /// The grant.
        fence: Fence,
        /// From SIGTERM to SIGKILL.
        grace: Duration,
    },
    /// Verify the staged release, unless that was done while the host left, and start its `bin/serve`; it is not restarted when it exits, until it is to be kept. Answered by `Started`.
    VerifyAndStart {
        /// To answer with.
        ticket: Ticket,
        /// The grant.
        fence: Fence,
        /// The release.
        release: Release,
    },
    /// Have the keeper restart the process of this fence when it exits, or no longer. Answered by `Kept`.
    KeepRunning {
        /// To answer with.
        ticket: Ticket,
        /// The grant the process was started under.
        fence: Fence,
        /// Whether.
        keep: bool,
    },
    /// Probe the service once. Answered by `Probed`. Never sent where no probe is configured.
    Probe {
        /// To answer with.
        ticket: Ticket,
    },
    /// Verify the staged release and start its `bin/migrate`, unless it was started under this grant. Answered by `MigrateCalled`.
    Migrate {
        /// To answer with.
        ticket: Ticket,
        /// The grant.
        fence: Fence,
        /// The release.
        release: Release,
    },
    /// Stop a running migration. Answered by `MigrationStopped`.
    StopMigration {
        /// To answer with.
        ticket: Ticket,
        /// The grant.
        fence: Fence,
        /// From SIGTERM to SIGKILL.
        grace: Duration,
    },
    /// Read the end of what was written under a grant, at most [`super::TAIL_LIMIT_BYTES`]. Answered by `TailRead`.
    ReadTail {
        /// To answer with.
        ticket: Ticket,
        /// The grant.
        fence: Fence,
        /// What `bin/migrate` wrote, not `bin/serve`.
        migration: bool,
    },
    /// Propose a report to the fleet, again and again until it is answered, by `ReportAnswered`. There is never more than one unanswered.
    Propose {
        /// To answer with.
        id: ReportId,
        /// What happened.
        report: Report,
    },
    /// Tell whoever reads the agent's log.
    Log(String),
}
