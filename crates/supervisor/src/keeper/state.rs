//! The keeper's state: what is on disk, what runs, and what it tells of both.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use ports::supervisor::{Exit, MigrationRun, Observation, Process};
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::{
    io::Interest,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::{
    KeeperError,
    desk::Guests,
    lane::Lane,
    notify::{Ears, Word},
    output::{Alarm, Growth},
};
use crate::{
    cgroup::Group,
    logs::{Logs, Writer},
    processes::{self, Head, Identity, Stat},
    protocol::{Reply, Request},
    record::{Record, RecordError, RecordFile, Run, Stage},
};

/// Log limit until a client says another one, in bytes.
const LOG_LIMIT_BYTES: u64 = 8 << 20;

/// What can happen, beside signals and time.
#[derive(Debug)]
pub(super) enum Event {
    /// A client asked.
    Asked(Request, oneshot::Sender<Reply>),
    /// A program wrote, after a time of quiet.
    Wrote,
    /// An adopted process ended.
    Ended(Writer, Identity),
    /// A process spoke of the service; `done` is dropped once that was acted on.
    Said { pid: u32, word: Word, done: oneshot::Sender<()> },
}

/// The keeper.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) dir: PathBuf,
    pub(super) logs: Logs,
    pub(super) record: Record,
    pub(super) service: Lane,
    pub(super) migration: Lane,
    /// Who waits for everything to be stopped.
    pub(super) quitting: Vec<oneshot::Sender<Reply>>,
    pub(super) leaving: bool,
    /// The last write failed, and is tried again.
    pub(super) unsaved: bool,
    /// Since when nothing ran and nobody was here.
    pub(super) idle_since: Instant,
    pub(super) guests: Guests,
    pub(super) logs_due: Instant,
    pub(super) growth: Growth,
    /// Wakes the keeper when a quiet program writes; none where the system has no more of them.
    pub(super) alarm: Option<Alarm>,
    /// Where the service speaks of itself, if it is to.
    pub(super) ears: Option<Ears>,
    /// When the name that an adopted service speaks to is tried again.
    pub(super) listen_again: Option<Instant>,
    /// When the service's status was told last.
    pub(super) told: Instant,
    /// When a newer one is told.
    pub(super) tell_at: Option<Instant>,
    file: RecordFile,
    log_limit: Arc<AtomicU64>,
    pub(super) events: mpsc::Sender<Event>,
    observed: watch::Sender<Observation>,
}

impl Keeper {
    /// Reads what the last keeper knew, and adopts what it left.
    pub(super) async fn open(
        dir: &Path,
        events: mpsc::Sender<Event>,
        guests: Guests,
    ) -> Result<Self, KeeperError> {
        let unusable = |source| KeeperError::Directory { path: dir.join("logs"), source };
        let logs = Logs::open(dir).map_err(unusable)?;
        let file = RecordFile::new(dir);
        let boot = processes::boot_id().map_err(KeeperError::Adopt)?;
        let mut record = file.load()?.unwrap_or_else(|| Record::new(boot.clone()));
        // Numbers go on, also when the record was lost: whoever reads logs keeps its place by them.
        record.attempts = record.attempts.max(logs.newest().map_err(unusable)?);
        if record.boot != boot {
            after_reboot(&mut record, boot);
        }
        let now = Instant::now();
        let alarm = Alarm::new(logs.dir(), &events)
            .inspect_err(|error| tracing::warn!(%error, "watch the logs; they are looked at now and then"))
            .ok();
        let mut keeper = Self {
            dir: dir.to_owned(),
            logs,
            observed: watch::Sender::new(observe(&record)),
            record,
            service: Lane::new(),
            migration: Lane::new(),
            quitting: Vec::new(),
            leaving: false,
            unsaved: false,
            idle_since: now,
            guests,
            logs_due: now,
            growth: Growth::new(now),
            alarm,
            ears: None,
            listen_again: None,
            told: now,
            tell_at: None,
            file,
            log_limit: Arc::new(AtomicU64::new(LOG_LIMIT_BYTES)),
            events,
        };
        for writer in [Writer::Service, Writer::Migration] {
            keeper.adopt(writer).await.map_err(KeeperError::Adopt)?;
        }
        if keeper.record.service.as_ref().is_some_and(|s| s.keep && matches!(s.run.stage, Stage::Ended(_))) {
            keeper.service.plan_restart(now);
        }
        keeper.listen_again_to();
        // Saved before anyone can look: a keeper that cannot write cannot keep a promise.
        keeper.record.change += 1;
        keeper.record.forget_environments();
        keeper.save()?;
        keeper.tell();
        Ok(keeper)
    }

