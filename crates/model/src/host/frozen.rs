//! A host that was frozen: by its hypervisor, or its agent by a signal, or by a disk that did not answer.
//!
//! Promise: no such time counts. Whoever was watched meanwhile was not seen, and may not have run either: what was seen before counts
//! no more, what is to come has its time again, and a service that was well before has time to get well (P6).
//! Absent on purpose: who was frozen. An agent that was frozen alone is treated no worse.

use std::time::Duration;

use super::{Host, phase::Step, words};
use crate::{Timestamp, fleet::command::Cause};

/// An agent that comes so much later than it wanted to has been frozen.
const FROZEN: Duration = Duration::from_secs(3);
/// How often a probe or the balancer has all of its time again in one step. A host that is frozen more often is no place to judge a release in.
const RENEWALS: u32 = 5;

/// What is known of it in the present wait.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Frozen {
    times: u32,
    length: Duration,
    /// Since when the service has had time to get well.
    thawed: Option<Timestamp>,
    /// Since when the clock of a soak stands still, because the host is not well yet; none while it runs.
    recovers: Option<Timestamp>,
}

impl Frozen {
    /// When the clock of a soak stands still; none while it runs.
    pub(super) fn stands_at(&self) -> Option<Timestamp> {
        self.recovers
    }

    /// Whether it is too early to hold against a service that it is not well.
    pub(super) fn excuses(&self, limit: Duration, now: Timestamp) -> bool {
        self.thawed.is_some_and(|since| now.since(since) < limit)
    }

    /// It was so often that nobody can say whose fault anything is.
    fn is_unfit(&self) -> bool {
        RENEWALS < self.times
    }

    /// Whose fault it is that a service is not well, where it would be `cause`'s on a host that is not frozen again and again.
    pub(super) fn blame(&self, cause: Cause) -> Cause {
        if self.is_unfit() { Cause::Surroundings } else { cause }
    }

    /// How often and for how long, to be put after other words; nothing where it never was.
    pub(super) fn words(&self) -> String {
        let length = words(self.length);
        match self.times {
            0 => String::new(),
            1 => format!("; the host was frozen for {length} meanwhile"),
            times => format!("; the host was frozen {times} times meanwhile, for {length} in all"),
        }
    }
}

impl Host {
    /// Whether the agent comes too late for what it had planned.
    pub(super) fn was_frozen(&self, now: Timestamp) -> bool {
        self.seen.observed.is_some() && self.deadline().is_some_and(|due| FROZEN < now.since(due))
    }

    /// Takes the time since the last event for one in which nothing happened. Before the next event is looked at: an answer to what
    /// was asked before says nothing of now.
    pub(super) fn thaw(&mut self, now: Timestamp) {
        let gap = now.since(self.at);
        self.log(format!("frozen for {}: that time does not count", words(gap)));
        self.wait.began = self.wait.began + gap;
        self.wait.checkpoint = self.wait.checkpoint + gap;
        self.shift_migration(gap);
        let step = self.step();
        let frozen = &mut self.wait.frozen;
        (frozen.times, frozen.length) = (frozen.times + 1, frozen.length + gap);
        let renewed = !frozen.is_unfit();
        frozen.thawed = frozen.thawed.filter(|_| !renewed).map(|since| since + gap).or(Some(now));
        if step == Some(Step::Soaking) {
            frozen.recovers = frozen.recovers.map(|since| since + gap).or(Some(now));
        }
        if renewed && matches!(step, Some(Step::Probing | Step::Joining)) {
            self.renew(now);
        }
        self.look_anew(now);
    }

    /// The step has all of its time again, also when the agent is started anew.
    fn renew(&mut self, now: Timestamp) {
        (self.wait.began, self.wait.before, self.wait.checkpoint) = (now, Duration::ZERO, now);
        if let Some(change) = &mut self.remember().change {
            change.elapsed = Duration::ZERO;
        }
    }

    /// Forgets what was seen in this wait, and looks again at what was looked at.
    fn look_anew(&mut self, now: Timestamp) {
        let wait = &mut self.wait;
        (wait.passes, wait.misses, wait.miss) = (0, 0, None);
        (wait.readings, wait.not_in_service, wait.standing_ok) = (0, 0, false);
        (wait.probed, wait.read) = (None, None);
        for call in [&mut self.calls.probe, &mut self.calls.standing] {
            if call.is_wanted() {
                call.reset();
                call.plan(now);
            }
        }
    }

    /// Lets the clock of a soak go on once the host is well again, and stops it where it turns out that it is not well yet.
    pub(super) fn recover(&mut self, now: Timestamp) {
        if self.wait.frozen.times == 0 || self.step() != Some(Step::Soaking) {
            return;
        }
        let healthy = !self.setup.probe || 0 < self.wait.passes;
        let well = healthy && self.is_in_service();
        let deadlines = &self.policy().deadlines;
        let excused = self.wait.frozen.excuses(deadlines.healthy.max(deadlines.join), now);
        match self.wait.frozen.recovers {
            Some(since) if well => {
                self.wait.began = self.wait.began + now.since(since);
                self.wait.frozen.recovers = None;
            }
            None if !well && excused => self.wait.frozen.recovers = Some(now),
            _ => {}
        }
    }

    fn step(&self) -> Option<Step> {
        self.ledger.change.as_ref().and_then(|change| change.phase.step())
    }
}
