//! Carries a change from step to step.

use std::time::Duration;

use super::{
    Host,
    call::Backoff,
    effect::Effect,
    event::{Denied, ExitSeen, FaultWord, Observed, Ticket},
    frozen::Frozen,
    ledger::{Change, Freezes},
    phase::{Ending, Next, Outcome, Phase, Step, Terms},
    seen::{Denial, Life},
};
use crate::{
    Timestamp,
    fleet::{assignment::ChangeGrant, command::Report, host::PhaseKind},
};

/// How often the length of a wait is written down.
const CHECKPOINT: Duration = Duration::from_secs(5);
/// Between two probes of a host that soaks.
const PROBE_SOAKING: Duration = Duration::from_secs(1);
/// Between two readings of the standing of a host that soaks, at the most.
const STANDING_SOAKING: Duration = Duration::from_secs(2);
/// The same at the least.
const STANDING_SOAKING_LEAST: Duration = Duration::from_millis(50);
/// A soak is so many times as long as the pause between them, but for these limits: one reading may be from before the host had left.
const SOAK_LOOKS: u32 = 4;
/// The same while it gets well after it was frozen.
const STANDING_RECOVERING: Duration = Duration::from_millis(500);

impl Host {
    /// The fleet has confirmed the grant just now: from here on it may not be asked any more.
    pub(super) fn begin(&mut self, grant: ChangeGrant, now: Timestamp) {
        // Whoever joins, or has joined, may be registered whatever the balancer says: what it is asked for may have its effect later. One that
        // is stuck may have joined before.
        let admitted = match &self.ledger.change {
            Some(Change { phase: Phase::Stuck { step, .. }, .. }) => Step::Starting <= *step,
            Some(change) => change.phase.step().is_some_and(|step| step.out() == Step::Leaving),
            None => grant.from.is_some(),
        };
        let registered = self.setup.headful && (admitted || self.calls.act.is_under_way());
        let ledger = self.remember();
        ledger.fence = Some(grant.fence);
        ledger.returning = false;
        ledger.change = Some(Change {
            fence: grant.fence,
            goal: grant.to,
            from: grant.from,
            fallback: grant.fallback,
            park: grant.park,
            phase: Phase::first(registered),
            elapsed: Duration::ZERO,
            drained_by: None,
            told: PhaseKind::Draining,
            frozen: Freezes::default(),
        });
        self.enter_step(now);
    }

    /// Goes on after a restart of the agent, from the ledger and what runs.
    pub(super) fn resume(&mut self, now: Timestamp) {
        self.enter_step(now);
        let Some(change) = &self.ledger.change else { return self.resume_steady(now) };
        (self.wait.before, self.wait.drained_by) = (change.elapsed, change.drained_by);
        self.wait.frozen = Frozen::resumed(change.frozen, now);
        let wanted = match &change.phase {
            Phase::Aborting { .. } => change.from.as_ref().map(|release| (release, None)),
            _ => change.wanted().map(|release| (release, Some(change.fence))),
        };
        let life = wanted.map(|(release, fence)| self.life(&release.id, fence));
        let seen_to_end = matches!(life, Some(Life::Ended(ExitSeen::Code(_) | ExitSeen::Signal(_))));
        let stuck = matches!(change.phase, Phase::Stuck { .. });
        match (change.phase.step(), life) {
            (Some(Step::Starting), Some(Life::Runs)) => self.wait.acted = Some(now),
            (Some(Step::Starting), Some(Life::Ended(_))) if seen_to_end && !stuck => {
                self.wait.acted = Some(now);
            }
            (Some(Step::Probing | Step::Joining | Step::Soaking), Some(Life::Gone | Life::Ended(_)))
                if !seen_to_end || stuck =>
            {
                self.proceed(Outcome::Gone, now);
            }
            (None, Some(Life::Gone | Life::Ended(_)))
                if change.fallback && change.phase.kind() == PhaseKind::Aborting =>
            {
                self.proceed(self.gone(), now);
            }
            _ => {}
        }
    }

    fn terms(&self, change: &Change) -> Terms {
        Terms {
            headful: self.setup.headful,
            park: change.park,
            goal: change.goal.is_some(),
            from: change.from.is_some(),
            fallback: change.fallback,
        }
    }

    /// Moves the change to where `outcome` leads.
    pub(super) fn proceed(&mut self, outcome: Outcome, now: Timestamp) {
        let Some(change) = self.ledger.change.clone() else { return };
        match change.phase.after(outcome.clone(), self.terms(&change)) {
            Ok(Next::Phase(phase)) => self.move_to(phase, &change, outcome, now),
            Ok(Next::End(ending)) => self.finish(ending, change, now),
            Err(refusal) => self.log(refusal.to_string()),
        }
    }

