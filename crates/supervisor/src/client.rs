//! The agent's end of the keeper: finds it, starts it when there is none, asks, and asks again when it dies in between.
//!
//! Every request carries a fence and may be repeated, so an answer that was lost is simply asked for again.

use std::{
    ffi::OsString,
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use model::{Fence, ServiceName};
use ports::{
    Fault, FaultKind, Supervisor,
    supervisor::{Launch, Observation, SupervisorError},
};
use tokio::{sync::Mutex, time::timeout};

use crate::protocol::{Reply, Request};

mod call;
mod replace;
mod spawn;

use call::Refused;

/// How long a keeper may take to come up, or to do what takes no time.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Longest single wait for a change; then the client asks again.
const CHANGE_WAIT: Duration = Duration::from_secs(30);
/// Between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// What a client must know.
#[derive(Debug, Clone)]
pub struct Options {
    /// The keeper's directory, one per service. Made when it is not there. An absolute path of any length.
    pub dir: PathBuf,
    /// What to run to get a keeper: the program and its arguments, the directory among them.
    pub keeper_command: Vec<OsString>,
    /// Run with the same arguments in place of the program that `keeper_command` starts with, where that one's file is gone.
    pub otherwise: Option<PathBuf>,
    /// The file that `keeper_command` ends up running, when a keeper of another one, or of an earlier file of the same path, is to
    /// be replaced at the next start of its service. None: the keeper stays as long as it lives.
    pub program: Option<PathBuf>,
    /// The service, for errors.
    pub service: ServiceName,
    /// Longest log of one attempt, in bytes; it shrinks to the last half of that.
    pub log_limit_bytes: u64,
    /// Files that a keeper, and what it starts, may have open, where nothing else is said; this process's own limit when absent.
    pub open_files: Option<u64>,
}

/// Asks the keeper of one service. Clones share what little it remembers.
#[derive(Debug, Clone)]
pub struct KeeperClient {
    options: Arc<Options>,
    /// Held while a keeper is started, so that one client starts one.
    starting: Arc<Mutex<()>>,
}

impl KeeperClient {
    /// A client; nothing is started before the first request.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options: Arc::new(options), starting: Arc::default() }
    }

    /// Stops the service and its migration, whatever their fences, and ends the keeper. For tearing everything down: the next
    /// request starts a keeper again, with nothing running.
    pub async fn shut_down(&self, grace: Duration) -> Result<(), SupervisorError> {
        match self.ask("shut down", &Request::Quit { grace }, grace + ANSWER_LIMIT).await? {
            Reply::Leaving => Ok(()),
            reply => Err(self.refused("shut down", reply)),
        }
    }

    /// Ends the keeper and leaves the service running, to be adopted by the next keeper. Refused as
    /// [`SupervisorError::Occupied`] while something runs, since an adopted process's exit code cannot be seen.
    pub async fn retire(&self) -> Result<(), SupervisorError> {
        match self.ask("retire", &Request::Retire, ANSWER_LIMIT).await? {
            Reply::Leaving => Ok(()),
            reply => Err(self.refused("retire", reply)),
        }
    }

    async fn observed(
        &self,
        attempted: &str,
        request: &Request,
        limit: Duration,
    ) -> Result<Observation, SupervisorError> {
        match self.ask(attempted, request, limit).await? {
            Reply::Observed(observation) => Ok(*observation),
            reply => Err(self.refused(attempted, reply)),
        }
    }

    /// The answer to a start. A keeper of an earlier build does not know how the program is to be run.
    fn understood(
        &self,
        attempted: &str,
        reply: Reply,
        kind: FaultKind,
    ) -> Result<Observation, SupervisorError> {
        match reply {
            Reply::Observed(observation) => Ok(*observation),
            reply if reply.is_unknown() => {
                let problem = format!(
                    "the keeper is of an earlier build, and cannot run a program as the configuration asks; it is \
                     replaced when the service is started next: deployinator restart {}",
                    self.options.service
                );
                Err(self.fault(kind, attempted, io::Error::new(io::ErrorKind::Unsupported, problem)))
            }
            reply => Err(self.refused(attempted, reply)),
        }
    }

    /// Asks until there is an answer, `limit` at the most. Starts a keeper where there is none.
    async fn ask(
        &self,
        attempted: &str,
        request: &Request,
        limit: Duration,
    ) -> Result<Reply, SupervisorError> {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let source = match timeout(left, self.once(request)).await {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(Refused::Finally(source))) => {
                    return Err(self.fault(FaultKind::Permanent, attempted, source));
                }
                Ok(Err(Refused::ForNow(source))) => source,
                Err(_) => io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}")),
            };
            if Instant::now() + TRY_AGAIN >= until {
                return Err(self.fault(FaultKind::Transient, attempted, source));
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    /// One connection, one request. Spawning has its own limit and its own words, so its failure is final here.
    async fn once(&self, request: &Request) -> Result<Reply, Refused> {
        let stream = match call::connect(&self.options.dir).await {
            Ok(stream) => stream,
            Err(_) => self.spawn().await.map_err(Refused::Finally)?,
        };
        let (_, reply) = call::exchange(stream, request, self.options.log_limit_bytes).await?;
        Ok(reply)
    }

    fn fault(&self, kind: FaultKind, attempted: &str, source: io::Error) -> SupervisorError {
        Fault::new(kind, format!("{attempted} through the keeper of {}", self.options.service), source).into()
    }

    fn refused(&self, attempted: &str, reply: Reply) -> SupervisorError {
        match reply {
            Reply::Stale { offered, newest } => SupervisorError::Stale { offered, newest },
            Reply::Occupied { release, fence } => SupervisorError::Occupied { release, fence },
            Reply::Exec { program, os_error, problem } => {
                let source = os_error.map_or_else(|| io::Error::other(problem), io::Error::from_raw_os_error);
                SupervisorError::Exec { program, source }
            }
            Reply::Fault { permanent, attempted, problem } => {
                let kind = if permanent { FaultKind::Permanent } else { FaultKind::Transient };
                self.fault(kind, &attempted, io::Error::other(problem))
            }
            Reply::Observed(_) | Reply::Tail(_) | Reply::Leaving => self.fault(
                FaultKind::Permanent,
                attempted,
                io::Error::other("the answer is of another request"),
            ),
        }
    }
}

