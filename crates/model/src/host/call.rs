//! One kind of call to the outside: at most one is under way, and a failed one is made again after a growing pause.

use std::time::Duration;

use super::event::Ticket;
use crate::Timestamp;

/// How the pauses grow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    pub(super) first: Duration,
    pub(super) most: Duration,
}

impl Backoff {
    /// For the store: fetching again costs much.
    pub(super) const STAGE: Self = Self { first: Duration::from_secs(1), most: Duration::from_secs(30) };
    /// For the balancer: its API throttles.
    pub(super) const BALANCER: Self =
        Self { first: Duration::from_millis(500), most: Duration::from_secs(15) };
    /// For the keeper, which is a neighbour.
    pub(super) const KEEPER: Self = Self { first: Duration::from_millis(200), most: Duration::from_secs(5) };

    /// The pause after so many failures: doubled with each, a fifth more or less by `seed`.
    pub(super) fn pause(self, failures: u32, seed: u64) -> Duration {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(failures.min(16)));
        doubled.min(self.most) * spread(seed, failures) / 100
    }
}

/// A number from 80 to 120 that looks drawn, but is the same for the same input.
fn spread(seed: u64, round: u32) -> u32 {
    let mixed =
        (seed ^ u64::from(round)).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
    80 + u32::try_from((mixed >> 33) % 41).unwrap_or(20)
}

/// Longest wait for the answer to a call whose purpose is gone, before another one is made all the same.
const SUPERSEDED_LIMIT: Duration = Duration::from_secs(180);

#[derive(Debug, Clone, Default)]
enum State {
    #[default]
    Idle,
    Due(Timestamp),
    Out(Ticket),
    /// Its answer no longer matters, but the next call must not overtake it.
    Superseded {
        ticket: Ticket,
        until: Timestamp,
        then: Option<Timestamp>,
    },
}

/// One kind of call.
#[derive(Debug, Clone, Default)]
pub(super) struct Call {
    state: State,
    failures: u32,
    trouble: Option<String>,
    /// Since when it has not worked.
    failing: Option<Timestamp>,
}

impl Call {
    /// Makes the call at `at`, unless one is under way or due already.
    pub(super) fn plan(&mut self, at: Timestamp) {
        match &mut self.state {
            State::Idle => self.state = State::Due(at),
            State::Superseded { then, .. } => *then = Some(then.map_or(at, |then| then.min(at))),
            State::Due(_) | State::Out(_) => {}
        }
    }

    /// Makes a call that is planned for later at `at`; plans none.
    pub(super) fn advance(&mut self, at: Timestamp) {
        if let State::Due(due) = &mut self.state {
            *due = (*due).min(at);
        }
    }

    /// Makes the call at `at` at the latest, unless one is under way.
    pub(super) fn hasten(&mut self, at: Timestamp) {
        match &mut self.state {
            State::Due(due) => *due = (*due).min(at),
            _ => self.plan(at),
        }
    }

    /// Forgets the call; an answer to one that is under way is dropped.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Forgets the call, but lets the next one wait until the one under way was answered.
    pub(super) fn supersede(&mut self, now: Timestamp) {
        let state = match self.state {
            State::Out(ticket) => State::Superseded { ticket, until: now + SUPERSEDED_LIMIT, then: None },
            State::Superseded { ticket, until, .. } => State::Superseded { ticket, until, then: None },
            State::Idle | State::Due(_) => State::Idle,
        };
        *self = Self { state, ..Self::default() };
    }

