//! A supervisor in memory, for tests: it obeys the same contract test as the real one, and it can fail.
//!
//! Absent on purpose: time. What a program does, it does at once, and a stop never needs its grace.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::Duration,
};

use model::{Fence, ReleaseId};

use super::{
    Exit, Launch, Manner, MigrationRun, Observation, Process, Readiness, Supervisor, SupervisorError,
};
use crate::{Fault, FaultKind};

/// What a program does when it is started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Program {
    /// It runs until it is stopped. What a program does that nothing was said about.
    #[default]
    Runs,
    /// It writes, and ends.
    Exits {
        /// How it ends.
        exit: Exit,
        /// What it wrote.
        output: String,
    },
    /// It cannot be started: there is no such file.
    Missing,
}

/// A supervisor in memory. Clones share one state, as two agents would share one keeper.
#[derive(Debug, Clone, Default)]
pub struct FakeSupervisor {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    change: u64,
    programs: BTreeMap<PathBuf, Program>,
    next_pid: u32,
    fence: Option<Fence>,
    migration_fence: Option<Fence>,
    service: Option<Service>,
    migrations: Vec<(Launch, MigrationRun)>,
    outputs: BTreeMap<(bool, Fence), String>,
    started: Vec<Launch>,
    migrated: Vec<Launch>,
    failures: u32,
    lost_answers: u32,
    waiting: Vec<Waker>,
}

#[derive(Debug, Clone)]
struct Service {
    launch: Launch,
    keep: bool,
    restarts: u32,
    /// The process id while it runs, how it ended when it did.
    run: Result<u32, Exit>,
    ready: bool,
    status: Option<String>,
}

impl Service {
    /// A service that was just started, and has said nothing yet.
    fn new(launch: Launch, keep: bool, restarts: u32, run: Result<u32, Exit>) -> Self {
        let ready = launch.manner.readiness == Readiness::Up;
        Self { launch, keep, restarts, run, ready, status: None }
    }
}

impl FakeSupervisor {
    /// Nothing runs, nothing fails, every program runs for ever.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what the program at `path` does from now on.
    pub fn script(&self, path: impl Into<PathBuf>, program: Program) {
        self.lock().programs.insert(path.into(), program);
    }

    /// The next `count` calls fail and do nothing.
    pub fn fail(&self, count: u32) {
        self.lock().failures = count;
    }

    /// The next `count` calls do what they should, but their answers are lost.
    pub fn lose_answers(&self, count: u32) {
        self.lock().lost_answers = count;
    }

    /// The service ends unasked. Nothing runs: no effect.
    pub fn exit(&self, exit: Exit) {
        let mut state = self.lock();
        if let Some(service) = state.service.as_mut().filter(|service| service.run.is_ok()) {
            service.run = Err(exit);
            state.turn();
            state.restart();
        }
    }

    /// The service says that it is ready, or no longer, and gives itself a status. Nothing runs, or it counts as ready
    /// while it runs: no effect.
    pub fn say(&self, ready: bool, status: Option<&str>) {
        let mut state = self.lock();
        let speaks = |service: &&mut Service| {
            service.run.is_ok() && service.launch.manner.readiness == Readiness::Notify
        };
        if let Some(service) = state.service.as_mut().filter(speaks) {
            (service.ready, service.status) = (ready, status.map(str::to_owned));
            state.turn();
        }
    }

    /// The running migration ends. None runs: no effect.
    pub fn end_migration(&self, exit: Exit) {
        self.lock().end_migration(exit);
    }

    /// The host boots anew: nothing runs, and the end of a migration was not seen.
    pub fn reboot(&self) {
        let mut state = self.lock();
        state.service = None;
        state.end_migration(Exit::Unknown);
        state.turn();
    }

    /// Every start of `bin/serve` that a caller asked for, restarts not counted.
    #[must_use]
    pub fn started(&self) -> Vec<Launch> {
        self.lock().started.clone()
    }

    /// Every start of `bin/migrate`.
    #[must_use]
    pub fn migrated(&self) -> Vec<Launch> {
        self.lock().migrated.clone()
    }