    /// Takes over what runs by the record, or writes down that its end was not seen.
    async fn adopt(&mut self, writer: Writer) -> io::Result<()> {
        let known = match self.run(writer.other()).map(|run| &run.stage) {
            Some(Stage::Running(identity)) => Some(*identity),
            _ => None,
        };
        let Some(run) = self.run(writer) else { return Ok(()) };
        let found = match run.stage {
            Stage::Ended(_) => return Ok(()),
            Stage::Running(identity) => Some(identity),
            Stage::Begun { session, ticks } => {
                processes::find_started(&processes::all()?, session, ticks, known)
            }
        };
        let vigil = match found {
            Some(identity) => self.vigil(writer, identity)?,
            None => None,
        };
        self.lane_mut(writer).identity = found;
        let stage = match (found, vigil) {
            (Some(identity), Some(vigil)) => {
                tracing::info!(pid = identity.pid, "adopted");
                self.lane_mut(writer).up(identity, Some(vigil));
                Stage::Running(identity)
            }
            _ => {
                if let Err(error) = self.sweep(writer).await {
                    tracing::warn!(%error, "clear what an earlier process left");
                }
                Stage::Ended(Exit::Unknown)
            }
        };
        self.set_stage(writer, stage);
        Ok(())
    }

    /// Waits for the end of a process that is not our child; none when it is gone already.
    fn vigil(&self, writer: Writer, identity: Identity) -> io::Result<Option<JoinHandle<()>>> {
        let Some(pid) = Pid::from_raw(identity.pid.cast_signed()) else { return Ok(None) };
        let fd = match rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        // Looked at after the pidfd was opened: what it holds now cannot become another process.
        if !processes::is_alive(identity)? {
            return Ok(None);
        }
        let fd = super::watch_fd(fd, Interest::READABLE)?;
        let events = self.events.clone();
        Ok(Some(tokio::spawn(async move {
            if fd.readable().await.is_ok() {
                let _ = events.send(Event::Ended(writer, identity)).await;
            }
        })))
    }

    pub(super) fn run(&self, writer: Writer) -> Option<&Run> {
        match writer {
            Writer::Service => self.record.service.as_ref().map(|service| &service.run),
            Writer::Migration => self.record.migrations.last(),
        }
    }

    pub(super) fn set_stage(&mut self, writer: Writer, stage: Stage) {
        let run = match writer {
            Writer::Service => self.record.service.as_mut().map(|service| &mut service.run),
            Writer::Migration => self.record.migrations.last_mut(),
        };
        if let Some(run) = run {
            run.stage = stage;
        }
    }

    pub(super) fn lane(&self, writer: Writer) -> &Lane {
        match writer {
            Writer::Service => &self.service,
            Writer::Migration => &self.migration,
        }
    }

    pub(super) fn lane_mut(&mut self, writer: Writer) -> &mut Lane {
        match writer {
            Writer::Service => &mut self.service,
            Writer::Migration => &mut self.migration,
        }
    }

