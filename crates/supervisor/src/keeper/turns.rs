//! What happens to the keeper: processes end, and time passes.

use std::{
    io,
    time::{Duration, Instant},
};

use ports::{fault::Chain, supervisor::Exit};
use rustix::process::{Signal, WaitOptions, WaitStatus};

use super::state::{Event, Keeper};
use crate::{logs::Writer, protocol::Reply, record::Stage};

/// Between two looks at what is left while a stop or a sweep is under way.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long what was killed may take to be gone.
const SWEEP_LIMIT: Duration = Duration::from_secs(2);
/// Between two tries to write the record.
const SAVE_AGAIN: Duration = Duration::from_secs(1);
/// A keeper with nothing to do exits after this time; the next one knows what it knew.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
const BOTH: [Writer; 2] = [Writer::Service, Writer::Migration];

impl Keeper {
    pub(super) async fn handle(&mut self, event: Event) {
        self.idle_since = Instant::now();
        match event {
            Event::Asked(request, reply) => self.asked(request, reply).await,
            Event::Ended(writer, identity) => {
                let lane = self.lane(writer);
                if lane.alive && !lane.owned && lane.identity == Some(identity) {
                    self.ended(writer, Exit::Unknown).await;
                }
            }
            Event::Wrote => self.wrote(),
            Event::Said { pid, word, done } => {
                self.heard(pid, word);
                drop(done);
            }
        }
    }

