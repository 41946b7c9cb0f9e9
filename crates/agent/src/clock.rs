//! The boot-time clock: it counts while the machine sleeps, and nobody can set it.

use std::time::Duration;

use model::{Timestamp, time::WallTime};
use rustix::time::{ClockId, clock_gettime};

/// The time now, of this machine's boot-time clock.
#[must_use]
pub fn now() -> Timestamp {
    let time = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    Timestamp(seconds.unwrap_or_default() * 1000 + nanos.unwrap_or_default() / 1_000_000)
}

/// The time of day, for people. Nothing else of the agent asks for it.
#[must_use]
pub fn wall() -> WallTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX).saturating_add_signed(wrong_by()))
}

/// By how much a test wants this host's clock to be wrong, in milliseconds: no system has one for each process. Not in a release build.
fn wrong_by() -> i64 {
    let asked = cfg!(debug_assertions).then(|| std::env::var("DEPLOYINATOR_WRONG_CLOCK_MS").ok()).flatten();
    asked.and_then(|ms| ms.parse().ok()).unwrap_or_default()
}

/// Returns when the moment has come; never, when there is none.
pub async fn sleep_until(moment: Option<Timestamp>) {
    let Some(moment) = moment else { return std::future::pending().await };
    loop {
        let left = moment.since(now());
        if left.is_zero() {
            return;
        }
        // Timers do not count a sleep of the machine, so that long waits look at the clock again.
        tokio::time::sleep(left.min(Duration::from_secs(1))).await;
    }
}
