//! What the keeper does when it is asked.

use std::{
    io,
    time::{Duration, Instant},
};

use model::Fence;
use ports::{
    fault::Chain,
    supervisor::{Launch, StopSignal},
};
use rustix::process::Signal;
use tokio::sync::oneshot;

use super::state::Keeper;
use crate::{
    logs::Writer,
    protocol::{Reply, Request},
    record::{Run, Said, Service, Stage},
};

/// Longest grace of a stop.
const GRACE_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

impl Keeper {
    /// Does what was asked, and answers; a stop is answered when all is gone.
    pub(super) async fn asked(&mut self, request: Request, reply: oneshot::Sender<Reply>) {
        let answer = match request {
            Request::Start(launch) | Request::StartInManner(launch) => self.start(*launch).await,
            Request::KeepRunning { fence, keep } => self.keep_running(fence, keep),
            Request::Migrate(launch) | Request::MigrateInManner(launch) => self.migrate(*launch).await,
            Request::Stop { fence, grace } => return self.stop(Writer::Service, fence, grace, reply).await,
            Request::StopMigration { fence, grace } => {
                return self.stop(Writer::Migration, fence, grace, reply).await;
            }
            Request::Quit { grace } => return self.quit(grace, reply).await,
            Request::Tail { fence, migration, limit } => {
                let writer = if migration { Writer::Migration } else { Writer::Service };
                let read = self.logs.tail(writer, fence, limit);
                read.map(Reply::Tail).map_err(|e| Reply::fault(format!("read the log of {fence}"), &e))
            }
            Request::Retire => self.retire(),
            // Answered where they were heard; here only for whoever asks this way.
            Request::Observe | Request::Changed { .. } => Ok(self.observed()),
        };
        // A client that did not wait for its answer asks again.
        let _ = reply.send(answer.unwrap_or_else(|refusal| refusal));
    }

    async fn start(&mut self, launch: Launch) -> Result<Reply, Reply> {
        self.is_welcome(Writer::Service, launch.fence)?;
        self.is_staying(&launch)?;
        if let Some(same) = self.running(Writer::Service, &launch)? {
            return Ok(same);
        }
        self.sweep(Writer::Service)
            .await
            .map_err(|e| Reply::fault("clear what an earlier process left", &e))?;
        self.service.calm();
        // It is written with the run, before the program is started.
        *self.newest(Writer::Service) = Some(launch.fence);
        let run = Run { launch, stage: Stage::Begun { session: 0, ticks: 0 } };
        let before = self.record.service.replace(Service {
            run,
            keep: false,
            restarts: 0,
            said: Said::default(),
            note: None,
        });
        let begun = self.begin(Writer::Service);
        if let Err(refusal) = &begun {
            // What ended before is no more; what was to be started never was. A fault leaves things as they were.
            self.record.service = if matches!(refusal, Reply::Exec { .. }) { None } else { before };
            if self.record.service.as_ref().is_some_and(|service| service.keep) {
                self.service.plan_restart(Instant::now());
            }
        }
        self.publish();
        begun.map(|_| self.observed())
    }

    async fn migrate(&mut self, launch: Launch) -> Result<Reply, Reply> {
        self.is_welcome(Writer::Migration, launch.fence)?;
        if let Some(same) = self.running(Writer::Migration, &launch)? {
            return Ok(same);
        }
        if let Some(last) = self.run(Writer::Migration).filter(|last| last.launch.fence == launch.fence) {
            if last.launch.release == launch.release {
                return Ok(self.observed());
            }
            return Err(Reply::Occupied { release: last.launch.release.clone(), fence: launch.fence });
        }
        self.is_staying(&launch)?;
        self.sweep(Writer::Migration)
            .await
            .map_err(|e| Reply::fault("clear what an earlier process left", &e))?;
        // It is written with the run, before the program is started.
        *self.newest(Writer::Migration) = Some(launch.fence);
        let before = self.record.migrations.clone();
        self.record.push_migration(Run { launch, stage: Stage::Begun { session: 0, ticks: 0 } });
        let begun = self.begin(Writer::Migration);
        if begun.is_err() {
            self.record.migrations = before;
        }
        self.publish();
        begun.map(|_| self.observed())
    }

    fn keep_running(&mut self, fence: Fence, keep: bool) -> Result<Reply, Reply> {
        self.is_welcome(Writer::Service, fence)?;
        let Some(service) = &mut self.record.service else {
            self.accept(Writer::Service, fence)?;
            return Ok(self.observed());
        };
        let kept = std::mem::replace(&mut service.keep, keep);
        let ended = matches!(service.run.stage, Stage::Ended(_));
        if let Err(refusal) = self.accept(Writer::Service, fence) {
            if let Some(service) = &mut self.record.service {
                service.keep = kept;
            }
            return Err(refusal);
        }
        if !keep {
            self.service.restart_at = None;
        } else if ended && self.service.restart_at.is_none() {
            self.service.plan_restart(Instant::now());
        }
        Ok(self.observed())
    }

