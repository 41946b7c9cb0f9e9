//! Changes one service on one host, and watches over it in between.
//!
//! Promise: P4's order in every change and on every way back; nothing is disturbed without a grant that the fleet has just
//! confirmed; once begun, a change ends without any answer from the fleet; after a crash at any instruction it goes on from the
//! [`Ledger`] and from what it observes, never from memory (P8).
//! Absent on purpose: I/O, clocks, randomness, async. The agent calls [`Host::handle`] and carries out the [`Effect`]s in order.

mod call;
mod changing;
pub mod effect;
pub mod event;
mod frozen;
pub mod health;
mod judging;
pub mod ledger;
mod migrating;
pub mod phase;
mod registering;
mod reports;
mod seen;
pub mod sighting;
mod staging;
mod steady;
#[cfg(test)]
mod tests;

use std::time::Duration;

use call::Call;
use reports::Reports;
use seen::{Seen, Wait};
use staging::Staging;

pub use effect::Effect;
pub use event::{
    Answer, Denied, Event, ExitSeen, FaultSeen, FaultWord, MigrationSeen, Miss, Observed, ProcessSeen,
    ReportId, StandingSeen, Ticket,
};
pub use health::Health;
pub use ledger::{Ledger, Stored};
pub use phase::{Phase, Step};
pub use sighting::Sighting;

use crate::{Policy, Release, Revision, Timestamp, fleet::assignment::ServiceAssignment};

/// Most that is kept of a program's output in a report, in bytes.
pub const TAIL_LIMIT_BYTES: usize = 16 * 1024;

/// Longest time between the proposal to begin a change and its acceptance; after that the fleet is asked again.
pub const GRANT_FRESH: Duration = Duration::from_secs(3);

/// What the host's configuration says of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// It is behind a balancer.
    pub headful: bool,
    /// There is a probe.
    pub probe: bool,
    /// It is asked to say that it is ready.
    pub asks_ready: bool,
    /// How many instances it is to have from its next start on. At least 1.
    pub instances: u32,
    /// Any number drawn by the caller: it spreads retries, so that hosts do not call in step.
    pub seed: u64,
}

/// The host machine of one service.
#[derive(Debug)]
pub struct Host {
    setup: Setup,
    ledger: Ledger,
    /// The ledger was changed, and is written before the next effect.
    unsaved: bool,
    outbox: Vec<Effect>,
    last_ticket: u64,
    /// When an event was handled last. What was due by then has been dealt with.
    at: Timestamp,
    assigned: Option<(Revision, ServiceAssignment)>,
    seen: Seen,
    wait: Wait,
    calls: Calls,
    staging: Staging,
    reports: Reports,
    watch: steady::Watch,
    migration: migrating::Run,
}

/// The calls that may be under way.
#[derive(Debug, Default)]
struct Calls {
    observe: Call,
    standing: Call,
    probe: Call,
    /// Leave, stop, start or join: never two of them at once.
    act: Call,
    keep: Call,
    query_staged: Call,
    stage: Call,
    collect: Call,
    migrate: Call,
    stop_migration: Call,
}

impl Calls {
    fn all(&self) -> [&Call; 10] {
        [
            &self.observe,
            &self.act,
            &self.standing,
            &self.probe,
            &self.keep,
            &self.migrate,
            &self.stop_migration,
            &self.query_staged,
            &self.stage,
            &self.collect,
        ]
    }
}

impl Host {
    /// A machine that remembers `ledger` (an empty one when there is none). Hand it [`Event::Booted`] next.
    #[must_use]
    pub fn new(setup: Setup, ledger: Ledger) -> Self {
        Self {
            setup,
            ledger,
            unsaved: false,
            outbox: Vec::new(),
            last_ticket: 0,
            at: Timestamp::default(),
            assigned: None,
            seen: Seen::default(),
            wait: Wait::default(),
            calls: Calls::default(),
            staging: Staging::default(),
            reports: Reports::default(),
            watch: steady::Watch::default(),
            migration: migrating::Run::default(),
        }
    }

