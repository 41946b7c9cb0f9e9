//! A world for one host, in virtual time: a supervisor, a balancer, a store and a fleet that do as they are told.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{balancer::Place, fence, grant, process::Behaviour};
use crate::{
    Fence, ReleaseId, Revision, Timestamp,
    fleet::{
        assignment::{ChangeGrant, MigrationGrant, ServiceAssignment},
        command::Report,
    },
    host::{Denied, Event, FaultWord, Host, Ledger, MigrationSeen, ProcessSeen, Setup},
};

pub(super) enum Happening {
    ToHost(u64, Box<Event>),
    Exit(u32),
    Restart(u32),
}

pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) host: Host,
    pub(super) disk: Ledger,
    pub(super) assignment: ServiceAssignment,
    pub(super) revision: u64,
    pub(super) setup: Setup,
    pub(super) queue: BTreeMap<(Timestamp, u64), Happening>,
    pub(super) counter: u64,
    pub(super) agent: u64,
    // The supervisor.
    pub(super) process: ProcessSeen,
    /// Where the service has several.
    pub(super) instances: Vec<ProcessSeen>,
    pub(super) started: Timestamp,
    /// What the supervisor says of an exit besides.
    pub(super) note: Option<String>,
    pub(super) keep: bool,
    /// It cannot say whether the service is ready.
    pub(super) keeper_is_silent: bool,
    /// What it says no to, once each: start, stop, migrate, stop migration.
    pub(super) denies: Vec<(&'static str, Denied)>,
    /// It does not answer the agent at all.
    pub(super) supervisor_is_gone: bool,
    pub(super) newest: Option<Fence>,
    pub(super) change: u64,
    pub(super) pid: u32,
    pub(super) migration: Option<(ReleaseId, MigrationSeen)>,
    pub(super) behaviours: BTreeMap<String, Behaviour>,
    // The balancer.
    pub(super) place: Place,
    pub(super) drain: Duration,
    /// How long it says that a drain takes.
    pub(super) told_drain: Option<Duration>,
    /// So often it was asked for the standing.
    pub(super) standing_read: u32,
    pub(super) api_down_until: Timestamp,
    /// What it says to every wish to leave.
    pub(super) leave_fault: Option<FaultWord>,
    /// What was to be started next when it was last told to leave.
    pub(super) next: Option<ReleaseId>,
    /// It has not seen yet that the host goes on after it was frozen.
    pub(super) unhealthy_until: Timestamp,
    // The store and the fleet.
    pub(super) staged: BTreeSet<ReleaseId>,
    pub(super) stage_faults: u32,
    /// It does not say what it has.
    pub(super) store_is_gone: bool,
    /// So often a supervisor that is told to migrate says yes and forgets it.
    pub(super) migrations_forgotten: u32,
    pub(super) cut_off: bool,
    pub(super) slow_answer: Duration,
    /// What a probe takes.
    pub(super) probe_ms: u64,
    /// What verifying and starting takes.
    pub(super) verify_ms: u64,
    pub(super) refuses: bool,
    // What happened.
    pub(super) acts: Vec<String>,
    pub(super) reports: Vec<Report>,
    /// The names under which they were proposed.
    pub(super) proposed: Vec<u64>,
    pub(super) logs: Vec<String>,
    pub(super) effects: usize,
    pub(super) crash_at: Option<usize>,
    /// And again after so many effects, not counting those that only look: there are as many of them as a wait is long.
    pub(super) crash_every: Option<usize>,
    /// The real fleet machine, where a test is about both; otherwise one that always says yes.
    pub(super) fleet: Option<Box<super::together::Real>>,
}

impl World {
    pub(super) fn new(setup: Setup, ledger: Ledger, assignment: ServiceAssignment) -> Self {
        let staged = ["a", "b", "c"].iter().map(|id| id.parse().unwrap()).collect();
        Self {
            now: Timestamp(1_000_000),
            host: Host::new(setup, ledger.clone()),
            disk: ledger,
            assignment,
            revision: 100,
            setup,
            queue: BTreeMap::new(),
            counter: 0,
            agent: 0,
            process: ProcessSeen::Stopped,
            instances: vec![],
            started: Timestamp(0),
            note: None,
            keep: false,
            keeper_is_silent: false,
            denies: vec![],
            supervisor_is_gone: false,
            newest: None,
            change: 0,
            pid: 10,
            migration: None,
            behaviours: BTreeMap::new(),
            place: Place::Absent,
            drain: Duration::from_secs(3),
            told_drain: None,
            standing_read: 0,
            api_down_until: Timestamp(0),
            leave_fault: None,
            next: None,
            unhealthy_until: Timestamp(0),
            staged,
            stage_faults: 0,
            store_is_gone: false,
            migrations_forgotten: 0,
            cut_off: false,
            slow_answer: Duration::from_millis(10),
            probe_ms: 2,
            verify_ms: 10,
            refuses: false,
            acts: vec![],
            reports: vec![],
            proposed: vec![],
            logs: vec![],
            effects: 0,
            crash_at: None,
            crash_every: None,
            fleet: None,
        }
    }

