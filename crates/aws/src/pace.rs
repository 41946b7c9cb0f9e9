//! How often anything is asked.
//!
//! [`Bucket`] bounds all calls of one agent, whatever waits for what: AWS counts per account, and a fleet that rolls is not to starve anybody
//! else. [`Rhythm`] is when the inventory is asked again.

use std::time::Duration;

/// Calls that one agent makes in a second at most, in the long run.
pub const CALLS_PER_SECOND: u32 = 5;
/// Calls that it may make at once after a rest.
pub const BURST: u32 = 20;
/// Longest wait for a turn. Whoever would wait longer is told so instead, and asks again later.
pub const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// Turns to call, a number of them a second. Time is what the caller says it is.
#[derive(Debug)]
pub struct Bucket {
    /// The time at which the last turn that was given out is due.
    due: Duration,
    /// Between two turns.
    every: Duration,
    /// How far behind `due` may be.
    slack: Duration,
}

impl Default for Bucket {
    fn default() -> Self {
        Self::new(CALLS_PER_SECOND, BURST)
    }
}

impl Bucket {
    /// So many calls a second, and so many at once after a rest. Neither is 0.
    #[must_use]
    pub fn new(calls_per_second: u32, burst: u32) -> Self {
        let every = Duration::from_secs(1) / calls_per_second.max(1);
        Self { due: Duration::ZERO, every, slack: every * burst.max(1) }
    }

    /// Takes a turn at `now`, which never goes back. Returns how long to wait for it; none when that is too long, and no turn is taken.
    pub fn take(&mut self, now: Duration) -> Option<Duration> {
        // A rest fills it, up to the burst: shifted by it, so that nothing is below zero.
        let due = self.due.max(now) + self.every;
        let wait = due.saturating_sub(now + self.slack);
        if LONGEST_WAIT < wait {
            return None;
        }
        self.due = due;
        Some(wait)
    }
}

/// Shortest time between two questions to the inventory: just after something has changed, as when a fleet starts.
const QUICK: Duration = Duration::from_secs(2);
/// Longest time between two, after many failures.
const SLOW: Duration = Duration::from_secs(300);

/// When the inventory is asked again.
#[derive(Debug)]
pub struct Rhythm {
    poll: Duration,
    pause: Duration,
    failures: u32,
}

/// How a question went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Went {
    /// It was answered, and something was different.
    Changed,
    /// It was answered, with the same as before.
    Same,
    /// It was not answered.
    Failed,
}

impl Rhythm {
    /// `poll` is the time between two questions while nothing changes.
    #[must_use]
    pub fn new(poll: Duration) -> Self {
        Self { poll, pause: QUICK.min(poll), failures: 0 }
    }

    /// The pause after a question that went like this: short after a change, then longer and longer. `chance` is from 0 to 1, and spreads
    /// the hosts of a fleet that were started together by a fifth.
    pub fn next(&mut self, went: Went, chance: f64) -> Duration {
        match went {
            Went::Failed => self.failures = self.failures.saturating_add(1),
            Went::Changed => (self.failures, self.pause) = (0, QUICK.min(self.poll)),
            Went::Same => (self.failures, self.pause) = (0, (self.pause * 3 / 2).min(self.poll)),
        }
        let backoff = match self.failures {
            0 => self.pause,
            failures => (QUICK * 2_u32.saturating_pow(failures.min(16))).min(SLOW),
        };
        backoff.mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// When calls are made that are wanted at these times, as fast as they may be.
    fn made(bucket: &mut Bucket, wanted: impl IntoIterator<Item = Duration>) -> Vec<Duration> {
        let mut free = Duration::ZERO;
        let call = |at: Duration| {
            let now = at.max(free);
            free = now + bucket.take(now)?;
            Some(free)
        };
        wanted.into_iter().filter_map(call).collect()
    }

    #[test]
    fn never_more_than_the_burst_and_the_rate_in_any_time() {
        let mut bucket = Bucket::new(5, 20);
        let wanted = (0..2000).map(|n| ms(n * 13)).chain((0..200).map(|n| ms(60_000 + n)));
        let made = made(&mut bucket, wanted);
        for (n, first) in made.iter().enumerate() {
            for (m, last) in made.iter().enumerate().skip(n) {
                let most = 20.0 + (*last - *first).as_secs_f64() * 5.0 + 1.0;
                assert!((m - n + 1) as f64 <= most, "{} calls in {:?}", m - n + 1, *last - *first);
            }
        }
        assert!(100 < made.len(), "{}", made.len());
    }

    #[test]
    fn whoever_would_wait_long_is_told_so() {
        let mut bucket = Bucket::new(1, 1);
        assert_eq!(bucket.take(ms(0)), Some(ms(0)));
        assert_eq!(bucket.take(ms(0)), Some(ms(1000)));
        assert_eq!(bucket.take(ms(0)), Some(ms(2000)));
        assert_eq!(bucket.take(ms(0)), Some(ms(3000)));
        assert_eq!(bucket.take(ms(0)), None, "it would be the fifth second");
        assert_eq!(bucket.take(ms(2000)), Some(ms(2000)), "no turn was lost by asking");
    }

    #[test]
    fn after_a_change_it_asks_soon_and_then_ever_less_often() {
        let mut rhythm = Rhythm::new(Duration::from_secs(30));
        let mut last = rhythm.next(Went::Changed, 0.5);
        assert_eq!(last, Duration::from_secs(2));
        for _ in 0..20 {
            let next = rhythm.next(Went::Same, 0.5);
            assert!(last <= next && next <= Duration::from_secs(30), "{next:?}");
            last = next;
        }
        assert_eq!(last, Duration::from_secs(30));
        assert_eq!(rhythm.next(Went::Changed, 0.5), Duration::from_secs(2));
    }

    #[test]
    fn failures_make_it_patient_and_an_answer_ends_that() {
        let mut rhythm = Rhythm::new(Duration::from_secs(30));
        let pauses: Vec<u64> = (0..9).map(|_| rhythm.next(Went::Failed, 0.5).as_secs()).collect();
        assert_eq!(pauses, [4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(rhythm.next(Went::Same, 0.5), Duration::from_secs(3));
    }

    #[test]
    fn hosts_that_were_started_together_do_not_ask_together() {
        let pause = |chance| Rhythm::new(Duration::from_secs(10)).next(Went::Changed, chance);
        assert_eq!((pause(0.0), pause(1.0)), (ms(1600), ms(2400)));
    }
}