    /// What it remembers.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What the host's configuration says.
    #[must_use]
    pub fn setup(&self) -> Setup {
        self.setup
    }

    /// Takes note of what happened, and says what is to be done, in this order.
    #[must_use]
    pub fn handle(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        if self.was_frozen(now) {
            self.thaw(now);
        }
        self.take(event, now);
        if self.seen.observed.is_some() {
            self.go_on(now);
        }
        self.call_out(now);
        self.stage(now);
        self.report(now);
        self.save();
        self.at = now;
        std::mem::take(&mut self.outbox)
    }

    /// When [`Event::DeadlinePassed`] is to be handed in, if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let calls = self.calls.all().into_iter().filter_map(Call::deadline);
        let steps = self.change_deadlines().into_iter().chain(self.migration_deadlines()).flatten();
        let others = self.staging_deadlines().chain(self.reports.deadlines()).chain(self.heartbeat());
        calls.chain(steps).chain(others).filter(|due| self.at < *due).min()
    }

    fn take(&mut self, event: Event, now: Timestamp) {
        match event {
            Event::Booted => self.boot(now),
            Event::DeadlinePassed => {}
            Event::Assigned { revision, assignment } => self.assign(revision, *assignment, now),
            Event::ReportAnswered { id, answer, took } => self.report_answered(id, answer, took, now),
            Event::ProcessChanged(observed) => self.news(observed, now),
            Event::Observed { ticket, result } => self.observed(ticket, result, now),
            Event::StandingRead { ticket, result } => self.standing_read(ticket, result, now),
            Event::StagedRead { ticket, result } => self.staged_read(ticket, result, now),
            Event::StageEnded { ticket, result } => self.stage_ended(ticket, result, now),
            Event::Collected { ticket, result } => self.collected(ticket, result, now),
            Event::Left { ticket, result } => self.left(ticket, result, now),
            Event::Joined { ticket, result } => self.joined(ticket, result, now),
            Event::Stopped { ticket, result } => self.stopped(ticket, result, now),
            Event::Started { ticket, result } => self.started(ticket, result, now),
            Event::Kept { ticket, result } => self.kept(ticket, result, now),
            Event::Probed { ticket, result } => self.probed(ticket, result, now),
            Event::MigrateCalled { ticket, result } => self.migrate_called(ticket, result, now),
            Event::MigrationStopped { ticket, result } => self.migration_stopped(ticket, result, now),
            Event::TailRead { ticket, result } => self.tail_read(ticket, result),
        }
    }

    /// Asks what runs, before anything else. The balancer is asked by each step that needs it, so that what served before a
    /// reboot is started without it.
    fn boot(&mut self, now: Timestamp) {
        self.wait = Wait::new(now);
        self.calls.observe.plan(now);
        self.calls.query_staged.plan(now);
    }

    fn assign(&mut self, revision: Revision, assignment: ServiceAssignment, now: Timestamp) {
        if self.assigned.as_ref().is_some_and(|(newest, _)| revision < *newest) {
            return self
                .log(format!("assignment of revision {revision} is older than one seen before: dropped"));
        }
        if self.ledger.policy != assignment.policy {
            self.remember().policy = assignment.policy.clone();
        }
        if let (Some(mine), Some(theirs)) = (&self.ledger.change, &assignment.change)
            && mine.fence == theirs.fence
            // Once it goes back, it goes back: what it goes back to is not taken from under it.
            && mine.phase.is_going()
            && (mine.fallback, mine.park) != (theirs.fallback, theirs.park)
        {
            let (fallback, park) = (theirs.fallback, theirs.park);
            if let Some(mine) = &mut self.remember().change {
                (mine.fallback, mine.park) = (fallback, park);
            }
        }
        if let (Some(mine), Some(theirs)) = (&self.ledger.change, &assignment.change)
            && mine.fence == theirs.fence
            && theirs.to.is_none()
            && mine.goal.is_some()
            && mine.phase.has_started_nothing()
            && let Some(mine) = &mut self.remember().change
        {
            mine.goal = None;
        }
        if self.ledger.change.as_ref().is_some_and(|mine| mine.rests_for_nothing(revision, &assignment))
            && let Some(mine) = &mut self.remember().change
        {
            mine.park = false;
        }
        if self.asks_for_more(&assignment) {
            self.calls.query_staged.plan(now);
        }
        self.assigned = Some((revision, assignment));
    }

    /// Whether it wants a release here that the one before did not, or one to be run: then the store is asked whether it has it still.
    fn asks_for_more(&self, assignment: &ServiceAssignment) -> bool {
        let Some((_, before)) = &self.assigned else { return true };
        let is_new = |release: &Release| !before.stage.contains(release);
        let grants = |of: &ServiceAssignment| {
            let (change, migrate) = (of.change.as_ref(), of.migrate.as_ref());
            (change.map(|change| change.fence), migrate.map(|migrate| migrate.fence))
        };
        assignment.stage.iter().any(is_new) || grants(assignment) != grants(before)
    }

    /// Goes on as far as it can without anything else happening.
    fn go_on(&mut self, now: Timestamp) {
        self.recover(now);
        // A change has at most a dozen steps, and none is passed twice in a moment.
        for _ in 0..32 {
            let Some(outcome) = self.judge(now) else { break };
            self.proceed(outcome, now);
        }
        self.look_again(now);
        self.checkpoint(now);
        self.read_tails();
        self.act(now);
        self.watch_over(now);
        self.migrate(now);
    }

    /// Makes the calls that have no precondition.
    fn call_out(&mut self, now: Timestamp) {
        if self.calls.observe.is_due(now) {
            let ticket = self.ticket();
            self.calls.observe.sent(ticket);
            self.emit(Effect::Observe { ticket });
        }
        if self.calls.query_staged.is_due(now) {
            let ticket = self.ticket();
            self.calls.query_staged.sent(ticket);
            self.emit(Effect::QueryStaged { ticket });
        }
        if self.setup.headful && self.calls.standing.is_due(now) {
            let ticket = self.ticket();
            self.calls.standing.sent(ticket);
            self.wait.reading = now;
            self.emit(Effect::QueryStanding { ticket });
        }
        if self.setup.probe && self.calls.probe.is_due(now) {
            let ticket = self.ticket();
            self.calls.probe.sent(ticket);
            self.wait.probing = now;
            self.emit(Effect::Probe { ticket });
        }
    }

    fn policy(&self) -> &Policy {
        &self.ledger.policy
    }

    fn ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    /// The ledger, to be changed. It is written before the next effect, whichever that is.
    fn remember(&mut self) -> &mut Ledger {
        self.unsaved = true;
        &mut self.ledger
    }

    fn save(&mut self) {
        if self.unsaved {
            self.unsaved = false;
            self.outbox.push(Effect::Persist(Box::new(self.ledger.clone())));
        }
    }

    fn emit(&mut self, effect: Effect) {
        self.save();
        self.outbox.push(effect);
    }

    fn log(&mut self, text: String) {
        self.outbox.push(Effect::Log(text));
    }
}

/// A duration for people: its two largest units.
fn words(duration: Duration) -> String {
    let ms = duration.as_millis();
    let (seconds, minutes, hours) = (ms / 1000, ms / 60_000, ms / 3_600_000);
    let two = |large: u128, unit: &str, small: u128, part: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit} {small}{part}") }
    };
    match () {
        () if 0 < hours => two(hours, "h", minutes % 60, "m"),
        () if 0 < minutes => two(minutes, "m", seconds % 60, "s"),
        () if 0 < seconds => two(seconds, "s", ms % 1000, "ms"),
        () => format!("{ms}ms"),
    }
}
