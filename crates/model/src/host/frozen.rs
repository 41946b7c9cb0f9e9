//! A host that was frozen: by its hypervisor, or its agent by a signal, or by a disk that did not answer.
//!
//! Promise: no such time counts. Whoever was watched meanwhile was not seen, and may not have run either: what was seen before counts
//! no more, what is to come has its time again, and a service that was well before has time to get well (P6). A host that is frozen
//! again and again is unfit to judge a release in: then time counts whatever happens in it, so that each wait ends (P10), and
//! whatever goes wrong is the surroundings' fault.
//! Absent on purpose: who was frozen. An agent that was frozen alone is treated no worse.

use std::time::Duration;

use super::{Host, ledger::Freezes, phase::Step, words};
use crate::{Timestamp, fleet::command::Cause};

/// An agent that comes so much later than it wanted to has been frozen.
const FROZEN: Duration = Duration::from_secs(3);
/// While there is something to judge, it wants to come again after so long: an agent that waits for an answer only would not notice.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How often a probe or the balancer has all of its time again in one step. A host that is frozen more often is no place to judge a release in.
const RENEWALS: u32 = 5;
/// A host that runs between changes and has not been frozen for so long is as good as any other.
const FORGOTTEN: Duration = Duration::from_secs(600);

impl Freezes {
    /// One more, unless there were too many already. Returns whether it is among those that time is given for.
    pub(super) fn count(&mut self, gap: Duration) -> bool {
        (self.times, self.length) = (self.times.saturating_add(1), self.length.saturating_add(gap));
        !self.are_too_many()
    }

    /// It was so often that nobody can say whose fault anything is.
    pub(super) fn are_too_many(&self) -> bool {
        RENEWALS < self.times
    }

    /// Whether they are to be written down: what comes after too many changes nothing.
    fn are_news(&self) -> bool {
        self.times <= RENEWALS + 1
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

/// What is known of it in the present wait.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Frozen {
    counted: Freezes,
    /// When it was so last.
    last: Option<Timestamp>,
    /// Since when it has been so too often.
    unfit: Option<Timestamp>,
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

    /// Whether the balancer is asked more often for it: it may see the host anew at any moment.
    pub(super) fn hurries(&self) -> bool {
        self.recovers.is_some() || self.unfit.is_some()
    }

    /// What a restarted agent knows of it.
    pub(super) fn resumed(counted: Freezes, now: Timestamp) -> Self {
        let (too_many, none) = (counted.are_too_many(), counted.times == 0);
        Self {
            counted,
            unfit: too_many.then_some(now),
            thawed: (!too_many && !none).then_some(now),
            ..Self::default()
        }
    }

    /// What holds in the next wait too: the time that a service has to get well.
    pub(super) fn carried(self) -> Self {
        Self { thawed: self.thawed, ..Self::default() }
    }

    /// Whether it is too early to hold against a service that it is not well.
    pub(super) fn excuses(&self, limit: Duration, now: Timestamp) -> bool {
        self.thawed.is_some_and(|since| now.since(since) < limit)
    }

    /// Whether it says nothing against a release that its service is not well: it has time until `limit`, or the host is unfit.
    pub(super) fn acquits(&self, limit: Duration, now: Timestamp) -> bool {
        self.unfit.is_some() || self.excuses(limit, now)
    }

    /// Whose fault it is that a service is not well, where it would be `cause`'s on a host that is not frozen.
    pub(super) fn blame(&self, cause: Cause, limit: Duration, now: Timestamp) -> Cause {
        if self.acquits(limit, now) { Cause::Surroundings } else { cause }
    }

    /// Whether the host has been unfit for so long.
    pub(super) fn is_unfit_for(&self, length: Duration, now: Timestamp) -> bool {
        self.unfit.is_some_and(|since| length <= now.since(since))
    }

    /// How often and for how long, to be put after other words; nothing where it never was.
    pub(super) fn words(&self) -> String {
        self.counted.words()
    }
}

impl Host {
    /// When it looks whether it was frozen, if nothing happens before.
    pub(super) fn heartbeat(&self) -> Option<Timestamp> {
        let judges = self.ledger.change.is_some() || self.ledger.serving.is_some();
        (judges && self.seen.observed.is_some()).then(|| self.at + HEARTBEAT)
    }

    /// Whether the agent comes too late for what it had planned.
    pub(super) fn was_frozen(&self, now: Timestamp) -> bool {
        self.seen.observed.is_some() && self.deadline().is_some_and(|due| FROZEN < now.since(due))
    }

