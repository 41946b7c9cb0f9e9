//! How well a service is, as its host sees it. Each word is more than the one before: up, ready, healthy, in service.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Host,
    event::ProcessSeen,
    seen::{exit_words, standing_words},
};
use crate::Timestamp;

/// How well a service is on one host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    /// Its processes: one for each instance that it was started with. None before the supervisor has said what runs.
    pub instances: Vec<Instance>,
    /// How many instances it is to have from its next start on, where that is another number.
    pub instances_wanted: Option<u32>,
    /// Whether it has said that it is ready; none where that is not asked of it, or where it does not run.
    pub ready: Option<bool>,
    /// What it said of itself last.
    pub status: Option<String>,
    /// The last probe of these processes; none before the first, and where there is nothing to probe.
    pub probe: Option<Probe>,
    /// What the balancer said last, in its words; none before its first answer, and for a headless service.
    pub standing: Option<String>,
}

/// One process of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its process id, while it is up.
    pub pid: Option<u32>,
    /// How often the keeper restarted it.
    pub restarts: u32,
    /// How it ended, in words, if it did so unasked.
    pub ended: Option<String>,
}

/// What a probe came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// It passed: the service is healthy.
    pub passed: bool,
    /// How long ago that was.
    pub ago: Duration,
    /// Why it did not pass; empty when it did.
    pub reason: String,
}

impl Health {
    /// How many of its instances are up.
    #[must_use]
    pub fn up(&self) -> usize {
        self.instances.iter().filter(|instance| instance.pid.is_some()).count()
    }
}

impl Host {
    pub(super) fn health(&self, now: Timestamp) -> Health {
        let Some(observed) = &self.seen.observed else { return Health::default() };
        let several = !observed.instances.is_empty();
        let processes =
            if several { &observed.instances[..] } else { std::slice::from_ref(&observed.process) };
        let wanted = self.setup.instances;
        let (ready, status) = match &observed.process {
            ProcessSeen::Running { ready, status, .. } => (Some(*ready), status.clone()),
            ProcessSeen::Stopped | ProcessSeen::Exited { .. } => (None, None),
        };
        Health {
            instances: processes.iter().map(instance).collect(),
            instances_wanted: (wanted as usize != processes.len()).then_some(wanted),
            ready: ready.filter(|_| self.setup.asks_ready),
            status,
            probe: self.seen.probe.as_ref().map(|(at, result)| Probe {
                passed: result.is_ok(),
                ago: now.since(*at),
                reason: result.clone().err().unwrap_or_default(),
            }),
            standing: self.seen.standing.as_ref().map(standing_words),
        }
    }
}

fn instance(process: &ProcessSeen) -> Instance {
    match process {
        ProcessSeen::Stopped => Instance { pid: None, restarts: 0, ended: None },
        ProcessSeen::Running { pid, restarts, .. } => {
            Instance { pid: Some(*pid), restarts: *restarts, ended: None }
        }
        ProcessSeen::Exited { exit, restarts, .. } => {
            Instance { pid: None, restarts: *restarts, ended: Some(exit_words(*exit)) }
        }
    }
}
