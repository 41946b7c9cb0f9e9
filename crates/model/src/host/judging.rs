//! What became of the present step, judged from what was observed.

use std::time::Duration;

use super::{
    Host,
    call::Call,
    event::{ExitSeen, StandingSeen},
    ledger::Change,
    phase::{Outcome, Phase, Step},
    seen::{Life, standing_words},
    words,
};
use crate::{
    Fence, Release, ReleaseId, Revision, Timestamp,
    fleet::{
        assignment::{ChangeGrant, ServiceAssignment},
        command::{Cause, Failure},
    },
};

/// Probes that fail in a row before a host that soaks has failed.
const SOAK_MISSES: u32 = 2;
/// Readings in a row that do not say in service before a host that soaks has left it: five seconds' worth. A host may have stood still for a
/// moment that was too short to be noticed; until its balancer has found it well again, and says so, it says nothing about the release.
const SOAK_READINGS: u32 = 10;
/// Such readings in all before one that comes and goes has failed: its soak stands still meanwhile, and would have no end.
const SOAK_READINGS_IN_ALL: u32 = 60;
/// What is said of probes that could not be made.
const UNASKED: &str = "the probe could not be made";

impl Change {
    /// The release that the present phase is to end with.
    pub(super) fn wanted(&self) -> Option<&Release> {
        if self.phase.is_going() { self.goal.as_ref() } else { self.from.as_ref().filter(|_| self.fallback) }
    }

    /// Whether it rests for a maintenance that is over, as an assignment of this revision says: its slot was taken from it, nobody
    /// wants it out any more, and no other grant says what to do instead.
    pub(super) fn rests_for_nothing(&self, revision: Revision, assigned: &ServiceAssignment) -> bool {
        let newer = self.fence.revision <= revision;
        self.phase == Phase::Parked && newer && assigned.change.is_none() && !assigned.parked
    }

    fn is_stuck(&self) -> bool {
        matches!(self.phase, Phase::Stuck { .. })
    }

    fn failed(&self, cause: Cause, reason: String) -> Outcome {
        Outcome::Failed(Failure { phase: self.phase.kind(), cause, reason, tail: "".into() })
    }
}

impl Host {
    /// The process that should run now, and the grant it was started under where that matters.
    pub(super) fn expected(&self) -> Option<(ReleaseId, Option<Fence>)> {
        let Some(change) = &self.ledger.change else {
            return self.ledger.serving.as_ref().map(|release| (release.id.clone(), None));
        };
        match &change.phase {
            Phase::Aborting { .. } => change.from.as_ref().map(|release| (release.id.clone(), None)),
            phase if matches!(phase.step(), Some(Step::Probing | Step::Joining | Step::Soaking)) => {
                change.wanted().map(|release| (release.id.clone(), Some(change.fence)))
            }
            _ => None,
        }
    }

    /// The fleet's present word on the change under way.
    fn grant_of(&self, change: &Change) -> Option<&ChangeGrant> {
        self.assigned.as_ref()?.1.change.as_ref().filter(|grant| grant.fence == change.fence)
    }

    /// What became of the present step; none while it goes on.
    pub(super) fn judge(&self, now: Timestamp) -> Option<Outcome> {
        let change = self.ledger.change.as_ref()?;
        if self.must_turn_back(change) {
            return Some(Outcome::TurnBack);
        }
        match &change.phase {
            Phase::Parked => (!change.park).then_some(Outcome::Admitted),
            Phase::Aborting { .. } => self.judge_aborting(change, now),
            Phase::Going { step } | Phase::Reverting { step, .. } | Phase::Stuck { step, .. } => match step {
                Step::Checking => self.judge_checking(change, now),
                Step::Leaving => self.judge_leaving(change, now),
                Step::Settling => (self.policy().settle <= self.wait.elapsed(now)).then_some(Outcome::Done),
                Step::Stopping => self.judge_stopping(change, now),
                Step::Starting => self.judge_starting(change, now),
                Step::Probing => {
                    self.judge_life(change, now).unwrap_or_else(|| self.judge_probing(change, now))
                }
                Step::Joining => {
                    self.judge_life(change, now).unwrap_or_else(|| self.judge_joining(change, now))
                }
                Step::Soaking => {
                    self.judge_life(change, now).unwrap_or_else(|| self.judge_soaking(change, now))
                }
                Step::Idle => None,
            },
        }
    }

    /// The fleet asks to go back, and there is somewhere to go back to or nothing to keep.
    fn must_turn_back(&self, change: &Change) -> bool {
        let asked = change.phase.is_going() && self.grant_of(change).is_some_and(|grant| grant.revert);
        let stops_nothing_yet = change.phase.step().is_some_and(|step| step < Step::Stopping);
        asked && (change.fallback || change.from.is_none() || stops_nothing_yet)
    }

