//! What client and keeper say to each other: one JSON object a line over a Unix socket, one request a connection.
//!
//! The client sends [`Hello`], then a [`Request`]; the keeper answers [`Welcome`], then a [`Reply`]. An agent is upgraded
//! while its keeper runs on, so a keeper that does not speak the client's version refuses it before it reads the request.

use std::{path::PathBuf, time::Duration};

use model::{Fence, ReleaseId};
use ports::supervisor::{Launch, Observation};
use serde::{Deserialize, Serialize};

/// The version spoken here. Raised when an older peer would misread a message that it must be able to read: whatever its age, a keeper
/// is to be asked what it sees, and told to stop. What an older one must not take for something else is a request of its own.
pub(crate) const VERSION: u32 = 1;

/// Longest line, in bytes. An environment fits; nothing makes a peer take more memory.
pub(crate) const LINE_LIMIT_BYTES: u64 = 4 << 20;

/// The client's first line. A keeper reads `version` alone before it reads the rest.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) version: u32,
    pub(crate) log_limit_bytes: u64,
}

/// What every version of [`Hello`] holds.
#[derive(Debug, Deserialize)]
pub(crate) struct AnyHello {
    pub(crate) version: u32,
}

/// The keeper's first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Welcome {
    /// Go on.
    Ready { version: u32, pid: u32, program: PathBuf },
    /// The keeper does not speak the client's version.
    Refused { offered: u32, spoken: u32 },
}

/// What is asked of the keeper.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    Observe,
    /// Answered when the count of changes is above `seen`, or after `wait`.
    Changed {
        seen: u64,
        wait: Duration,
    },
    Start(Box<Launch>),
    KeepRunning {
        fence: Fence,
        keep: bool,
    },
    Stop {
        fence: Fence,
        grace: Duration,
    },
    Migrate(Box<Launch>),
    /// As `Start`, in a manner that a keeper must know of. One that does not knows nothing of this request either.
    StartInManner(Box<Launch>),
    /// As `Migrate`, likewise.
    MigrateInManner(Box<Launch>),
    StopMigration {
        fence: Fence,
        grace: Duration,
    },
    Tail {
        fence: Fence,
        migration: bool,
        limit: usize,
    },
    /// Exit if nothing runs, so that a newer keeper can take the place.
    Retire,
    /// Stop the service and the migration, whatever the fence, and exit.
    Quit {
        grace: Duration,
    },
}

/// The keeper's answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    Observed(Box<Observation>),
    Tail(String),
    /// The keeper exits now.
    Leaving,
    Stale {
        offered: Fence,
        newest: Fence,
    },
    Occupied {
        release: ReleaseId,
        fence: Fence,
    },
    Exec {
        program: PathBuf,
        os_error: Option<i32>,
        problem: String,
    },
    Fault {
        permanent: bool,
        attempted: String,
        problem: String,
    },
}

/// What a keeper attempted that says that it does not know a request.
pub(crate) const UNDERSTAND: &str = "understand the request";

impl Request {
    /// To start `bin/serve`, so that no keeper takes it for less than it is.
    pub(crate) fn start(launch: &Launch) -> Self {
        let launch = Box::new(launch.clone());
        if launch.manner.is_plain() { Self::Start(launch) } else { Self::StartInManner(launch) }
    }

    /// To start `bin/migrate`, likewise.
    pub(crate) fn migrate(launch: &Launch) -> Self {
        let launch = Box::new(launch.clone());
        if launch.manner.is_plain() { Self::Migrate(launch) } else { Self::MigrateInManner(launch) }
    }
}

impl Reply {
    /// Whether the keeper does not know what it was asked for.
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self, Self::Fault { permanent: true, attempted, .. } if attempted == UNDERSTAND)
    }

    /// What a refusal says, on one line.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Exec { program, problem, .. } => format!("{}: {problem}", program.display()),
            Self::Fault { attempted, problem, .. } => format!("{attempted}: {problem}"),
            other => format!("{other:?}"),
        }
    }

    /// A fault that may pass.
    pub(crate) fn fault(attempted: impl Into<String>, source: &dyn std::error::Error) -> Self {
        Self::Fault {
            permanent: false,
            attempted: attempted.into(),
            problem: ports::fault::Chain(source).to_string(),
        }
    }
}