    fn move_to(&mut self, phase: Phase, change: &Change, outcome: Outcome, now: Timestamp) {
        let (fence, kind) = (change.fence, phase.kind());
        let mut told = change.told;
        let tail = Some((fence, false));
        let was_stuck = matches!(change.phase, Phase::Stuck { .. });
        if let Outcome::Failed(failure) = outcome {
            if change.phase.is_going() {
                self.push_report(Report::Failed { fence, failure: failure.clone() }, tail, now);
                told = PhaseKind::Reverting;
            }
            if kind == PhaseKind::Stuck && !was_stuck {
                self.push_report(Report::Stuck { fence, failure }, tail, now);
                told = PhaseKind::Stuck;
            }
        }
        if kind == PhaseKind::Parked {
            self.push_report(Report::Parked { fence }, None, now);
            told = PhaseKind::Parked;
        }
        if is_news(told, kind) {
            let reason = match &phase {
                Phase::Aborting { reason } => Some(reason.clone()),
                _ => None,
            };
            self.push_report(Report::Moved { fence, from: told, to: kind, reason }, None, now);
            told = kind;
        }
        if let Some(change) = &mut self.remember().change {
            (change.phase, change.elapsed, change.told) = (phase, Duration::ZERO, told);
            change.drained_by = None;
            change.frozen = Freezes::default();
        }
        self.enter_step(now);
    }

    fn finish(&mut self, ending: Ending, change: Change, now: Timestamp) {
        let fence = change.fence;
        let ledger = self.remember();
        ledger.change = None;
        ledger.returning = false;
        let report = match ending {
            Ending::Changed => {
                ledger.serving = change.goal;
                Report::Changed { fence }
            }
            Ending::Reverted => {
                ledger.serving = change.from.filter(|_| change.fallback);
                Report::Reverted { fence }
            }
            Ending::Abandoned(reason) => Report::Abandoned { fence, reason },
        };
        self.push_report(report, None, now);
        self.reports.ended(now);
        self.calls.collect.plan(now);
        self.begin_watch(now);
    }

    /// Starts the wait of the present phase, and plans its calls.
    pub(super) fn enter_step(&mut self, now: Timestamp) {
        self.enter(now);
        let Some(change) = &self.ledger.change else { return };
        let stuck = matches!(change.phase, Phase::Stuck { .. });
        match change.phase.step() {
            Some(Step::Checking) => self.calls.standing.plan(now),
            // A parked host finds nothing to do.
            Some(Step::Leaving | Step::Stopping | Step::Starting | Step::Joining) | None => {
                self.calls.act.plan(now);
            }
            Some(Step::Probing) => self.calls.probe.plan(now),
            Some(Step::Soaking) => {
                self.calls.probe.plan(now);
                self.calls.standing.plan(now);
            }
            Some(Step::Settling | Step::Idle) => {}
        }
        if stuck && self.expected().is_some() {
            self.calls.keep.plan(now);
        }
    }

    /// Makes the call that the present step is about, when it is due.
    pub(super) fn act(&mut self, now: Timestamp) {
        if !self.calls.act.is_due(now) {
            return;
        }
        let ticket = self.ticket();
        let Some(effect) = self.next_act(ticket) else { return self.calls.act.reset() };
        self.calls.act.sent(ticket);
        self.wait.denied = None;
        self.emit(effect);
    }

    fn next_act(&self, ticket: Ticket) -> Option<Effect> {
        let Some(change) = &self.ledger.change else { return self.returning_act(ticket) };
        let fence = change.fence;
        let headful = self.setup.headful;
        match change.phase.step() {
            Some(Step::Leaving) => {
                // One that is parked may rest for long, and is verified when it is to come back.
                let next = change.wanted().filter(|_| !change.park).map(|release| release.id.clone());
                headful.then_some(Effect::Leave { ticket, next })
            }
            Some(Step::Stopping) => Some(Effect::Stop { ticket, fence, grace: self.policy().stop_grace }),
            Some(Step::Starting) => {
                Some(Effect::VerifyAndStart { ticket, fence, release: change.wanted()?.clone() })
            }
            Some(Step::Joining) => headful.then_some(Effect::Join { ticket }),
            None if matches!(change.phase, Phase::Aborting { .. }) => {
                headful.then_some(Effect::Join { ticket })
            }
            _ => None,
        }
    }

    pub(super) fn stopped(&mut self, ticket: Ticket, result: Result<Observed, Denied>, now: Timestamp) {
        if !self.calls.act.answered(ticket) {
            return;
        }
        match result {
            Ok(observed) => {
                self.learn(observed, now);
                self.calls.act.worked();
                self.wait.acted = Some(now);
            }
            Err(denied) => self.denied("stop", denied, now),
        }
    }

    pub(super) fn started(&mut self, ticket: Ticket, result: Result<Observed, Denied>, now: Timestamp) {
        if !self.calls.act.answered(ticket) {
            return;
        }
        match result {
            Ok(observed) => {
                self.learn(observed, now);
                self.calls.act.worked();
                if self.ledger.change.is_some() {
                    self.wait.acted = Some(now);
                } else {
                    self.returned(now);
                }
            }
            Err(denied) => self.denied("start", denied, now),
        }
    }