    fn over(&self, limit: Duration, now: Timestamp) -> bool {
        limit <= self.wait.elapsed(now)
    }

    /// The step's deadline has passed, and what was seen last is from before: that is no ground for a verdict. Where the balancer does not
    /// answer there is nothing to look at. Where the service cannot be asked, that has an end of its own.
    fn must_look_again(&self, change: &Change, now: Timestamp) -> bool {
        let Some(limit) = self.limit().filter(|limit| self.over(*limit, now)) else { return false };
        match change.phase.step() {
            // It is being verified, which takes as long as it is large, and has an end of its own; or the answer waits to be read.
            Some(Step::Starting | Step::Stopping) => self.calls.act.is_out(),
            Some(Step::Probing) => !self.wait.seen_after(self.wait.probed, limit),
            Some(Step::Checking | Step::Leaving | Step::Joining) => {
                self.calls.standing.fault().is_none() && !self.wait.seen_after(self.wait.read, limit)
            }
            // One that is not in service is looked at in its time: so many such looks are a verdict, and are not to be of the same moment.
            Some(Step::Soaking) => self.is_in_service() && !self.wait.seen_after(self.wait.read, limit),
            _ => false,
        }
    }

    /// Looks once more where a verdict needs it.
    pub(super) fn look_again(&mut self, now: Timestamp) {
        let Some(change) = self.ledger.change.as_ref().filter(|change| !change.is_stuck()) else { return };
        if self.must_look_again(change, now) {
            let probing = change.phase.step() == Some(Step::Probing);
            let look = if probing { &mut self.calls.probe } else { &mut self.calls.standing };
            // What the host could not do is tried again after its pause, and that is a look as well.
            if look.fault().is_none() {
                look.advance(now);
            }
        }
    }

    fn judge_checking(&self, change: &Change, now: Timestamp) -> Option<Outcome> {
        if !self.setup.headful {
            return Some(Outcome::Done);
        }
        if self.wait.standing_ok {
            let absent = self.seen.standing == Some(StandingSeen::Absent);
            return Some(if absent { Outcome::Done } else { Outcome::Registered });
        }
        self.judge_drain_deadline(change, now)
    }

    fn judge_leaving(&self, change: &Change, now: Timestamp) -> Option<Outcome> {
        if !self.setup.headful {
            return Some(Outcome::Done);
        }
        let drained = match &self.seen.standing {
            Some(StandingSeen::Absent) => true,
            // With its process, whatever was in flight is gone.
            Some(StandingSeen::Draining) => self.nothing_runs(),
            _ => false,
        };
        // The standing is read only after it has tried to leave, so a reading of this wait says that, too.
        if self.wait.standing_ok && drained {
            return Some(Outcome::Done);
        }
        if let (Phase::Going { .. }, Some(denial)) = (&change.phase, &self.wait.denied) {
            return Some(Outcome::GaveUp(denial.reason.clone()));
        }
        self.judge_drain_deadline(change, now)
    }

    /// On the way there, the old release is good enough to join again. On the way back nothing else is left than to wait, but
    /// a process that is gone has nothing to drain.
    fn judge_drain_deadline(&self, change: &Change, now: Timestamp) -> Option<Outcome> {
        let limit = self.drain_limit();
        if !self.over(limit, now) || self.must_look_again(change, now) {
            return None;
        }
        if matches!(change.phase, Phase::Going { .. }) {
            let state = match self.seen.standing.as_ref().filter(|_| self.wait.standing_ok) {
                Some(standing) => format!("the balancer says {}", standing_words(standing)),
                None => self
                    .calls
                    .standing
                    .fault()
                    .or(self.calls.act.fault())
                    .unwrap_or("no answer from the balancer")
                    .to_owned(),
            };
            return Some(Outcome::GaveUp(format!(
                "the drain was not over at its deadline of {}: {state}",
                words(limit)
            )));
        }
        self.nothing_runs().then_some(Outcome::Done)
    }

    fn judge_stopping(&self, change: &Change, now: Timestamp) -> Option<Outcome> {
        if self.wait.acted.is_some() {
            return Some(Outcome::Done);
        }
        let limit = self.stop_limit();
        if self.over(limit, now) && !change.is_stuck() && !self.must_look_again(change, now) {
            let why = self.calls.act.fault().unwrap_or("no answer from the supervisor");
            let reason = format!("not stopped within {}: {why}", words(limit));
            return Some(change.failed(Cause::Surroundings, reason));
        }
        self.judge_denial(change)
    }