impl Supervisor for KeeperClient {
    async fn observe(&self) -> Result<Observation, SupervisorError> {
        self.observed("observe", &Request::Observe, ANSWER_LIMIT).await
    }

    async fn changed(&self, seen: u64) -> Result<Observation, SupervisorError> {
        let request = Request::Changed { seen, wait: CHANGE_WAIT };
        loop {
            let now = self.observed("wait for a change", &request, CHANGE_WAIT + ANSWER_LIMIT).await?;
            if now.change > seen {
                return Ok(now);
            }
        }
    }

    async fn start(&self, launch: &Launch) -> Result<Observation, SupervisorError> {
        self.replace_keeper().await;
        let reply = self.ask_to_start("start", &Request::start(launch)).await?;
        // It stays only for a migration that runs, and that ends.
        self.understood("start", reply, FaultKind::Transient)
    }

    async fn keep_running(&self, fence: Fence, keep: bool) -> Result<Observation, SupervisorError> {
        self.observed("keep running", &Request::KeepRunning { fence, keep }, ANSWER_LIMIT).await
    }

    async fn stop(&self, fence: Fence, grace: Duration) -> Result<Observation, SupervisorError> {
        self.observed("stop", &Request::Stop { fence, grace }, grace + ANSWER_LIMIT).await
    }

    async fn migrate(&self, launch: &Launch) -> Result<Observation, SupervisorError> {
        if !launch.manner.is_plain() {
            self.replace_keeper().await;
        }
        let reply = self.ask_to_start("migrate", &Request::migrate(launch)).await?;
        // It stays for a service that runs, and that does not end by itself.
        self.understood("migrate", reply, FaultKind::Permanent)
    }

    async fn stop_migration(&self, fence: Fence, grace: Duration) -> Result<Observation, SupervisorError> {
        self.observed("stop the migration", &Request::StopMigration { fence, grace }, grace + ANSWER_LIMIT)
            .await
    }

    async fn tail(&self, fence: Fence, migration: bool, limit: usize) -> Result<String, SupervisorError> {
        match self.ask("read the log", &Request::Tail { fence, migration, limit }, ANSWER_LIMIT).await? {
            Reply::Tail(text) => Ok(text),
            reply => Err(self.refused("read the log", reply)),
        }
    }
}