    /// Takes the time since the last event for one in which nothing happened. Before the next event is looked at: an answer to what
    /// was asked before says nothing of now. On a host that is unfit that time counts, and so does what was seen.
    pub(super) fn thaw(&mut self, now: Timestamp) {
        let gap = now.since(self.at);
        self.thaw_migration(gap);
        let step = self.step();
        let frozen = &mut self.wait.frozen;
        frozen.last = Some(now);
        let renewed = frozen.counted.count(gap);
        let counted = frozen.counted;
        if !renewed {
            frozen.unfit.get_or_insert(now);
            let soaks = step == Some(Step::Soaking) && frozen.recovers.is_none();
            if soaks || step == Some(Step::Settling) {
                // Waits that are no deadlines: what nobody watched is no time in service, and what was in flight did not go on.
                self.wait.skip(gap);
            }
            self.log(format!("frozen for {} once more: too often for that time not to count", words(gap)));
            return self.note_freezes(counted);
        }
        frozen.thawed = Some(now);
        if step == Some(Step::Soaking) {
            frozen.recovers = frozen.recovers.map(|since| since + gap).or(Some(now));
        }
        self.log(format!("frozen for {}: that time does not count", words(gap)));
        self.wait.skip(gap);
        if matches!(step, Some(Step::Probing | Step::Joining)) {
            self.renew(now);
        }
        self.look_anew(now);
        self.note_freezes(counted);
    }

    /// A restarted agent is to know of it: otherwise a host that is frozen again and again would have its time without end.
    fn note_freezes(&mut self, counted: Freezes) {
        if self.ledger.change.is_some()
            && counted.are_news()
            && let Some(change) = &mut self.remember().change
        {
            change.frozen = counted;
        }
    }

    /// Between changes it is forgotten after a while.
    pub(super) fn forget_freezes(&mut self, now: Timestamp) {
        let quiet = FORGOTTEN.max(self.policy().deadlines.healthy);
        if self.wait.frozen.last.is_some_and(|last| quiet <= now.since(last)) {
            self.wait.frozen = Frozen::default();
        }
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
        (wait.readings, wait.not_in_service, wait.ever_not_in_service) = (0, 0, 0);
        wait.standing_ok = false;
        (wait.probed, wait.read) = (None, None);
        for call in [&mut self.calls.probe, &mut self.calls.standing] {
            if call.is_wanted() {
                call.reset();
                call.plan(now);
            }
        }
        self.calls.observe.fails_anew(now);
    }

    /// Lets the clock of a soak go on once the host is well again, and stops it where it turns out that it is not well yet, or has left
    /// service for a moment.
    pub(super) fn recover(&mut self, now: Timestamp) {
        if self.step() != Some(Step::Soaking) {
            return;
        }
        let healthy = !self.setup.probe || 0 < self.wait.passes;
        let well = healthy && self.is_in_service();
        let deadlines = &self.policy().deadlines;
        let excused = self.wait.frozen.excuses(deadlines.healthy.max(deadlines.join), now);
        let has_left = 0 < self.wait.not_in_service;
        let stands = excused || has_left;
        match self.wait.frozen.recovers {
            Some(since) if well => {
                self.wait.began = self.wait.began + now.since(since);
                self.wait.frozen.recovers = None;
            }
            // Nobody has seen it in service since then; and where that was a word from before it had left, not even then.
            Some(since) => {
                self.wait.frozen.recovers = Some(since.min(self.wait.was_in_service()));
            }
            None if !well && stands && self.wait.frozen.unfit.is_none() => {
                self.wait.frozen.recovers = Some(if has_left { self.wait.was_in_service() } else { now });
            }
            None => {}
        }
    }

    fn step(&self) -> Option<Step> {
        self.ledger.change.as_ref().and_then(|change| change.phase.step())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn resumed(times: u32) -> Frozen {
        Frozen::resumed(Freezes { times, length: Duration::from_secs(9) }, Timestamp(1_000))
    }

    #[test]
    fn an_agent_that_is_started_anew_knows_what_the_one_before_knew_of_freezes() {
        let (now, over) = (Timestamp(1_000), Timestamp(1_000) + LIMIT);
        let (never, once, too_often) = (resumed(0), resumed(1), resumed(RENEWALS + 1));
        assert_eq!(never.blame(Cause::Release, LIMIT, now), Cause::Release);
        assert!(once.excuses(LIMIT, now) && !once.excuses(LIMIT, over), "it has its time, and no more");
        assert_eq!(once.blame(Cause::Release, LIMIT, now), Cause::Surroundings);
        assert_eq!(once.blame(Cause::Release, LIMIT, over), Cause::Release);
        assert!(!once.is_unfit_for(Duration::ZERO, over) && !once.hurries());
        assert!(!too_often.excuses(LIMIT, now), "it has no time to get well any more");
        assert_eq!(too_often.blame(Cause::Release, LIMIT, over), Cause::Surroundings);
        assert!(too_often.is_unfit_for(LIMIT, over) && !too_often.is_unfit_for(LIMIT, now));
    }

    #[test]
    fn that_it_was_too_often_is_written_down_and_what_comes_after_is_not() {
        let news = |times| Freezes { times, length: Duration::ZERO }.are_news();
        assert!(news(1) && news(RENEWALS + 1));
        assert!(!news(RENEWALS + 2));
    }
}
