//! Watches over the service between changes, and brings it back after a reboot.

use std::time::Duration;

use super::{
    Host,
    call::Backoff,
    effect::Effect,
    event::{Denied, ProcessSeen, StandingSeen, Ticket},
    seen::{Life, standing_words},
};
use crate::{
    Fence, Incarnation, Revision, Timestamp,
    fleet::{
        command::{Cause, Report},
        host::Availability,
    },
};

/// Between two probes.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// The shortest pause between two probes of a process that has not been healthy yet.
const PROBE_FIRST: Duration = Duration::from_millis(50);
/// Probes that fail in a row before the host counts as out.
const PROBE_MISSES: u32 = 3;
/// Between two readings of the standing.
const STANDING_EVERY: Duration = Duration::from_secs(10);
/// Between two readings when the last one was bad: one may be stale.
const STANDING_AGAIN: Duration = Duration::from_secs(2);
/// Bad readings in a row before the host counts as out.
const STANDING_MISSES: u32 = 2;

/// What the host holds of its own availability.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// As it was told, or would have been if it differed from what the fleet believes; none until it has looked.
    pub(super) mine: Option<Availability>,
    /// Why it is so.
    pub(super) why: Option<(Cause, String)>,
    /// It was told to be out while nothing was held against its release, because the host had been frozen.
    acquitted: bool,
}

/// How a steady service is found to be.
#[derive(Debug)]
struct Found {
    availability: Availability,
    cause: Cause,
    reason: String,
}

fn out(cause: Cause, reason: String) -> Option<Found> {
    Some(Found { availability: Availability::Out, cause, reason })
}

impl Host {
    /// A change has ended: the fleet takes the host to be in service with what it runs.
    pub(super) fn begin_watch(&mut self, now: Timestamp) {
        self.enter(now);
        let serves = self.ledger.serving.is_some();
        self.watch.mine = Some(if serves { Availability::In } else { Availability::Out });
        (self.watch.why, self.watch.acquitted) = (None, false);
        self.plan_watch(now);
    }

    /// The agent was restarted, or the machine: what ran is found again (P8), or started without asking anyone.
    pub(super) fn resume_steady(&mut self, now: Timestamp) {
        self.plan_watch(now);
        let Some(serving) = &self.ledger.serving else { return };
        let replaced =
            matches!(self.process(), Some(ProcessSeen::Running { release, .. }) if *release != serving.id);
        if !replaced && self.life(&serving.id, None) != Life::Runs {
            self.begin_return(now);
        } else if self.ledger.returning {
            self.calls.act.plan(now);
        }
    }

    fn plan_watch(&mut self, now: Timestamp) {
        if self.ledger.serving.is_some() {
            self.calls.probe.plan(now);
            self.calls.standing.plan(now);
            self.calls.keep.plan(now);
        }
    }

    fn begin_return(&mut self, now: Timestamp) {
        self.remember().returning = true;
        self.calls.act.hasten(now);
    }

    /// The process of a returning service was started.
    pub(super) fn returned(&mut self, now: Timestamp) {
        self.calls.keep.hasten(now);
        self.calls.probe.hasten(now);
    }

    /// What a service that comes back needs next: a process, then its place behind the balancer.
    pub(super) fn returning_act(&self, ticket: Ticket) -> Option<Effect> {
        let release = self.ledger.serving.clone().filter(|_| self.ledger.returning)?;
        if self.life(&release.id, None) == Life::Runs {
            return (self.setup.headful && self.is_healthy()).then_some(Effect::Join { ticket });
        }
        Some(Effect::VerifyAndStart { ticket, fence: self.newest_fence(), release })
    }

    /// The newest fence that was used here: what is started under it is refused nowhere.
    fn newest_fence(&self) -> Fence {
        let seen = self.seen.observed.as_ref().and_then(|observed| observed.fence);
        let never = Fence { incarnation: Incarnation::default(), revision: Revision(0) };
        seen.max(self.ledger.fence).unwrap_or(never)
    }

    fn is_healthy(&self) -> bool {
        !self.setup.probe || 0 < self.wait.passes
    }

    /// Looks at what was observed, and tells the fleet when the host fell out of service or came back.
    pub(super) fn watch_over(&mut self, now: Timestamp) {
        self.keep_running(now);
        if self.ledger.change.is_some() {
            return;
        }
        self.forget_freezes(now);
        self.go_on_returning(now);
        let Some(Found { availability, cause, reason }) = self.look(now) else { return };
        let before = self.watch.mine.replace(availability);
        // It has had its time to get well, and did not.
        let condemned = self.watch.acquitted && cause == Cause::Release;
        if before == Some(availability) && !condemned {
            return;
        }
        self.watch.acquitted = availability == Availability::Out
            && self.wait.frozen.acquits(self.policy().deadlines.healthy, now);
        self.watch.why = Some((cause, reason));
        if before.is_some() {
            let report = self.availability_report(availability);
            let tail = match self.process() {
                Some(ProcessSeen::Exited { fence, .. }) => Some((*fence, false)),
                _ => None,
            };
            self.push_report(report, tail, now);
            self.read_tails();
        }
    }