    /// Starts the agent, and hands it the fleet's word a little later.
    pub(super) fn boot(&mut self) {
        self.feed(Event::Booted);
        self.assign();
    }

    /// Kills the agent and starts it again. What it had asked for goes on; the answers are lost.
    pub(super) fn crash(&mut self) {
        self.agent += 1;
        self.host = Host::new(self.setup, self.disk.clone());
        self.boot();
    }

    pub(super) fn assign(&mut self) {
        if self.cut_off {
            return;
        }
        self.revision += 1;
        let (revision, assignment) = (Revision(self.revision), Box::new(self.assignment.clone()));
        self.later(10, Event::Assigned { revision, assignment });
    }

    pub(super) fn grant(&mut self, given: ChangeGrant) {
        self.assignment.change = Some(given);
        self.assign();
    }

    /// From one release to another, as the next grant.
    pub(super) fn change(&mut self, from: Option<&str>, to: Option<&str>) -> &mut Self {
        self.grant(grant(5, from, to));
        self
    }

    pub(super) fn migrate(&mut self, id: &str, revision: u64) {
        self.assignment.migrate =
            Some(MigrationGrant { fence: fence(revision), release: super::release(id), started: false });
        self.assign();
    }

    pub(super) fn behaves(&mut self, id: &str, behaviour: Behaviour) {
        self.behaviours.insert(id.to_owned(), behaviour);
    }

    pub(super) fn forget(&mut self) {
        self.acts.clear();
        self.reports.clear();
        self.effects = 0;
    }

    pub(super) fn later(&mut self, ms: u64, event: Event) {
        let at = self.now + Duration::from_millis(ms);
        let agent = self.agent;
        self.schedule(at, Happening::ToHost(agent, Box::new(event)));
    }

    pub(super) fn schedule(&mut self, at: Timestamp, happening: Happening) {
        self.counter += 1;
        self.queue.insert((at, self.counter), happening);
    }

    /// Lets this much time pass.
    pub(super) fn run(&mut self, length: Duration) {
        let end = self.now + length;
        self.run_while(length, |_| true);
        self.now = end;
    }

    /// Lets time pass until `done`, for so long at most; says whether it came to that.
    pub(super) fn run_until(&mut self, length: Duration, done: impl Fn(&Self) -> bool) -> bool {
        self.run_while(length, |world| !done(world));
        done(self)
    }

    pub(super) fn run_while(&mut self, length: Duration, goes_on: impl Fn(&Self) -> bool) {
        let end = self.now + length;
        let mut events_left = 200_000;
        while goes_on(self) {
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            let Some(at) = next.into_iter().chain(self.host.deadline()).min().filter(|at| *at <= end) else {
                break;
            };
            events_left -= 1;
            assert!(
                0 < events_left,
                "the machine runs in circles at {at:?}: {:?}",
                self.host.sighting(self.now)
            );
            self.now = self.now.max(at);
            if next == Some(at) {
                let (_, happening) = self.queue.pop_first().unwrap();
                self.happen(happening);
            } else {
                self.feed(Event::DeadlinePassed);
            }
        }
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::ToHost(agent, event) if agent == self.agent => self.feed(*event),
            Happening::ToHost(..) => {}
            Happening::Exit(of) => self.process_exits(of),
            Happening::Restart(of) => self.process_restarts(of),
        }
    }

    pub(super) fn feed(&mut self, event: Event) {
        let effects = self.host.handle(event, self.now);
        for effect in effects {
            if self.crash_at == Some(self.effects) {
                self.crash_at = self.crash_every.map(|every| self.effects + every);
                return self.crash();
            }
            let looks = matches!(
                effect,
                crate::host::Effect::QueryStanding { .. } | crate::host::Effect::Probe { .. }
            );
            self.effects += usize::from(self.crash_every.is_none() || !looks);
            self.perform(effect);
        }
    }

    /// The names of the reports, in order.
    pub(super) fn told(&self) -> Vec<String> {
        self.reports.iter().map(name).collect()
    }

    pub(super) fn was_told(&self, what: &str) -> usize {
        self.told().iter().filter(|told| *told == what).count()
    }
}

pub(super) fn name(report: &Report) -> String {
    match report {
        Report::Staged { release } => format!("staged {release}"),
        Report::NotStaged { release, .. } => format!("not staged {release}"),
        Report::Runs { .. } => "runs".into(),
        Report::Moved { from, to, .. } => format!("{from} > {to}"),
        Report::Failed { .. } => "failed".into(),
        Report::Changed { .. } => "changed".into(),
        Report::Reverted { .. } => "reverted".into(),
        Report::Stuck { .. } => "stuck".into(),
        Report::Abandoned { .. } => "abandoned".into(),
        Report::Parked { .. } => "parked".into(),
        Report::Availability { availability, .. } => format!("{availability}"),
        Report::MigrationStarted { .. } => "migration started".into(),
        Report::MigrationEnded { .. } => "migration ended".into(),
    }
}
