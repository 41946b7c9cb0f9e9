//! What hosts tell the fleet machine.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::host::{Availability, PhaseKind};
use crate::{Fence, Release, ReleaseId};

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
        /// The release that it serves: only that one is to blame. A report may come long after the host has gone on to another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<ReleaseId>,
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