    async fn stop(&mut self, writer: Writer, fence: Fence, grace: Duration, reply: oneshot::Sender<Reply>) {
        let accepted = self.is_welcome(writer, fence).and_then(|()| self.forbid_restart(writer, fence));
        match accepted {
            Ok(()) => self.stop_now(writer, grace, Some(reply)).await,
            Err(refusal) => drop(reply.send(refusal)),
        }
    }

    /// On disk before the first signal, so that a keeper that dies in mid-stop is not followed by one that starts it again.
    fn forbid_restart(&mut self, writer: Writer, fence: Fence) -> Result<(), Reply> {
        if writer == Writer::Service
            && let Some(service) = &mut self.record.service
        {
            service.keep = false;
            self.service.restart_at = None;
        }
        self.accept(writer, fence)
    }

    /// Its own signal now, SIGKILL after `grace`. Asked again meanwhile, the shorter grace counts.
    pub(super) async fn stop_now(
        &mut self,
        writer: Writer,
        grace: Duration,
        reply: Option<oneshot::Sender<Reply>>,
    ) {
        let until = Instant::now() + grace.min(GRACE_LIMIT);
        let lane = self.lane_mut(writer);
        if let Some(stopping) = &mut lane.stopping {
            stopping.until = stopping.until.min(until);
            stopping.waiting.extend(reply);
            return;
        }
        if lane.alive {
            lane.expect_end(until, reply);
            let signal = self.run(writer).map_or(Signal::TERM, |run| number(run.launch.manner.stop_signal));
            if let Err(error) = self.signal(writer, signal) {
                tracing::warn!(%error, ?signal, "tell it to stop");
            }
            return;
        }
        if let Err(error) = self.sweep(writer).await {
            answer(reply, Reply::fault("clear what an earlier process left", &error));
            return;
        }
        if writer == Writer::Service && self.record.service.take().is_some() {
            self.service.calm();
            self.publish();
        }
        answer(reply, self.observed());
    }

    async fn quit(&mut self, grace: Duration, reply: oneshot::Sender<Reply>) {
        self.quitting.push(reply);
        if let Some(service) = &mut self.record.service {
            service.keep = false;
            self.service.restart_at = None;
            if let Err(error) = self.save() {
                tracing::error!(error = %Chain(&error), "record that the service is stopped");
            }
        }
        self.stop_now(Writer::Service, grace, None).await;
        self.stop_now(Writer::Migration, grace, None).await;
    }

    fn retire(&mut self) -> Result<Reply, Reply> {
        for writer in [Writer::Service, Writer::Migration] {
            if let Some(run) = self.run(writer).filter(|_| self.lane(writer).is_busy()) {
                return Err(Reply::Occupied { release: run.launch.release.clone(), fence: run.launch.fence });
            }
        }
        self.leaving = true;
        Ok(Reply::Leaving)
    }

    /// The same launch that already runs; another one is a refusal.
    fn running(&self, writer: Writer, launch: &Launch) -> Result<Option<Reply>, Reply> {
        let Some(run) = self.run(writer).filter(|_| self.lane(writer).is_busy()) else { return Ok(None) };
        let same = (run.launch.fence, &run.launch.release) == (launch.fence, &launch.release);
        if same && self.lane(writer).stopping.is_none() {
            return Ok(Some(self.observed()));
        }
        Err(Reply::Occupied { release: run.launch.release.clone(), fence: run.launch.fence })
    }

    /// Refuses to start anything in a keeper that is about to exit.
    fn is_staying(&self, launch: &Launch) -> Result<(), Reply> {
        if self.quitting.is_empty() && !self.leaving {
            return Ok(());
        }
        Err(Reply::fault(
            format!("start {}", launch.program.display()),
            &io::Error::other("the keeper is about to exit"),
        ))
    }

    fn newest(&mut self, writer: Writer) -> &mut Option<Fence> {
        match writer {
            Writer::Service => &mut self.record.fence,
            Writer::Migration => &mut self.record.migration_fence,
        }
    }

    /// Refuses a fence older than the newest.
    fn is_welcome(&mut self, writer: Writer, offered: Fence) -> Result<(), Reply> {
        match *self.newest(writer) {
            Some(newest) if offered < newest => Err(Reply::Stale { offered, newest }),
            _ => Ok(()),
        }
    }

    /// Makes this fence the newest, and writes the record: nothing is touched before.
    fn accept(&mut self, writer: Writer, fence: Fence) -> Result<(), Reply> {
        let before = self.newest(writer).replace(fence);
        self.save().map_err(|error| {
            *self.newest(writer) = before;
            Reply::fault(format!("accept fence {fence}"), &error)
        })
    }
}

fn number(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Hup => Signal::HUP,
        StopSignal::Int => Signal::INT,
        StopSignal::Quit => Signal::QUIT,
        StopSignal::Term => Signal::TERM,
        StopSignal::Usr1 => Signal::USR1,
        StopSignal::Usr2 => Signal::USR2,
        StopSignal::Winch => Signal::WINCH,
    }
}

/// A client that did not wait for its answer asks again.
fn answer(reply: Option<oneshot::Sender<Reply>>, with: Reply) {
    if let Some(reply) = reply {
        let _ = reply.send(with);
    }
}