    /// How long stopping may take: the grace, and then as long as a service may take to be healthy. No more is known of how fast it is.
    pub(super) fn stop_limit(&self) -> Duration {
        self.policy().stop_grace + self.policy().deadlines.healthy
    }

    fn judge_denial(&self, change: &Change) -> Option<Outcome> {
        let denial = self.wait.denied.as_ref().filter(|_| !change.is_stuck())?;
        let cause = if denial.release { Cause::Release } else { Cause::Surroundings };
        Some(change.failed(cause, denial.reason.clone()))
    }

    fn judge_starting(&self, change: &Change, now: Timestamp) -> Option<Outcome> {
        let Some(wanted) = change.wanted() else { return Some(Outcome::Done) };
        if self.wait.acted.is_some() {
            return match self.life(&wanted.id, Some(change.fence)) {
                Life::Runs => Some(Outcome::Done),
                Life::Ended(_) if change.is_stuck() => Some(Outcome::Done),
                Life::Ended(exit) => Some(self.exited(change, exit, now)),
                Life::Gone if change.is_stuck() => Some(Outcome::Gone),
                Life::Gone => Some(not_there(change)),
                Life::Unsure => self.judge_unsure(change, now),
            };
        }
        let limit = self.policy().deadlines.healthy;
        if self.over(limit, now) && !change.is_stuck() && !self.must_look_again(change, now) {
            let why = self.calls.act.fault().unwrap_or("no answer from the supervisor");
            return Some(
                change.failed(Cause::Surroundings, format!("not started within {}: {why}", words(limit))),
            );
        }
        self.judge_denial(change)
    }

    /// What a process that does not run means; `None` while it runs. The inner one: wait.
    fn judge_life(&self, change: &Change, now: Timestamp) -> Option<Option<Outcome>> {
        let wanted = change.wanted()?;
        let probing = change.phase.step() == Some(Step::Probing);
        match self.life(&wanted.id, Some(change.fence)) {
            Life::Runs => None,
            Life::Unsure => Some(self.judge_unsure(change, now)),
            // The keeper starts it again.
            Life::Ended(_) if change.is_stuck() && probing => Some(None),
            Life::Ended(exit) => Some(Some(self.exited(change, exit, now))),
            Life::Gone if change.is_stuck() => Some(Some(Outcome::Gone)),
            Life::Gone => Some(Some(not_there(change))),
        }
    }

    /// A process may end because its host was frozen: what it held outside was lost meanwhile, say.
    fn exited(&self, change: &Change, exit: ExitSeen, now: Timestamp) -> Outcome {
        let (frozen, limit) = (&self.wait.frozen, self.policy().deadlines.healthy);
        let reason = format!("{}{}", self.end_words(exit), frozen.words());
        change.failed(frozen.blame(exit.blames(), limit, now), reason)
    }

    /// The host itself could not ask for as long as a service has to become healthy: that says nothing about it, and does not go on
    /// for ever.
    fn judge_unasked(&self, change: &Change, call: &Call, what: &str, now: Timestamp) -> Option<Outcome> {
        let limit = self.policy().deadlines.healthy;
        let since = call.failing().filter(|_| !change.is_stuck())?;
        if now.since(since) < limit {
            return None;
        }
        let why = call.fault().unwrap_or("no answer");
        let reason = format!("{what} for {}: {why}{}", words(limit), self.wait.frozen.words());
        Some(change.failed(Cause::Surroundings, reason))
    }

    /// When a step ends whose probes cannot be made; none where they can be, and where there are none to make.
    pub(super) fn unasked_until(&self) -> Option<Timestamp> {
        let change = self.ledger.change.as_ref().filter(|change| !change.is_stuck())?;
        let probes = matches!(change.phase.step(), Some(Step::Probing | Step::Soaking));
        self.calls.probe.failing().filter(|_| probes).map(|since| since + self.policy().deadlines.healthy)
    }

    fn judge_unsure(&self, change: &Change, now: Timestamp) -> Option<Outcome> {
        self.judge_unasked(change, &self.calls.observe, "the supervisor did not say what runs", now)
    }

    fn judge_probing(&self, change: &Change, now: Timestamp) -> Option<Outcome> {
        if !self.setup.probe || 0 < self.wait.passes {
            return Some(Outcome::Done);
        }
        if let Some(outcome) = self.judge_unasked(change, &self.calls.probe, UNASKED, now) {
            return Some(outcome);
        }
        let limit = self.policy().deadlines.healthy;
        if !self.over(limit, now) || change.is_stuck() || self.must_look_again(change, now) {
            return None;
        }
        let why = self.wait.miss.as_deref().unwrap_or("no answer yet");
        let frozen = &self.wait.frozen;
        let (deadline, meanwhile) = (words(limit), frozen.words());
        let reason = format!("the probe did not pass until its deadline of {deadline}: {why}{meanwhile}");
        Some(change.failed(frozen.blame(Cause::Release, limit, now), reason))
    }

