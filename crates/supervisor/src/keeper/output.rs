//! Keeps what programs write within its limit, however fast they write.
//!
//! Nobody stands between a program and its file, so it is looked at, and cut: the sooner, the faster it grows. A program that
//! writes nothing wakes nobody; its next write does.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc,
    task::JoinHandle,
};

use super::state::{Event, Keeper};
use crate::logs::{self, Writer};

/// Shortest pause between two looks.
const LEAST: Duration = Duration::from_millis(2);
/// Longest pause between two looks while something is written.
const MOST: Duration = Duration::from_millis(250);
/// Whoever wrote nothing for so long is quiet.
const QUIET_AFTER: Duration = Duration::from_millis(16);
/// Between two looks while the next write wakes the keeper, in case it does not.
const WATCHED: Duration = Duration::from_secs(10);
/// Between two looks at a quiet program whose next write wakes nobody.
const UNWATCHED: Duration = Duration::from_millis(250);
/// Looks until a program that goes on as it does has written this part of its limit.
const PART: u32 = 4;
/// Longest log of the keeper itself, in bytes.
const OWN_LOG_LIMIT_BYTES: u64 = 256 << 10;

/// How fast it grows.
#[derive(Debug)]
pub(super) struct Growth {
    bytes: u64,
    looked: Instant,
    pause: Duration,
}

impl Growth {
    pub(super) fn new(now: Instant) -> Self {
        Self { bytes: 0, looked: now, pause: LEAST }
    }

    /// Something is written after a time of quiet: nobody knows yet how fast. Returns when to look.
    fn wake(&mut self, now: Instant) -> Instant {
        (self.looked, self.pause) = (now, LEAST);
        now + LEAST
    }

    /// Whether anything was written, or cut, since the last look.
    fn is_new(&self, bytes: u64) -> bool {
        bytes != self.bytes
    }

    /// The pause before the next look; none when all is quiet.
    fn next(&mut self, bytes: u64, limit_bytes: u64, now: Instant) -> Option<Duration> {
        let last = std::mem::replace(&mut self.bytes, bytes);
        let took = now.duration_since(std::mem::replace(&mut self.looked, now));
        if bytes == last && QUIET_AFTER <= self.pause {
            return None;
        }
        self.pause = match bytes.checked_sub(last) {
            // It was cut: it reached its limit before it was looked at.
            None => self.pause / 2,
            Some(0) => self.pause * 2,
            Some(grown) => {
                let part = (limit_bytes / u64::from(PART)) as f64 / grown as f64;
                Duration::try_from_secs_f64(took.as_secs_f64() * part).unwrap_or(MOST).min(self.pause * 2)
            }
        };
        self.pause = self.pause.clamp(LEAST, MOST);
        Some(self.pause)
    }
}

/// Wakes the keeper once, at the next write to any file of a directory.
#[derive(Debug)]
pub(super) struct Alarm {
    notices: Arc<AsyncFd<OwnedFd>>,
    dir: PathBuf,
    task: JoinHandle<()>,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Alarm {
    /// An alarm that is not armed yet.
    pub(super) fn new(dir: &Path, events: &mpsc::Sender<Event>) -> io::Result<Self> {
        let notices = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let notices = Arc::new(super::watch_fd(notices, Interest::READABLE)?);
        let task = tokio::spawn(listen(Arc::clone(&notices), events.clone()));
        Ok(Self { notices, dir: dir.to_owned(), task })
    }

    fn arm(&self) -> io::Result<()> {
        let once = WatchFlags::MODIFY | WatchFlags::ONESHOT | WatchFlags::ONLYDIR;
        inotify::add_watch(self.notices.get_ref(), &self.dir, once)?;
        Ok(())
    }
}

async fn listen(notices: Arc<AsyncFd<OwnedFd>>, events: mpsc::Sender<Event>) {
    while let Ok(mut ready) = notices.readable().await {
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(notices.get_ref(), &mut space);
        // What they say is known: there was a write.
        while reader.next().is_ok() {}
        ready.clear_ready();
        if events.send(Event::Wrote).await.is_err() {
            return;
        }
    }
}

impl Keeper {
    /// Something is written.
    pub(super) fn wrote(&mut self) {
        self.logs_due = self.growth.wake(Instant::now());
    }

    /// Cuts what is too long, and plans the next look.
    pub(super) fn look_at_logs(&mut self) {
        let limit = self.log_limit_bytes();
        let bounded = self.logs.bound(limit);
        let _ = logs::bound(&self.dir.join(logs::OWN), OWN_LOG_LIMIT_BYTES);
        if bounded.as_ref().is_ok_and(|bytes| self.growth.is_new(*bytes)) {
            // Not when all is quiet: it would seem to be written to.
            Writer::ALL
                .into_iter()
                .filter(|writer| self.lane(*writer).alive)
                .for_each(|each| self.keep_room(each));
        }
        let now = Instant::now();
        let pause = match bounded {
            Ok(bytes) => self.growth.next(bytes, limit, now).unwrap_or_else(|| self.quiet()),
            Err(error) => {
                tracing::warn!(%error, "bound the logs");
                UNWATCHED
            }
        };
        self.logs_due = now + pause;
    }

    /// Waits for the next write.
    fn quiet(&self) -> Duration {
        match self.alarm.as_ref().map(Alarm::arm) {
            Some(Ok(())) => WATCHED,
            // The system has only so many watches.
            Some(Err(_)) | None => UNWATCHED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Pauses in milliseconds, when it grows so many bytes in each millisecond and is never cut.
    fn pauses(per_ms: u64, limit_bytes: u64, looks: usize) -> Vec<Option<u128>> {
        let mut now = Instant::now();
        let mut growth = Growth::new(now);
        let mut bytes = 0;
        let mut due = growth.wake(now);
        let mut found = Vec::new();
        for _ in 0..looks {
            bytes += per_ms * u64::try_from(due.duration_since(now).as_millis()).unwrap();
            now = due;
            let pause = growth.next(bytes, limit_bytes, now);
            found.push(pause.map(|pause| pause.as_millis()));
            due = now + pause.unwrap_or(WATCHED);
        }
        found
    }

    #[test]
    fn who_writes_nothing_more_is_quiet_soon() {
        assert_eq!(pauses(0, MIB, 5), [Some(4), Some(8), Some(16), None, None]);
    }

    #[test]
    fn who_writes_little_is_looked_at_ever_more_rarely() {
        let some = [4, 8, 16, 32, 64, 128, 250, 250].map(Some);
        assert_eq!(pauses(1, MIB, 8), some);
    }

    #[test]
    fn who_writes_fast_is_looked_at_before_it_has_filled_its_room() {
        // A gigabyte a second fills a quarter of 16 MiB in 4 ms.
        assert_eq!(pauses(MIB, 16 * MIB, 5), [Some(4); 5]);
        assert_eq!(pauses(100 * MIB, MIB, 3), [Some(2); 3]);
    }

    #[test]
    fn what_had_to_be_cut_is_looked_at_sooner() {
        let now = Instant::now();
        let mut growth = Growth { bytes: MIB, looked: now, pause: MOST };
        let later = |ms| now + Duration::from_millis(ms);
        assert_eq!(growth.next(MIB / 2, MIB, later(250)), Some(MOST / 2));
        assert_eq!(growth.next(MIB / 4, MIB, later(375)), Some(MOST / 4));
    }
}
