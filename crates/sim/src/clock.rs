//! The boot-time clock of one host: it began at some moment, and runs a little too fast or too slow.

use model::Timestamp;

use crate::At;

/// A clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// True time of its zero, and what it showed then.
    began: At,
    offset: u64,
    /// Its milliseconds in a thousand true ones.
    rate: u64,
}

impl Clock {
    /// A clock that shows `offset` at `began`, and counts `rate` milliseconds in a thousand.
    #[must_use]
    pub(crate) fn new(began: At, offset: u64, rate: u64) -> Self {
        Self { began, offset, rate }
    }

    /// What it shows.
    #[must_use]
    pub(crate) fn read(&self, at: At) -> Timestamp {
        Timestamp(self.offset + at.saturating_sub(self.began) * self.rate / 1000)
    }

    /// The first true moment at which it shows this.
    #[must_use]
    pub(crate) fn when(&self, shows: Timestamp) -> At {
        self.began + (shows.0.saturating_sub(self.offset) * 1000).div_ceil(self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_met_when_the_clock_shows_it_and_not_before() {
        for rate in [950, 999, 1000, 1007, 1050] {
            let clock = Clock::new(77, 500_000, rate);
            for shows in (500_000..500_400).map(Timestamp) {
                let at = clock.when(shows);
                assert!(shows <= clock.read(at), "{rate}: {shows:?}");
                assert!(at == 77 || clock.read(at - 1) < shows, "{rate}: {shows:?}");
            }
        }
    }
}