    /// What is observed now, without a call that could fail.
    #[must_use]
    pub fn now(&self) -> Observation {
        self.lock().observation()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call: fails as scripted, acts, and loses the answer as scripted.
    fn call<T>(
        &self,
        attempted: &str,
        act: impl FnOnce(&mut State) -> Result<T, SupervisorError>,
    ) -> Result<T, SupervisorError> {
        let mut state = self.lock();
        if state.failures > 0 {
            state.failures -= 1;
            return Err(fault(attempted, "scripted failure"));
        }
        let done = act(&mut state);
        if state.lost_answers > 0 {
            state.lost_answers -= 1;
            return Err(fault(attempted, "scripted loss of the answer"));
        }
        done
    }
}

fn fault(attempted: &str, source: &str) -> SupervisorError {
    Fault::new(FaultKind::Transient, attempted, source).into()
}

/// Refuses a fence older than the newest.
fn check(newest: Option<Fence>, offered: Fence) -> Result<(), SupervisorError> {
    match newest {
        Some(newest) if offered < newest => Err(SupervisorError::Stale { offered, newest }),
        _ => Ok(()),
    }
}

/// Refuses a fence older than the newest, and remembers it otherwise.
fn accept(newest: &mut Option<Fence>, offered: Fence) -> Result<(), SupervisorError> {
    check(*newest, offered)?;
    *newest = Some(offered);
    Ok(())
}

impl State {
    /// Counts a change and wakes all who wait for one.
    fn turn(&mut self) {
        self.change += 1;
        self.waiting.drain(..).for_each(Waker::wake);
    }

    fn observation(&self) -> Observation {
        let process = match &self.service {
            None => Process::Stopped,
            Some(Service { launch, restarts, run, ready, status, .. }) => {
                let (release, fence, restarts) = (launch.release.clone(), launch.fence, *restarts);
                match run {
                    Ok(pid) => Process::Running {
                        release,
                        fence,
                        pid: *pid,
                        restarts,
                        ready: *ready,
                        status: status.clone(),
                        unheard: false,
                    },
                    Err(exit) => Process::Exited { release, fence, exit: exit.clone(), restarts, note: None },
                }
            }
        };
        let migration = self.migrations.last().map(|(launch, run)| (launch.release.clone(), run.clone()));
        Observation { change: self.change, process, migration, fence: self.fence, instances: Vec::new() }
    }

    /// Runs the program: its process id, or how it ended.
    fn run(&mut self, launch: &Launch, migration: bool) -> Result<Result<u32, Exit>, SupervisorError> {
        self.next_pid += 1;
        let pid = 1000 + self.next_pid;
        match self.programs.get(&launch.program).cloned().unwrap_or_default() {
            Program::Runs => Ok(Ok(pid)),
            Program::Exits { exit, output } => {
                self.outputs.entry((migration, launch.fence)).or_default().push_str(&output);
                Ok(Err(exit))
            }
            Program::Missing => Err(SupervisorError::Exec {
                program: launch.program.clone(),
                source: std::io::Error::from(std::io::ErrorKind::NotFound),
            }),
        }
    }

    /// Starts the service again, once, if it ended and is to be kept running. Once, as there is no time to wait in.
    fn restart(&mut self) {
        let Some(service) = self.service.clone().filter(|service| service.keep && service.run.is_err())
        else {
            return;
        };
        if let Ok(run) = self.run(&service.launch, false) {
            self.service = Some(Service::new(service.launch, true, service.restarts + 1, run));
            self.turn();
        }
    }

    fn start(&mut self, launch: &Launch) -> Result<Observation, SupervisorError> {
        check(self.fence, launch.fence)?;
        if let Some(Service { launch: old, run: Ok(_), .. }) = &self.service {
            if (old.fence, &old.release) == (launch.fence, &launch.release) {
                return Ok(self.observation());
            }
            return Err(occupied(&old.release, old.fence));
        }
        self.fence = Some(launch.fence);
        self.service = None;
        let run = self.run(launch, false);
        self.turn();
        let run = run?;
        self.started.push(launch.clone());
        self.service = Some(Service::new(launch.clone(), false, 0, run));
        Ok(self.observation())
    }