    pub(super) fn availability_report(&self, availability: Availability) -> Report {
        let (cause, reason) = self.watch.why.clone().unwrap_or((Cause::Surroundings, String::new()));
        let of = self.ledger.serving.as_ref().map(|release| release.id.clone());
        Report::Availability { availability, cause, reason, tail: "".into(), of }
    }

    fn go_on_returning(&mut self, now: Timestamp) {
        let Some(serving) = &self.ledger.serving else { return };
        let life = self.life(&serving.id, None);
        let stopped = self.seen.asked && self.process() == Some(&ProcessSeen::Stopped);
        if !self.ledger.returning {
            if stopped {
                self.begin_return(now);
            }
            return;
        }
        match life {
            Life::Runs if !self.is_healthy() => {}
            Life::Runs if self.setup.headful && self.wait.acted.is_none() => self.calls.act.plan(now),
            Life::Runs if self.is_in_service() => self.remember().returning = false,
            Life::Runs | Life::Ended(_) | Life::Unsure => {}
            Life::Gone => self.calls.act.plan(now),
        }
    }

    /// Whether the host is in service, whose doing that is, and why; none while it cannot tell.
    fn look(&self, now: Timestamp) -> Option<Found> {
        let (frozen, limit) = (&self.wait.frozen, self.policy().deadlines.healthy);
        let Some(serving) = &self.ledger.serving else {
            return out(Cause::Surroundings, "nothing is to run here".to_owned());
        };
        match self.life(&serving.id, None) {
            Life::Runs => {}
            Life::Ended(exit) => {
                let cause = frozen.blame(exit.blames(), limit, now);
                return out(cause, format!("{}{}", self.end_words(exit), frozen.words()));
            }
            Life::Gone => return out(Cause::Surroundings, "it does not run".to_owned()),
            Life::Unsure => return None,
        }
        if PROBE_MISSES <= self.wait.misses {
            let why = self.wait.miss.as_deref().unwrap_or("no answer");
            let text = format!("the probe failed {PROBE_MISSES} times in a row: {why}{}", frozen.words());
            // What was started anew, after a reboot say, may take its time.
            let cause = if self.ledger.returning { Cause::Surroundings } else { Cause::Release };
            return out(frozen.blame(cause, limit, now), text);
        }
        if self.ledger.returning {
            return out(Cause::Surroundings, "it was started again, and is not in service yet".to_owned());
        }
        if !self.is_healthy() {
            return None;
        }
        if self.setup.headful {
            match &self.seen.standing {
                Some(StandingSeen::InService) if 0 < self.wait.readings => {}
                Some(standing) if STANDING_MISSES <= self.wait.not_in_service => {
                    let says = standing_words(standing);
                    return out(
                        Cause::Surroundings,
                        format!("the probe passes, but the balancer says {says}"),
                    );
                }
                _ => return None,
            }
        }
        let reason = "it is healthy and in service".to_owned();
        Some(Found { availability: Availability::In, cause: Cause::Surroundings, reason })
    }

    /// Has the keeper restart the process when it exits: what was in service, or is to come back.
    fn keep_running(&mut self, now: Timestamp) {
        if !self.calls.keep.is_due(now) {
            return;
        }
        let under = match self.process() {
            Some(ProcessSeen::Running { fence, .. } | ProcessSeen::Exited { fence, .. }) => Some(*fence),
            Some(ProcessSeen::Stopped) | None => None,
        };
        let stuck = self
            .ledger
            .change
            .as_ref()
            .is_some_and(|change| change.told == crate::fleet::host::PhaseKind::Stuck);
        let Some(under) = under.filter(|_| stuck || self.ledger.change.is_none()) else {
            return self.calls.keep.reset();
        };
        let ticket = self.ticket();
        self.calls.keep.sent(ticket);
        let fence = self
            .seen
            .observed
            .as_ref()
            .and_then(|observed| observed.fence)
            .map_or(under, |newest| newest.max(under));
        self.emit(Effect::KeepRunning { ticket, fence, keep: true });
    }

    pub(super) fn kept(&mut self, ticket: Ticket, result: Result<(), Denied>, now: Timestamp) {
        if !self.calls.keep.answered(ticket) {
            return;
        }
        let trouble = match result {
            Ok(()) => return self.calls.keep.worked(),
            Err(Denied::Fault(fault)) => fault.text,
            Err(Denied::Occupied { text } | Denied::Exec { text }) => text,
            Err(Denied::Stale { newest }) => {
                self.calls.observe.plan(now);
                format!("keep it running: the supervisor has seen fence {newest}, which is newer")
            }
        };
        self.calls.keep.failed(trouble, now, Backoff::KEEPER, self.setup.seed);
    }

    pub(super) fn watch_standing_pause(&self) -> Option<Duration> {
        match self.wait.not_in_service {
            _ if self.ledger.returning => None,
            0 => Some(STANDING_EVERY),
            count if count < STANDING_MISSES => Some(STANDING_AGAIN),
            _ => Some(STANDING_EVERY),
        }
    }

    pub(super) fn watch_probe_pause(&self, now: Timestamp) -> Duration {
        if 0 < self.wait.passes {
            return PROBE_EVERY;
        }
        (self.wait.elapsed(now) / 10).clamp(PROBE_FIRST, PROBE_EVERY)
    }
}