    /// The supervisor or the store refused. Some refusals end the step, others are tried again until its deadline.
    fn denied(&mut self, what: &str, denied: Denied, now: Timestamp) {
        let (release, last, reason) = match denied {
            Denied::Stale { newest } => {
                (false, true, format!("{what}: the supervisor has seen fence {newest}, which is newer"))
            }
            Denied::Occupied { text } => (false, true, format!("{what}: {text}")),
            Denied::Exec { text } => (true, true, text),
            Denied::Fault(fault) => (false, fault.kind == FaultWord::Permanent, fault.text),
        };
        if last {
            // The store may have lost the release.
            self.calls.query_staged.plan(now);
            self.wait.denied = Some(Denial { release, reason: reason.clone() });
        }
        let backoff = if last { Backoff::STAGE } else { Backoff::KEEPER };
        self.calls.act.failed(reason, now, backoff, self.setup.seed);
    }

    /// Writes down how long the wait has lasted, so that a restarted agent goes on from there.
    pub(super) fn checkpoint(&mut self, now: Timestamp) {
        if self.checkpoint_due().is_some_and(|due| due <= now) {
            self.wait.checkpoint = now;
            let soaks = self.setup.headful
                && self
                    .ledger
                    .change
                    .as_ref()
                    .is_some_and(|change| change.phase.step() == Some(Step::Soaking));
            // Of a soak, what somebody has seen: it cannot be taken back later.
            let until = if soaks { self.wait.was_in_service() } else { now };
            let elapsed = self.wait.elapsed(until);
            if let Some(change) = &mut self.remember().change {
                change.elapsed = elapsed;
            }
        }
    }

    fn checkpoint_due(&self) -> Option<Timestamp> {
        let change = self.ledger.change.as_ref()?;
        let timed = !matches!(change.phase, Phase::Parked | Phase::Stuck { .. });
        (timed && !self.waits_for_registration()).then(|| self.wait.checkpoint + CHECKPOINT)
    }

    /// How long the present step may last.
    pub(super) fn limit(&self) -> Option<Duration> {
        let change = self.ledger.change.as_ref()?;
        let deadlines = &self.policy().deadlines;
        if matches!(change.phase, Phase::Stuck { .. }) {
            let soaking = change.phase.step() == Some(Step::Soaking);
            return soaking.then_some(self.policy().soak);
        }
        match change.phase.step() {
            Some(Step::Checking | Step::Leaving) => Some(self.drain_limit()),
            Some(Step::Settling) => Some(self.policy().settle),
            Some(Step::Starting | Step::Probing) => Some(deadlines.healthy),
            Some(Step::Joining) => Some(deadlines.join),
            Some(Step::Soaking) => Some(self.policy().soak),
            Some(Step::Stopping) => Some(self.stop_limit()),
            Some(Step::Idle) => None,
            None => matches!(change.phase, Phase::Aborting { .. }).then_some(deadlines.join),
        }
    }

    /// What is to be looked at when, of a change.
    pub(super) fn change_deadlines(&self) -> [Option<Timestamp>; 3] {
        let limit = self.limit().map(|limit| self.wait.reaches(limit));
        [limit, self.unasked_until(), self.checkpoint_due()]
    }

    /// The pause before the next reading of the standing; none where something is awaited.
    pub(super) fn standing_pause(&self) -> Option<Duration> {
        match &self.ledger.change {
            None => self.watch_standing_pause(),
            Some(change) if change.phase.step() != Some(Step::Soaking) => None,
            Some(_) if self.wait.frozen.hurries() || 0 < self.wait.not_in_service => {
                Some(STANDING_RECOVERING)
            }
            Some(_) if self.has_soaked(self.at) => Some(STANDING_SOAKING),
            Some(_) => {
                Some((self.policy().soak / SOAK_LOOKS).clamp(STANDING_SOAKING_LEAST, STANDING_SOAKING))
            }
        }
    }

    /// The pause before the next probe.
    pub(super) fn probe_pause(&self, now: Timestamp) -> Duration {
        match &self.ledger.change {
            None => self.watch_probe_pause(now),
            Some(change) if change.phase.step() == Some(Step::Soaking) => PROBE_SOAKING,
            Some(_) => self.wait.poll(self.wait.probing, now),
        }
    }
}

/// Whether the fleet is to be told of the phase. A step taken again after a reboot is not: for the fleet, phases only go on.
fn is_news(told: PhaseKind, kind: PhaseKind) -> bool {
    match (told, kind) {
        (_, PhaseKind::Stuck | PhaseKind::Parked) => false,
        (PhaseKind::Parked, _) | (PhaseKind::Aborting, PhaseKind::Reverting) => true,
        (told, kind) => told < kind,
    }
}
