//! What the keeper remembers of a program only while it runs itself. What must outlive the keeper is in the record.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ports::supervisor::Exit;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{processes::Identity, protocol::Reply};

/// First pause before a service that ended unasked is started again. Doubles with each quick end.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause before a restart.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A service that ran this long is not in a loop of crashes.
const STEADY_AFTER: Duration = Duration::from_secs(30);

/// The service or the migration, of which one process at most runs at a time.
#[derive(Debug)]
pub(super) struct Lane {
    /// The last process, also when it ended: what is left of its group is found by it.
    pub(super) identity: Option<Identity>,
    /// Whether that process lives.
    pub(super) alive: bool,
    /// Whether it is our child. An adopted one's exit cannot be seen, only its end.
    pub(super) owned: bool,
    /// Waits for an adopted process's end.
    pub(super) vigil: Option<JoinHandle<()>>,
    /// What it was started with, files included, if this keeper started it.
    pub(super) environment: Option<BTreeMap<String, String>>,
    pub(super) started: Instant,
    pub(super) stopping: Option<Stopping>,
    /// When it is started again.
    pub(super) restart_at: Option<Instant>,
    pause: Duration,
}

/// A stop under way.
#[derive(Debug)]
pub(super) struct Stopping {
    /// SIGKILL from then on.
    pub(super) until: Instant,
    /// How the head of the group ended, once it did.
    pub(super) exit: Exit,
    /// Who asked.
    pub(super) waiting: Vec<oneshot::Sender<Reply>>,
}

impl Lane {
    pub(super) fn new() -> Self {
        Self {
            identity: None,
            alive: false,
            owned: false,
            vigil: None,
            environment: None,
            started: Instant::now(),
            stopping: None,
            restart_at: None,
            pause: FIRST_PAUSE,
        }
    }

    /// A process runs from now on.
    pub(super) fn up(&mut self, identity: Identity, vigil: Option<JoinHandle<()>>) {
        self.identity = Some(identity);
        self.alive = true;
        self.owned = vigil.is_none();
        self.vigil = vigil;
        self.started = Instant::now();
        self.restart_at = None;
    }

    /// Whether anything of it may still be there.
    pub(super) fn is_busy(&self) -> bool {
        self.alive || self.stopping.is_some()
    }

    /// A stop begins: killed at `until`, answered when gone.
    pub(super) fn expect_end(&mut self, until: Instant, reply: Option<oneshot::Sender<Reply>>) {
        self.stopping = Some(Stopping { until, exit: Exit::Unknown, waiting: reply.into_iter().collect() });
    }

    /// Plans the next start, later with each quick end.
    pub(super) fn plan_restart(&mut self, now: Instant) {
        if now.duration_since(self.started) >= STEADY_AFTER {
            self.pause = FIRST_PAUSE;
        }
        self.restart_at = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// Forgets restarts: a caller decides anew.
    pub(super) fn calm(&mut self) {
        self.restart_at = None;
        self.pause = FIRST_PAUSE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_limit_and_begin_anew_after_a_steady_run() {
        let mut lane = Lane::new();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let now = lane.started + Duration::from_secs(1);
            lane.plan_restart(now);
            pauses.push(lane.restart_at.unwrap().duration_since(now).as_millis());
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        let now = lane.started + STEADY_AFTER;
        lane.plan_restart(now);
        assert_eq!(lane.restart_at.unwrap().duration_since(now), FIRST_PAUSE);
    }
}