    fn judge_joining(&self, change: &Change, now: Timestamp) -> Option<Outcome> {
        if !(self.wait.standing_ok && self.wait.acted.is_some()) {
            // A fault of the balancer's API says nothing about the release.
            return None;
        }
        let standing = self.seen.standing.as_ref()?;
        if *standing == StandingSeen::InService {
            return Some(Outcome::Done);
        }
        let limit = self.policy().deadlines.join;
        if !self.over(limit, now) || change.is_stuck() || self.must_look_again(change, now) {
            return None;
        }
        let frozen = &self.wait.frozen;
        let (says, meanwhile) = (standing_words(standing), frozen.words());
        let reason = format!(
            "not in service until the deadline of {}: the balancer says {says}{meanwhile}",
            words(limit)
        );
        Some(change.failed(frozen.blame(blame(standing), limit, now), reason))
    }

    fn judge_soaking(&self, change: &Change, now: Timestamp) -> Option<Outcome> {
        let (frozen, deadlines) = (&self.wait.frozen, &self.policy().deadlines);
        if SOAK_MISSES <= self.wait.misses && !frozen.excuses(deadlines.healthy, now) {
            let why = self.wait.miss.as_deref().unwrap_or("no answer");
            let reason = format!("the probe failed again after it had passed: {why}{}", frozen.words());
            return Some(change.failed(frozen.blame(Cause::Release, deadlines.healthy, now), reason));
        }
        let flaps = SOAK_READINGS_IN_ALL <= self.wait.ever_not_in_service && !self.is_in_service();
        if (flaps || SOAK_READINGS <= self.wait.not_in_service)
            && !frozen.excuses(deadlines.join, now)
            && let Some(standing) = &self.seen.standing
        {
            let (says, meanwhile) = (standing_words(standing), frozen.words());
            let reason = format!("left service while soaking: the balancer says {says}{meanwhile}");
            return Some(change.failed(frozen.blame(blame(standing), deadlines.join, now), reason));
        }
        let healthy = !self.setup.probe || 0 < self.wait.passes && self.calls.probe.fault().is_none();
        // The soak's end is looked at, too: what was read before may be from before the host had left at all.
        let looked = !self.setup.headful || self.wait.seen_after(self.wait.read, self.policy().soak);
        if self.has_soaked(now) && healthy && looked && self.is_in_service() {
            return Some(Outcome::Done);
        }
        let patience = self.policy().soak + deadlines.healthy.max(deadlines.join);
        if frozen.is_unfit_for(patience, now) && !change.is_stuck() {
            let reason = format!("the soak does not come to an end{}", frozen.words());
            return Some(change.failed(Cause::Surroundings, reason));
        }
        self.judge_unasked(change, &self.calls.probe, UNASKED, now)
    }

    /// Whether a soak has lasted long enough.
    pub(super) fn has_soaked(&self, now: Timestamp) -> bool {
        self.over(self.policy().soak, now)
    }

    /// The last reading of this wait says in service, or there is no balancer to ask.
    pub(super) fn is_in_service(&self) -> bool {
        !self.setup.headful || self.wait.standing_ok && self.wait.not_in_service == 0
    }

    /// What should run does not.
    pub(super) fn gone(&self) -> Outcome {
        if self.nothing_runs() { Outcome::Gone } else { Outcome::Occupied }
    }

    fn judge_aborting(&self, change: &Change, now: Timestamp) -> Option<Outcome> {
        let Some(from) = &change.from else { return Some(Outcome::Done) };
        if self.life(&from.id, None) == Life::Gone && change.fallback {
            return Some(self.gone());
        }
        if !self.setup.headful {
            return Some(Outcome::Done);
        }
        // A host that was out before need not come into service now; its availability is reported afterwards.
        let waited = self.over(self.policy().deadlines.join, now) && self.wait.standing_ok;
        // The standing is read only after it has tried to join.
        (waited || self.is_in_service()).then_some(Outcome::Done)
    }
}

fn not_there(change: &Change) -> Outcome {
    change.failed(Cause::Surroundings, "the supervisor no longer runs it".to_owned())
}

/// The balancer's word on the release is the release's; anything else is not.
fn blame(standing: &StandingSeen) -> Cause {
    if matches!(standing, StandingSeen::Unhealthy { .. }) { Cause::Release } else { Cause::Surroundings }
}
