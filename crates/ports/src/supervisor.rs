//! What runs `bin/serve` and `bin/migrate` so that they outlive the agent.

use std::{future::Future, path::PathBuf, time::Duration};

use model::{Fence, ReleaseId};
use serde::{Deserialize, Serialize};

use crate::Fault;

pub mod fake;
mod launch;

pub use fake::FakeSupervisor;
pub use launch::{Account, EnvironmentFile, Launch, Limits, Manner, Readiness, StopSignal};

/// Longest status that a service can give itself, in bytes; what is longer is cut.
pub const STATUS_LIMIT_BYTES: usize = 256;

fn yes() -> bool {
    true
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It ended by itself with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// It is gone, and nobody saw how.
    Unknown,
}

/// The service's process as the supervisor sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Process {
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
        /// How often the keeper restarted it by itself under this grant.
        restarts: u32,
        /// Whether it is ready: it runs, and where its [`Readiness`] asks for a word, it has said so and has not said since
        /// that it stops. Keepers that did not know of readiness started only what is ready when it runs.
        #[serde(default = "yes")]
        ready: bool,
        /// What it said of itself last (`STATUS=`), at most [`STATUS_LIMIT_BYTES`].
        #[serde(default)]
        status: Option<String>,
        /// It may have said that it is ready while nobody listened: its keeper died, and another one took its place.
        #[serde(default)]
        unheard: bool,
    },
    /// It ended unasked. The keeper starts it again after a pause, but only if it was told to [keep it
    /// running](Supervisor::keep_running).
    Exited {
        /// The release.
        release: ReleaseId,
        /// The grant it was started under.
        fence: Fence,
        /// How it ended.
        exit: Exit,
        /// How often the keeper restarted it by itself under this grant.
        restarts: u32,
        /// What else there is to say of its end, in words.
        #[serde(default)]
        note: Option<String>,
    },
}

/// What is known of `bin/migrate` of one release on this host, from what was written to disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MigrationRun {
    /// No record: it did not start.
    NotStarted,
    /// It runs.
    Running {
        /// The grant it was started under.
        fence: Fence,
        /// Its process id.
        pid: u32,
    },
    /// It ended.
    Ended {
        /// The grant it was started under.
        fence: Fence,
        /// How. [`Exit::Unknown`] is a record without an end and without a process.
        exit: Exit,
    },
}

/// All that the supervisor knows of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Counts changes; a wait for the next one names the last one seen.
    pub change: u64,
    /// The service's process.
    pub process: Process,
    /// The last migration, with its release.
    pub migration: Option<(ReleaseId, MigrationRun)>,
    /// The newest fence seen for the service. Migrations have a newest one of their own, as they have a lock of their own.
    pub fence: Option<Fence>,
    /// The processes of all instances, in order, where the service has more than one; `process` is what they are as one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<Process>,
}

/// Why the supervisor did not do it.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The fence is older than the newest seen. Final: the grant is no longer ours.
    #[error("fence {offered} is older than {newest}")]
    Stale {
        /// What was offered.
        offered: Fence,
        /// The newest seen.
        newest: Fence,
    },
    /// Something else runs. The caller stops it first.
    #[error("{release} runs under fence {fence}")]
    Occupied {
        /// The release that runs.
        release: ReleaseId,
        /// The grant it was started under.
        fence: Fence,
    },
    /// The program could not be started at all (missing, not executable, no such interpreter).
    #[error("start {program}")]
    Exec {
        /// The program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The keeper could not be reached or did not answer.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Runs one service, and its migrations, so that they outlive the caller.
///
/// The service and its migrations are two locks, so each has its own newest fence. Whatever carries an older one is
/// refused as [`SupervisorError::Stale`]; equal is welcome, so that a caller may ask again.
pub trait Supervisor: Send + Sync + 'static {
    /// What runs now. Starts the keeper when there is none, adopting what an earlier one left.
    fn observe(&self) -> impl Future<Output = Result<Observation, SupervisorError>> + Send;
    /// Waits until the count of changes is above `seen`, then observes.
    fn changed(&self, seen: u64) -> impl Future<Output = Result<Observation, SupervisorError>> + Send;
    /// Starts `bin/serve`. The same release and fence as what already runs: answers with that. Refused as
    /// [`SupervisorError::Occupied`] while another one runs. It is not kept running until the caller says so.
    fn start(&self, launch: &Launch) -> impl Future<Output = Result<Observation, SupervisorError>> + Send;
    /// Whether the keeper starts the service again, after a pause, when it ends unasked: also when it has ended already.
    /// Nothing was started, or it was stopped: no effect.
    fn keep_running(
        &self,
        fence: Fence,
        keep: bool,
    ) -> impl Future<Output = Result<Observation, SupervisorError>> + Send;
    /// The [signal](StopSignal) that it was started with, `grace`, then SIGKILL, each to all its processes; returns when it is
    /// gone. No process: done already.
    fn stop(
        &self,
        fence: Fence,
        grace: Duration,
    ) -> impl Future<Output = Result<Observation, SupervisorError>> + Send;
    /// Starts `bin/migrate` unless this grant's record says that it was started before; then answers with what is
    /// known of it. A newer grant may start it again. Refused as [`SupervisorError::Occupied`] while another one runs.
    fn migrate(&self, launch: &Launch) -> impl Future<Output = Result<Observation, SupervisorError>> + Send;
    /// SIGTERM, `grace`, then SIGKILL to a running migration; returns when it is gone.
    fn stop_migration(
        &self,
        fence: Fence,
        grace: Duration,
    ) -> impl Future<Output = Result<Observation, SupervisorError>> + Send;
    /// The end of what the service (`migration` = false) or the migration wrote under `fence`, at most `limit` bytes,
    /// cut at the start of a line.
    fn tail(
        &self,
        fence: Fence,
        migration: bool,
        limit: usize,
    ) -> impl Future<Output = Result<String, SupervisorError>> + Send;
}
