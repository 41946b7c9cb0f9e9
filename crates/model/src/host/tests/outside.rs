//! What the world does when it is asked: the supervisor, the balancer, the store and the fleet.

use super::{balancer::Place, world::World};
use crate::{
    Fence, Release, ReleaseId,
    fleet::{
        command::Report,
        host::{Availability, PhaseKind},
    },
    host::{
        Answer, Denied, Effect, Event, ExitSeen, FaultSeen, FaultWord, MigrationSeen, Observed, ProcessSeen,
        ReportId, StandingSeen, Stored,
    },
};

impl World {
    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Persist(ledger) => {
                // Through its format, as on a real disk.
                let text = serde_json::to_string(&Stored::from(*ledger)).unwrap();
                self.disk = serde_json::from_str::<Stored>(&text).unwrap().into();
            }
            Effect::Log(text) => self.logs.push(text),
            Effect::Observe { ticket } => {
                let result = self.supervisor_says();
                self.later(5, Event::Observed { ticket, result });
            }
            Effect::QueryStanding { ticket } => {
                self.standing_read += 1;
                let result = self.balancer_says().map(|()| self.standing());
                self.later(20, Event::StandingRead { ticket, result });
            }
            Effect::QueryStaged { ticket } => {
                let text = "list the store: no such file".to_owned();
                let gone = FaultSeen { kind: FaultWord::Transient, text };
                let result = if self.store_is_gone { Err(gone) } else { Ok(self.staged.clone()) };
                self.later(5, Event::StagedRead { ticket, result });
            }
            Effect::Stage { ticket, release, preflight } => {
                let usable = if preflight && self.setup.headful { self.balancer_says() } else { Ok(()) };
                let result = usable.and_then(|()| self.stage(release));
                self.later(400, Event::StageEnded { ticket, result });
            }
            Effect::Collect { ticket, keep } => {
                let removed: Vec<_> = self.staged.difference(&keep).cloned().collect();
                self.staged.retain(|release| keep.contains(release));
                self.later(5, Event::Collected { ticket, result: Ok(removed) });
            }
            Effect::Leave { ticket, next } => {
                self.next = next;
                let result = self.leave().map(|()| self.told_drain);
                self.later(20, Event::Left { ticket, result });
            }
            Effect::Join { ticket } => {
                let result = self.join();
                self.later(20, Event::Joined { ticket, result });
            }
            effect => self.supervise(effect),
        }
    }

    fn supervisor_says(&self) -> Result<Observed, FaultSeen> {
        let text = "connect to the keeper of web: too many open files".to_owned();
        let fault = FaultSeen { kind: FaultWord::Transient, text };
        if self.supervisor_is_gone { Err(fault) } else { Ok(self.observed()) }
    }

    fn supervise(&mut self, effect: Effect) {
        match effect {
            Effect::Stop { ticket, .. } if self.supervisor_is_gone => {
                let result = self.supervisor_says().map_err(Denied::Fault);
                self.later(50, Event::Stopped { ticket, result });
            }
            Effect::Stop { ticket, fence, .. } => {
                let result = self.stop(fence);
                self.later(50, Event::Stopped { ticket, result });
            }
            Effect::VerifyAndStart { ticket, fence, release } => {
                let result = self.start(fence, release.id);
                self.later(self.verify_ms, Event::Started { ticket, result });
            }
            Effect::KeepRunning { ticket, fence, keep } => {
                let result = self.welcome(fence);
                self.keep = keep;
                self.restart_if_kept();
                self.later(5, Event::Kept { ticket, result });
            }
            Effect::Probe { ticket } => {
                let result = self.probe();
                self.later(self.probe_ms, Event::Probed { ticket, result });
            }
            Effect::Migrate { ticket, fence, release } => {
                let result = self.start_migration(fence, release.id).map(|()| self.observed());
                self.later(10, Event::MigrateCalled { ticket, result });
            }
            Effect::StopMigration { ticket, .. } => {
                self.acts.push("stop migration".into());
                let result = self.denial("stop migration").map(|()| {
                    self.end_migration(ExitSeen::Signal(15));
                    self.observed()
                });
                self.later(10, Event::MigrationStopped { ticket, result });
            }
            Effect::ReadTail { ticket, fence, .. } => {
                let result = Ok(format!("the last words under {fence}"));
                self.later(3, Event::TailRead { ticket, result });
            }
            Effect::Propose { id, report } => self.propose(id, report),
            other => panic!("{other:?} is performed elsewhere"),
        }
    }

    fn stage(&mut self, release: Release) -> Result<(), FaultSeen> {
        self.acts.push(format!("stage {}", release.id));
        if 0 < self.stage_faults {
            self.stage_faults -= 1;
            let text = format!("fetch: no route {}", self.stage_faults / 2);
            return Err(FaultSeen { kind: FaultWord::Transient, text });
        }
        self.staged.insert(release.id);
        Ok(())
    }

    fn leave(&mut self) -> Result<(), FaultSeen> {
        self.balancer_says()?;
        if let Some(kind) = self.leave_fault {
            return Err(FaultSeen { kind, text: "deregister: access denied".into() });
        }
        self.acts.push("leave".into());
        if let Place::Joined(_) = self.place {
            self.place = Place::Left(self.now);
        }
        Ok(())
    }

    fn join(&mut self) -> Result<(), FaultSeen> {
        assert!(self.is_healthy() || self.setup.probe, "P4: joined without a process");
        self.balancer_says()?;
        self.acts.push("join".into());
        if !matches!(self.place, Place::Joined(_)) {
            let old = self.host.sighting(self.now).phase == PhaseKind::Aborting;
            // What joins again was never stopped; it is as good as it was.
            assert!(old || self.is_healthy(), "P4: joined before the probe passed");
            self.place = Place::Joined(self.now);
        }
        Ok(())
    }

    fn welcome(&mut self, offered: Fence) -> Result<(), Denied> {
        match self.newest {
            Some(newest) if offered < newest => Err(Denied::Stale { newest }),
            _ => {
                self.newest = Some(offered);
                Ok(())
            }
        }
    }

    /// Says no to `what`, if it is to, for this once.
    fn denial(&mut self, what: &str) -> Result<(), Denied> {
        match self.denies.iter().position(|(denied, _)| *denied == what) {
            Some(at) => Err(self.denies.remove(at).1),
            None => Ok(()),
        }
    }

    fn stop(&mut self, fence: Fence) -> Result<Observed, Denied> {
        self.denial("stop")?;
        self.welcome(fence)?;
        if let ProcessSeen::Running { .. } = self.process {
            let gone = matches!(self.standing(), StandingSeen::Absent);
            assert!(gone || !self.setup.headful, "P4: stopped while the balancer says {:?}", self.standing());
            self.acts.push("stop".into());
        }
        (self.process, self.keep) = (ProcessSeen::Stopped, false);
        self.news();
        Ok(self.observed())
    }

    fn start(&mut self, fence: Fence, id: ReleaseId) -> Result<Observed, Denied> {
        self.denial("start")?;
        self.welcome(fence)?;
        if let ProcessSeen::Running { release, fence: under, .. } = &self.process {
            if (release, *under) == (&id, fence) {
                return Ok(self.observed());
            }
            return Err(Denied::Occupied { text: format!("{release} runs") });
        }
        if !self.staged.contains(&id) {
            let text = format!("verify {id}: it is not there");
            return Err(Denied::Fault(FaultSeen { kind: FaultWord::Permanent, text }));
        }
        self.acts.push(format!("start {id}"));
        self.keep = false;
        self.run_process(id, fence, 0);
        self.news();
        Ok(self.observed())
    }

    fn start_migration(&mut self, fence: Fence, id: ReleaseId) -> Result<(), Denied> {
        self.denial("migrate")?;
        if 0 < self.migrations_forgotten {
            self.migrations_forgotten -= 1;
            return Ok(());
        }
        let again = self.migration.as_ref().is_some_and(|(release, seen)| {
            *release == id
                && matches!(seen, MigrationSeen::Running { fence: under } | MigrationSeen::Ended { fence: under, .. } if *under == fence)
        });
        if again {
            return Ok(());
        }
        self.acts.push(format!("migrate {id}"));
        self.migration = Some((id, MigrationSeen::Running { fence }));
        self.news();
        Ok(())
    }

    pub(super) fn end_migration(&mut self, how: ExitSeen) {
        if let Some((id, MigrationSeen::Running { fence })) = self.migration.clone() {
            self.migration = Some((id, MigrationSeen::Ended { fence, exit: how }));
            self.news();
        }
    }

    fn propose(&mut self, id: ReportId, report: Report) {
        let asks = matches!(&report, Report::Moved { to: PhaseKind::Draining, .. });
        if self.cut_off {
            return;
        }
        if self.fleet.is_some() {
            return self.propose_in_earnest(id, report);
        }
        let answer = if asks && self.refuses { Answer::Refused("no".into()) } else { Answer::Accepted };
        if answer == Answer::Accepted {
            self.believe(&report);
        }
        self.reports.push(report);
        self.proposed.push(id.0);
        let took = self.slow_answer;
        let ms = u64::try_from(took.as_millis()).unwrap();
        self.later(ms, Event::ReportAnswered { id, answer, took });
    }

    /// What the fleet makes of a report.
    fn believe(&mut self, report: &Report) {
        let granted = self.assignment.change.clone();
        let now = &mut self.assignment;
        match report {
            Report::Staged { release } => drop(now.staged.insert(release.clone())),
            Report::Runs { release } => now.current.clone_from(release),
            Report::Availability { availability, .. } => now.availability = *availability,
            Report::Changed { .. } => {
                now.current = granted.and_then(|granted| granted.to);
                now.availability = if now.current.is_some() { Availability::In } else { Availability::Out };
                now.change = None;
            }
            Report::Reverted { .. } | Report::Abandoned { .. } => {
                now.current = granted.and_then(|granted| granted.from);
                now.availability = if now.current.is_some() { Availability::In } else { Availability::Out };
                now.change = None;
            }
            Report::MigrationEnded { .. } => now.migrate = None,
            Report::Moved { to, .. } => {
                if let Some(change) = &mut now.change {
                    change.phase = *to;
                }
                now.availability = Availability::Out;
            }
            _ => return,
        }
        self.assign();
    }
}