    /// Whether the call is to be made now.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.deadline().is_some_and(|due| due <= now)
    }

    pub(super) fn is_out(&self) -> bool {
        matches!(self.state, State::Out(_))
    }

    /// Whether its answer has not come yet, whether that matters or not.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.state, State::Out(_) | State::Superseded { .. })
    }

    /// Whether it is under way or planned.
    pub(super) fn is_wanted(&self) -> bool {
        match self.state {
            State::Due(_) | State::Out(_) => true,
            State::Superseded { then, .. } => then.is_some(),
            State::Idle => false,
        }
    }

    /// When the call is to be made.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match self.state {
            State::Due(at) => Some(at),
            State::Superseded { until, then, .. } => then.map(|_| until),
            State::Idle | State::Out(_) => None,
        }
    }

    /// The call was made.
    pub(super) fn sent(&mut self, ticket: Ticket) {
        self.state = State::Out(ticket);
    }

    /// Whether an answer with this ticket is waited for. It no longer is from now on.
    pub(super) fn answered(&mut self, ticket: Ticket) -> bool {
        match self.state {
            State::Out(out) if out == ticket => {
                self.state = State::Idle;
                true
            }
            State::Superseded { ticket: out, then, .. } if out == ticket => {
                self.state = then.map_or(State::Idle, State::Due);
                false
            }
            _ => false,
        }
    }

    /// The answer was a good one.
    pub(super) fn worked(&mut self) {
        (self.failures, self.trouble, self.failing) = (0, None, None);
    }

    /// The answer was a fault: the call is made again after a pause.
    pub(super) fn failed(&mut self, trouble: String, now: Timestamp, backoff: Backoff, seed: u64) {
        self.state = State::Due(now + backoff.pause(self.failures, seed));
        self.failures += 1;
        self.trouble = Some(trouble);
        self.failing.get_or_insert(now);
    }

    /// The time in which it did not work counts from here on.
    pub(super) fn fails_anew(&mut self, now: Timestamp) {
        self.failing = self.failing.map(|_| now);
    }

    /// Since when it has not worked; none where it did the last time.
    pub(super) fn failing(&self) -> Option<Timestamp> {
        self.failing
    }

    /// What went wrong last.
    pub(super) fn fault(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// What went wrong last, and when it is tried again.
    pub(super) fn trouble(&self, now: Timestamp) -> Option<String> {
        let trouble = self.trouble.as_ref()?;
        Some(match self.state {
            State::Due(at) if now < at => format!("{trouble}; next try in {}", super::words(at.since(now))),
            _ => format!("{trouble}; tried again now"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_differ_between_hosts() {
        let pauses: Vec<_> = (0..8).map(|n| Backoff::STAGE.pause(n, 7).as_millis()).collect();
        for (n, pause) in pauses.iter().enumerate() {
            let plain = (1000 << n).min(30_000);
            assert!((plain * 8 / 10..=plain * 12 / 10).contains(pause), "after {n} failures: {pause} ms");
        }
        let other: Vec<_> = (0..8).map(|n| Backoff::STAGE.pause(n, 8).as_millis()).collect();
        assert_ne!(pauses, other);
    }

    #[test]
    fn a_superseded_call_holds_the_next_one_back_until_it_is_answered() {
        let mut call = Call::default();
        call.plan(Timestamp(0));
        call.sent(Ticket(1));
        call.supersede(Timestamp(5));
        call.plan(Timestamp(5));
        assert!(!call.is_due(Timestamp(5)), "the first call is still under way");
        assert!(!call.answered(Ticket(1)), "its answer no longer matters");
        assert!(call.is_due(Timestamp(5)));
    }

    #[test]
    fn a_superseded_call_that_is_never_answered_holds_nothing_for_ever() {
        let mut call = Call::default();
        call.sent(Ticket(1));
        call.supersede(Timestamp(0));
        call.plan(Timestamp(0));
        assert!(call.is_due(Timestamp(0) + SUPERSEDED_LIMIT));
    }

    #[test]
    fn only_its_own_answer_frees_a_superseded_call() {
        let mut call = Call::default();
        call.sent(Ticket(1));
        call.supersede(Timestamp(5));
        call.plan(Timestamp(5));
        assert!(!call.answered(Ticket(2)));
        assert!(!call.is_due(Timestamp(5)), "the first call is still under way");
    }

    #[test]
    fn a_fault_is_told_with_the_next_try_and_lasts_since_it_began_or_since_the_host_was_frozen() {
        let mut call = Call::default();
        let fails = |call: &mut Call, ms| {
            call.sent(Ticket(1));
            assert!(call.answered(Ticket(1)));
            call.failed("no route".into(), Timestamp(ms), Backoff::STAGE, 7);
        };
        fails(&mut call, 10);
        fails(&mut call, 5_000);
        assert_eq!(call.failing(), Some(Timestamp(10)));
        let due = call.deadline().unwrap();
        let trouble = call.trouble(Timestamp(5_000)).unwrap();
        assert!(trouble.starts_with("no route; next try in "), "{trouble}");
        assert_eq!(call.trouble(due).as_deref(), Some("no route; tried again now"));
        call.fails_anew(Timestamp(9_000));
        assert_eq!(call.failing(), Some(Timestamp(9_000)));
        call.worked();
        call.fails_anew(Timestamp(9_500));
        assert_eq!((call.failing(), call.fault()), (None, None));
    }
}