    fn migrate(&mut self, launch: &Launch) -> Result<Observation, SupervisorError> {
        check(self.migration_fence, launch.fence)?;
        if let Some((old, run)) = self.migrations.last() {
            if (old.fence, &old.release) == (launch.fence, &launch.release) {
                return Ok(self.observation());
            }
            if old.fence == launch.fence || matches!(run, MigrationRun::Running { .. }) {
                return Err(occupied(&old.release, old.fence));
            }
        }
        self.migration_fence = Some(launch.fence);
        let run = match self.run(launch, true)? {
            Ok(pid) => MigrationRun::Running { fence: launch.fence, pid },
            Err(exit) => MigrationRun::Ended { fence: launch.fence, exit },
        };
        self.migrated.push(launch.clone());
        self.migrations.push((launch.clone(), run));
        self.turn();
        Ok(self.observation())
    }

    fn end_migration(&mut self, exit: Exit) {
        if let Some((launch, run @ MigrationRun::Running { .. })) = self.migrations.last_mut() {
            *run = MigrationRun::Ended { fence: launch.fence, exit };
            self.turn();
        }
    }
}

fn occupied(release: &ReleaseId, fence: Fence) -> SupervisorError {
    SupervisorError::Occupied { release: release.clone(), fence }
}

/// At most `limit` bytes of the end, from the start of a line.
fn end_of(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let cut = text.len() - limit;
    let line = text.bytes().enumerate().skip(cut - 1).find(|&(_, byte)| byte == b'\n').map(|(at, _)| at + 1);
    match line {
        Some(line) if line < text.len() => &text[line..],
        _ => &text[text.ceil_char_boundary(cut)..],
    }
}

const SIGTERM: i32 = 15;

impl Supervisor for FakeSupervisor {
    async fn observe(&self) -> Result<Observation, SupervisorError> {
        self.call("observe", |state| Ok(state.observation()))
    }

    async fn changed(&self, seen: u64) -> Result<Observation, SupervisorError> {
        poll_fn(|context| {
            let mut state = self.lock();
            if state.change <= seen && state.failures == 0 {
                state.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
            drop(state);
            Poll::Ready(self.call("wait for a change", |state| Ok(state.observation())))
        })
        .await
    }

    async fn start(&self, launch: &Launch) -> Result<Observation, SupervisorError> {
        self.call("start", |state| state.start(launch))
    }

    async fn keep_running(&self, fence: Fence, keep: bool) -> Result<Observation, SupervisorError> {
        self.call("keep running", |state| {
            accept(&mut state.fence, fence)?;
            if let Some(service) = &mut state.service {
                service.keep = keep;
                state.restart();
            }
            Ok(state.observation())
        })
    }

    async fn stop(&self, fence: Fence, _grace: Duration) -> Result<Observation, SupervisorError> {
        self.call("stop", |state| {
            accept(&mut state.fence, fence)?;
            if state.service.take().is_some() {
                state.turn();
            }
            Ok(state.observation())
        })
    }

    async fn migrate(&self, launch: &Launch) -> Result<Observation, SupervisorError> {
        self.call("migrate", |state| state.migrate(launch))
    }

    async fn stop_migration(&self, fence: Fence, _grace: Duration) -> Result<Observation, SupervisorError> {
        self.call("stop the migration", |state| {
            accept(&mut state.migration_fence, fence)?;
            state.end_migration(Exit::Signal(SIGTERM));
            Ok(state.observation())
        })
    }

    async fn tail(&self, fence: Fence, migration: bool, limit: usize) -> Result<String, SupervisorError> {
        self.call("read the log", |state| {
            Ok(state.outputs.get(&(migration, fence)).map_or("", |text| end_of(text, limit)).to_owned())
        })
    }
}

/// A launch of `program` with an empty environment in `/`, for tests that care for nothing else.
#[must_use]
pub fn launch(fence: Fence, release: ReleaseId, program: &Path) -> Launch {
    Launch {
        fence,
        release,
        program: program.to_owned(),
        environment: BTreeMap::new(),
        working_directory: PathBuf::from("/"),
        manner: Manner::default(),
    }
}