    pub(super) fn head(&self, writer: Writer) -> Option<Head<'_>> {
        let (run, lane) = (self.run(writer)?, self.lane(writer));
        let environment = lane.environment.as_ref().unwrap_or(&run.launch.environment);
        Some(Head { identity: lane.identity?, environment })
    }

    /// All that lives of the program that was started last.
    pub(super) fn members(&self, writer: Writer) -> io::Result<Vec<Stat>> {
        let Some(head) = self.head(writer) else { return Ok(Vec::new()) };
        let other = writer.other();
        let beside = if self.lane(other).is_busy() { self.head(other) } else { None };
        let everyone = processes::all()?;
        let mut members = processes::members(&everyone, head, beside, std::process::id());
        // A cgroup knows also those whom nobody else can tell: orphans from the time of an earlier keeper.
        let inside = self.cgroup(writer).map_or_else(BTreeSet::new, |group| group.pids());
        let known: BTreeSet<u32> = members.iter().map(|member| member.pid).collect();
        let more = |stat: &&Stat| {
            inside.contains(&stat.pid) && !known.contains(&stat.pid) && stat.pid != std::process::id()
        };
        members.extend(everyone.iter().filter(more));
        Ok(members)
    }

    /// The cgroup of what was started last, if it was to have one.
    pub(super) fn cgroup(&self, writer: Writer) -> Option<Group> {
        let base = self.run(writer)?.launch.manner.cgroup.as_ref()?;
        Some(Group::new(base, &self.dir, writer))
    }

    /// Signals all that lives of the program. Returns whether there was anything.
    pub(super) fn signal(&self, writer: Writer, what: Signal) -> io::Result<bool> {
        let members = self.members(writer)?;
        if let Some(identity) = self.lane(writer).identity {
            processes::signal_all(&members, identity, what)?;
        }
        Ok(!members.is_empty())
    }

    /// Writes the record; durable when this returns. What could not be written is tried again by [`Keeper::tick`].
    pub(super) fn save(&mut self) -> Result<(), RecordError> {
        let saved = self.file.save(&self.record);
        self.unsaved = saved.is_err();
        saved
    }

    /// Counts a change, writes it, and tells all who wait.
    pub(super) fn publish(&mut self) {
        self.record.change += 1;
        self.record.forget_environments();
        if let Err(error) = self.save() {
            tracing::error!(error = %ports::fault::Chain(&error), "record a change");
        }
        self.tell();
    }

    fn tell(&self) {
        self.observed.send_replace(self.observation());
    }

    pub(super) fn observation(&self) -> Observation {
        observe(&self.record)
    }

    /// The answer to most requests.
    pub(super) fn observed(&self) -> Reply {
        Reply::Observed(Box::new(self.observation()))
    }

    pub(super) fn watch(&self) -> watch::Receiver<Observation> {
        self.observed.subscribe()
    }

    pub(super) fn log_limit(&self) -> Arc<AtomicU64> {
        self.log_limit.clone()
    }

    pub(super) fn log_limit_bytes(&self) -> u64 {
        self.log_limit.load(Ordering::Relaxed)
    }
}

/// A boot ends every process, and none of the pids means anything now.
fn after_reboot(record: &mut Record, boot: String) {
    record.boot = boot;
    record.service = None;
    for run in &mut record.migrations {
        if !matches!(run.stage, Stage::Ended(_)) {
            run.stage = Stage::Ended(Exit::Unknown);
        }
    }
}

/// What the record says, in the port's words.
fn observe(record: &Record) -> Observation {
    let process = match &record.service {
        None => Process::Stopped,
        Some(service) => {
            let (release, fence) = (service.run.launch.release.clone(), service.run.launch.fence);
            let restarts = service.restarts;
            match &service.run.stage {
                // Never seen from outside: a start is one act, and an adoption ends it.
                Stage::Begun { .. } => Process::Stopped,
                Stage::Running(identity) => Process::Running {
                    release,
                    fence,
                    pid: identity.pid,
                    restarts,
                    ready: service.said.ready,
                    status: service.said.status.clone(),
                    unheard: service.said.unheard && !service.said.ready,
                },
                Stage::Ended(exit) => {
                    let note = service.note.clone();
                    Process::Exited { release, fence, exit: exit.clone(), restarts, note }
                }
            }
        }
    };
    let migration = record.migrations.last().map(|run| {
        let fence = run.launch.fence;
        let state = match &run.stage {
            Stage::Begun { .. } => MigrationRun::Ended { fence, exit: Exit::Unknown },
            Stage::Running(identity) => MigrationRun::Running { fence, pid: identity.pid },
            Stage::Ended(exit) => MigrationRun::Ended { fence, exit: exit.clone() },
        };
        (run.launch.release.clone(), state)
    });
    Observation { change: record.change, process, migration, fence: record.fence, instances: Vec::new() }
}

#[cfg(test)]
mod tests;