    /// Reaps every child that ended, orphans too.
    pub(super) async fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get().cast_unsigned();
            let is_main = |writer: &Writer| {
                let lane = self.lane(*writer);
                lane.alive && lane.owned && lane.identity.is_some_and(|identity| identity.pid == pid)
            };
            if let Some(writer) = BOTH.into_iter().find(is_main) {
                self.ended(writer, exit(status)).await;
            }
        }
    }

    /// The head of a group ended. What it left is killed: a service is one thing, and half of it is not a service.
    async fn ended(&mut self, writer: Writer, exit: Exit) {
        tracing::info!(?writer, ?exit, "ended");
        let lane = self.lane_mut(writer);
        lane.alive = false;
        if let Some(stopping) = &mut lane.stopping {
            stopping.exit = exit;
            self.finish_stop(writer);
            return;
        }
        let left = self.members(writer).map_or(0, |members| members.len());
        if let Err(error) = self.signal(writer, Signal::KILL) {
            tracing::warn!(%error, "kill what a process left");
        }
        let killed = self.cgroup(writer).map_or(0, |group| group.killed_for_memory());
        let notes: Vec<String> =
            killed_for_memory(killed).into_iter().chain(what_it_left(&exit, left)).collect();
        let note = Some(notes.join("; ")).filter(|note| !note.is_empty());
        if writer == Writer::Service
            && let Some(service) = &mut self.record.service
        {
            service.note = note;
        }
        self.set_stage(writer, Stage::Ended(exit));
        // Durable first; told when nothing of it is left.
        if let Err(error) = self.save() {
            tracing::error!(error = %Chain(&error), "record an exit");
        }
        if let Err(error) = self.sweep(writer).await {
            tracing::warn!(%error, "clear what a process left");
        }
        self.look_at_logs();
        if writer == Writer::Service && self.record.service.as_ref().is_some_and(|service| service.keep) {
            self.service.plan_restart(Instant::now());
        }
        self.publish();
    }

    /// Kills what is left of a program that ended, and waits until it is gone.
    pub(super) async fn sweep(&mut self, writer: Writer) -> io::Result<()> {
        let until = Instant::now() + SWEEP_LIMIT;
        while self.signal(writer, Signal::KILL)? {
            if Instant::now() >= until {
                let pids: Vec<u32> = self.members(writer)?.iter().map(|member| member.pid).collect();
                return Err(io::Error::other(format!("processes {pids:?} do not die")));
            }
            tokio::time::sleep(LOOK_AGAIN / 4).await;
        }
        if let Some(group) = self.cgroup(writer) {
            group.remove();
        }
        Ok(())
    }

    /// Ends a stop when nothing is left; kills what is left when its grace is over.
    fn finish_stop(&mut self, writer: Writer) {
        let lane = self.lane(writer);
        let Some(stopping) = &lane.stopping else { return };
        let (alive, overdue) = (lane.alive, Instant::now() >= stopping.until);
        if alive && !overdue {
            return;
        }
        let left = if overdue {
            self.signal(writer, Signal::KILL)
        } else {
            self.members(writer).map(|members| !members.is_empty())
        };
        match left {
            Ok(false) if !alive => self.stopped(writer),
            Ok(_) => (),
            Err(error) => tracing::warn!(%error, "look at what is left"),
        }
    }

    /// All is gone.
    fn stopped(&mut self, writer: Writer) {
        let Some(stopping) = self.lane_mut(writer).stopping.take() else { return };
        if let Some(group) = self.cgroup(writer) {
            group.remove();
        }
        match writer {
            Writer::Service => {
                self.record.service = None;
                self.service.calm();
            }
            Writer::Migration => self.set_stage(writer, Stage::Ended(stopping.exit)),
        }
        self.look_at_logs();
        self.publish();
        for reply in stopping.waiting {
            // A client that did not wait for its answer asks again.
            let _ = reply.send(self.observed());
        }
    }

    /// Starts the service again by itself.
    async fn restart(&mut self) {
        self.service.restart_at = None;
        let Some(service) = &mut self.record.service else { return };
        let Stage::Ended(exit) = service.run.stage.clone() else { return };
        service.restarts += 1;
        let cleared = self.sweep(Writer::Service).await;
        let begun = cleared.map_err(|e| Reply::fault("clear what an earlier process left", &e));
        if let Err(refusal) = begun.and_then(|()| self.begin(Writer::Service)) {
            tracing::warn!(?refusal, "start the service again");
            if let Some(service) = &mut self.record.service {
                service.note = Some(format!("it could not be started again: {}", refusal.words()));
            }
            self.set_stage(Writer::Service, Stage::Ended(exit));
            self.service.started = Instant::now();
            self.service.plan_restart(Instant::now());
        }
        self.publish();
    }

    /// When [`Keeper::tick`] has something to do.
    pub(super) fn due(&self) -> Instant {
        let now = Instant::now();
        let mut due = now + SAVE_AGAIN;
        if !self.unsaved {
            due = if self.is_quiet() { self.idle_since + IDLE_LIMIT } else { now + IDLE_LIMIT };
        }
        for lane in [&self.service, &self.migration] {
            if lane.alive {
                due = due.min(self.logs_due);
            }
            if let Some(stopping) = &lane.stopping {
                let waits = lane.alive && now < stopping.until;
                due = due.min(if waits { stopping.until } else { now + LOOK_AGAIN });
            }
            due = lane.restart_at.map_or(due, |at| due.min(at));
        }
        [self.listen_again, self.tell_at].into_iter().flatten().fold(due, Instant::min)
    }

    /// Does what is due.
    pub(super) async fn tick(&mut self) {
        let now = Instant::now();
        BOTH.into_iter().for_each(|writer| self.finish_stop(writer));
        if self.service.restart_at.is_some_and(|at| at <= now) {
            self.restart().await;
        }
        if self.logs_due <= now {
            self.look_at_logs();
        }
        if self.listen_again.is_some_and(|at| at <= now) {
            self.listen_on();
        }
        if self.tell_at.is_some_and(|at| at <= now) {
            self.tell_status();
        }
        if self.unsaved
            && let Err(error) = self.save()
        {
            tracing::error!(error = %Chain(&error), "write the record");
        }
        if self.guests.any() {
            self.idle_since = now;
        }
    }

    /// Without room it is as it is everywhere: a full disk takes no more output.
    pub(super) fn keep_room(&self, writer: Writer) {
        if let Err(error) = self.logs.keep_room(writer, self.log_limit_bytes()) {
            tracing::warn!(%error, ?writer, "keep room for a log");
        }
    }

    fn is_quiet(&self) -> bool {
        !self.service.is_busy() && !self.migration.is_busy() && self.service.restart_at.is_none()
    }

    /// Whether the keeper may exit; tells those who wait for it.
    pub(super) fn is_done(&mut self) -> bool {
        if !self.quitting.is_empty() && self.is_quiet() {
            for reply in self.quitting.drain(..) {
                let _ = reply.send(Reply::Leaving);
            }
            self.leaving = true;
        }
        let idle = self.is_quiet() && !self.unsaved && !self.guests.any();
        self.leaving || idle && self.idle_since.elapsed() >= IDLE_LIMIT
    }
}

/// What the kernel did for want of memory.
fn killed_for_memory(processes: u64) -> Option<String> {
    let limit = "because it had reached limits.memory_bytes";
    match processes {
        0 => None,
        1 => Some(format!("the kernel killed one of its processes {limit}")),
        more => Some(format!("the kernel killed {more} of its processes {limit}")),
    }
}

/// What the end of a service's main process means for the rest of it.
fn what_it_left(exit: &Exit, left: usize) -> Option<String> {
    let processes = match left {
        0 => return None,
        1 => "1 process".to_owned(),
        more => format!("{more} processes"),
    };
    // A program that forks and exits means well, and is not told from one that has ended.
    let advice = match exit {
        Exit::Code(0) => ": bin/serve must stay in the foreground",
        _ if left == 1 => ", which was killed",
        _ => ", which were killed",
    };
    Some(format!("it left {processes} behind{advice}"))
}

fn exit(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Unknown,
    }
}
