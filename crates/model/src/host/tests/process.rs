//! The service's process, as the world's supervisor runs it.

use std::time::Duration;

use super::{
    balancer::Place,
    world::{Happening, World},
};
use crate::{
    Fence, ReleaseId, Timestamp,
    host::{Event, ExitSeen, Miss, Observed, ProcessSeen},
};

/// How a release behaves once it is started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Behaviour {
    pub(super) exits: Option<(Duration, i32)>,
    pub(super) healthy: Option<Duration>,
    pub(super) in_service: Option<Duration>,
}

pub(super) const GOOD: Behaviour = Behaviour {
    exits: None,
    healthy: Some(Duration::from_millis(300)),
    in_service: Some(Duration::from_secs(1)),
};

/// A process that runs and is ready.
pub(super) fn running(release: ReleaseId, fence: Fence, pid: u32, restarts: u32) -> ProcessSeen {
    ProcessSeen::Running { release, fence, pid, restarts, ready: true, status: None }
}

impl World {
    pub(super) fn is_running(&mut self, id: &str, under: Fence) {
        self.pid += 1;
        self.process = running(id.parse().unwrap(), under, self.pid, 0);
        (self.keep, self.newest, self.started) = (true, Some(under), Timestamp(0));
        self.place = if self.setup.headful { Place::Joined(Timestamp(0)) } else { Place::Absent };
    }

    /// The machine goes down and comes up: nothing runs, and nobody saw how it ended.
    pub(super) fn reboot(&mut self) {
        if let ProcessSeen::Running { release, fence, .. } = self.process.clone() {
            self.process =
                ProcessSeen::Exited { release, fence, exit: ExitSeen::Unknown, restarts: 0, note: None };
        }
        self.change += 1;
        self.keep = false;
        self.crash();
    }

    /// The whole machine stands still for so long: its service does nothing meanwhile. The balancer finds it unhealthy, and for `ill` more.
    pub(super) fn freeze(&mut self, length: Duration, ill: Duration) {
        self.now = self.now + length;
        self.started = self.started + length;
        self.unhealthy_until = self.now + ill;
    }

    pub(super) fn process_exits(&mut self, of: u32) {
        if let ProcessSeen::Running { release, fence, pid, restarts, .. } = self.process.clone()
            && pid == of
        {
            let code = self.behaviour(&release).exits.map_or(1, |(_, code)| code);
            self.process = ProcessSeen::Exited {
                release,
                fence,
                exit: ExitSeen::Code(code),
                restarts,
                note: self.note.clone(),
            };
            self.restart_if_kept();
            self.news();
        }
    }

    pub(super) fn process_restarts(&mut self, of: u32) {
        if let ProcessSeen::Exited { release, fence, restarts, .. } = self.process.clone()
            && of == self.pid
            && self.keep
        {
            // What the store has lost cannot be started; it is tried again.
            match self.staged.contains(&release) {
                true => self.run_process(release, fence, restarts + 1),
                false => self.restart_if_kept(),
            }
            self.news();
        }
    }

    pub(super) fn restart_if_kept(&mut self) {
        if self.keep && matches!(self.process, ProcessSeen::Exited { .. }) {
            let pid = self.pid;
            self.schedule(self.now + Duration::from_millis(500), Happening::Restart(pid));
        }
    }

    pub(super) fn exit_now(&mut self) {
        let pid = self.pid;
        self.schedule(self.now, Happening::Exit(pid));
    }

    pub(super) fn run_process(&mut self, release: ReleaseId, fence: Fence, restarts: u32) {
        self.pid += 1;
        self.started = self.now;
        if let Some((after, _)) = self.behaviour(&release).exits {
            let pid = self.pid;
            self.schedule(self.now + after, Happening::Exit(pid));
        }
        self.process = running(release, fence, self.pid, restarts);
    }

    pub(super) fn news(&mut self) {
        self.change += 1;
        let observed = self.observed();
        self.later(1, Event::ProcessChanged(observed));
    }

    pub(super) fn observed(&self) -> Observed {
        Observed {
            change: self.change,
            process: self.process.clone(),
            migration: self.migration.clone(),
            fence: self.newest,
            instances: self.instances.clone(),
        }
    }

    pub(super) fn behaviour(&self, release: &ReleaseId) -> Behaviour {
        self.behaviours.get(release.as_str()).copied().unwrap_or(GOOD)
    }

    pub(super) fn running(&self) -> Option<&str> {
        match &self.process {
            ProcessSeen::Running { release, .. } => Some(release.as_str()),
            _ => None,
        }
    }

    pub(super) fn is_healthy(&self) -> bool {
        match &self.process {
            ProcessSeen::Running { release, .. } => {
                self.behaviour(release).healthy.is_some_and(|after| self.started + after <= self.now)
            }
            _ => false,
        }
    }

    pub(super) fn probe(&self) -> Result<(), Miss> {
        match self.keeper_is_silent {
            true => Err(Miss::Unasked("observe through the keeper of web: no answer".to_owned())),
            false if self.is_healthy() => Ok(()),
            false => Err(Miss::Service("connection refused".to_owned())),
        }
    }
}
