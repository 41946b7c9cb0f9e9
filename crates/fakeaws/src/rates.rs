//! How often calls may be made, as AWS counts it: buckets of tokens, one used by each call, filled again with time.

use crate::{cloud::Now, faults::matches, wire::Rate};

/// The rates that are kept. A call needs a token of each that is about it.
#[derive(Debug, Default)]
pub(crate) struct Rates(Vec<Bucket>);

#[derive(Debug)]
struct Bucket {
    rate: Rate,
    /// In millionths of a token, so that nothing is lost by rounding.
    level: u64,
    filled: Now,
}

const TOKEN: u64 = 1_000_000;

impl Rates {
    /// Keeps these rates from now on, with full buckets.
    pub(crate) fn set(&mut self, rates: Vec<Rate>, now: Now) {
        let bucket = |rate: Rate| Bucket { level: u64::from(rate.burst) * TOKEN, rate, filled: now };
        self.0 = rates.into_iter().map(bucket).collect();
    }

    /// Whether this call is within all rates. One that is not uses up nothing.
    pub(crate) fn admit(&mut self, action: &str, now: Now) -> bool {
        let mut own: Vec<&mut Bucket> =
            self.0.iter_mut().filter(|bucket| matches(&bucket.rate.action, action)).collect();
        own.iter_mut().for_each(|bucket| bucket.fill(now));
        let is_within = own.iter().all(|bucket| bucket.level >= TOKEN);
        if is_within {
            own.iter_mut().for_each(|bucket| bucket.level -= TOKEN);
        }
        is_within
    }
}

impl Bucket {
    fn fill(&mut self, now: Now) {
        let passed = now.saturating_sub(self.filled);
        let gained = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
        let gained = gained.saturating_mul(self.rate.per_second.into());
        let full = u64::from(self.rate.burst) * TOKEN;
        (self.level, self.filled) = (full.min(self.level.saturating_add(gained)), now.max(self.filled));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_admitted_and_then_so_many_a_second() {
        let mut rates = Rates::default();
        let rate = |action: &str, burst, per_second| Rate { action: action.to_owned(), burst, per_second };
        rates.set(vec![rate("elb:*", 3, 2), rate("elb:slow", 1, 1)], Duration::ZERO);
        let mut admitted = |action: &str, ms| rates.admit(action, Duration::from_millis(ms));
        assert!(admitted("ec2:any", 0));
        assert!(admitted("elb:slow", 0) && !admitted("elb:slow", 0), "its own bucket is empty");
        assert!(admitted("elb:a", 0) && admitted("elb:a", 0) && !admitted("elb:a", 0));
        assert!(!admitted("elb:a", 499) && admitted("elb:a", 500) && !admitted("elb:a", 500));
        assert!(admitted("elb:a", 60_000) && admitted("elb:a", 60_000) && admitted("elb:a", 60_000));
        assert!(!admitted("elb:a", 60_000), "more than a burst was saved up");
    }
}
