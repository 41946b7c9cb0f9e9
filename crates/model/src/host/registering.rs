//! Leaving the balancer and joining it: what is asked for, what came of it, and how long that may take.

use std::time::Duration;

use super::{
    Host, StandingSeen,
    call::Backoff,
    event::{FaultSeen, FaultWord, Ticket},
    phase::Step,
    seen::{Denial, POLL_LEAST},
};
use crate::Timestamp;

/// After so long without effect, leaving or joining is asked for again: another agent may have undone it.
const INSIST: Duration = Duration::from_secs(10);
/// After a drain is over by the balancer's own account, so long is left for it to say so, and for us to be told.
const DRAIN_SEEN: Duration = Duration::from_secs(30);

impl Host {
    /// What leaving or joining should have changed did not change for long: it is asked for again.
    pub(super) fn act_again(&mut self, now: Timestamp) {
        let Some(acted) = self.wait.acted.filter(|acted| INSIST <= now.since(*acted)) else { return };
        let kind = self.ledger.change.as_ref().map(|change| &change.phase);
        let leaving = kind.is_some_and(|phase| phase.step() == Some(Step::Leaving));
        let insist = match &self.seen.standing {
            Some(StandingSeen::Absent) => !leaving,
            Some(StandingSeen::Draining) => !leaving && self.ledger.change.is_some(),
            Some(StandingSeen::Initial | StandingSeen::InService | StandingSeen::Unhealthy { .. }) => leaving,
            None => false,
        };
        if insist {
            self.wait.acted = Some(acted.max(now));
            self.calls.act.plan(now);
        }
    }

    pub(super) fn left(
        &mut self,
        ticket: Ticket,
        result: Result<Option<Duration>, FaultSeen>,
        now: Timestamp,
    ) {
        if !self.calls.act.answered(ticket) {
            return;
        }
        // What was told first: a target that is registered again and again by somebody else has its deadline all the same.
        if let (Ok(Some(drain)), None) = (&result, self.wait.drained_by) {
            let by = Some(self.wait.elapsed(now).saturating_add(*drain));
            self.wait.drained_by = by;
            if let Some(change) = &mut self.remember().change {
                change.drained_by = by;
            }
        }
        self.balanced(result.map(drop), now);
    }

    pub(super) fn joined(&mut self, ticket: Ticket, result: Result<(), FaultSeen>, now: Timestamp) {
        if self.calls.act.answered(ticket) {
            self.balanced(result, now);
        }
    }

    fn balanced(&mut self, result: Result<(), FaultSeen>, now: Timestamp) {
        match result {
            Ok(()) => {
                self.calls.act.worked();
                if self.waits_for_registration() && self.wait.before.is_zero() {
                    // The deadline counts from the registration, however long that took.
                    (self.wait.began, self.wait.checkpoint) = (now, now);
                }
                self.wait.acted = Some(now);
                self.calls.standing.hasten(now + POLL_LEAST);
            }
            Err(fault) => {
                if fault.kind == FaultWord::Permanent {
                    self.wait.denied = Some(Denial { release: false, reason: fault.text.clone() });
                }
                self.calls.act.failed(fault.text, now, Backoff::BALANCER, self.setup.seed);
                // It may have worked, and only the answer was lost.
                self.calls.standing.plan(now + POLL_LEAST);
            }
        }
    }

    /// It joins, and the balancer has not taken note of it yet.
    pub(super) fn waits_for_registration(&self) -> bool {
        let step = self.ledger.change.as_ref().and_then(|change| change.phase.step());
        step == Some(Step::Joining) && self.wait.acted.is_none()
    }

    /// How long a drain may last: as long as the policy says, and not given up while it goes on by the balancer's own account. What does not
    /// run has nothing to drain, and waits for an answer only.
    pub(super) fn drain_limit(&self) -> Duration {
        let told =
            self.wait.drained_by.filter(|_| !self.nothing_runs()).map(|by| by.saturating_add(DRAIN_SEEN));
        self.policy().deadlines.drain.max(told.unwrap_or_default())
    }
}
