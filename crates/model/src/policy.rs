//! How a service is rolled: a replicated object, one per service. The last commit sticks.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

/// How a service is rolled. All durations are measured by whoever waits, on its boot-time clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Most hosts of the service that may be out because of us, and the number of slots.
    pub max_unavailable: NonZeroU32,
    /// Hosts in the first wave. Never more at once than there are slots.
    pub canary: NonZeroU32,
    /// Hosts in each later wave; all that are left when absent.
    pub wave: Option<NonZeroU32>,
    /// How long a changed host must stay in service before its slot passes on.
    pub soak: Duration,
    /// How long a whole wave must stay in service before the next one starts.
    pub wave_soak: Duration,
    /// Changed hosts that may fail before the rollout does.
    pub failure_tolerance: u32,
    /// What a failed rollout does.
    pub on_failure: OnFailure,
    /// Where `bin/migrate` is run.
    pub migrate: MigratePer,
    /// Hosts that a roll back changes at once; P1's sum holds all the same.
    pub rollback_parallel: NonZeroU32,
    /// Longest wait for each step.
    pub deadlines: Deadlines,
    /// Wait after the drain is over, before the old process is stopped.
    pub settle: Duration,
    /// Time from SIGTERM to SIGKILL for a process that is stopped.
    pub stop_grace: Duration,
}

/// Longest wait for each step, from the step's start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deadlines {
    /// Until the release is staged on all hosts.
    pub stage: Duration,
    /// For `bin/migrate`, from its exec to its exit.
    pub migrate: Duration,
    /// Until the balancer says that the drain is over; then the host joins again.
    pub drain: Duration,
    /// From exec until the probe passes.
    pub healthy: Duration,
    /// From registration until the balancer says in service.
    pub join: Duration,
}

/// What a failed rollout does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The fleet goes back to the last completed release.
    Rollback,
    /// The rollout halts with a mixed fleet, and an operator decides.
    Pause,
}

/// Where `bin/migrate` is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MigratePer {
    /// Once per release in the whole fleet.
    Fleet,
    /// Once per release on each host, one after the other.
    Host,
}

/// Most hosts that a number in a policy may mean.
pub const HOSTS_LIMIT: u32 = 10_000;
/// Longest wait and longest deadline: a rollout is to end while somebody remembers why it was started.
pub const WAIT_LIMIT: Duration = Duration::from_secs(24 * 3600);
/// Longest time from SIGTERM to SIGKILL.
pub const GRACE_LIMIT: Duration = Duration::from_secs(3600);

/// What holds where a policy is silent.
pub const DEFAULTS: Policy = Policy {
    max_unavailable: NonZeroU32::MIN,
    canary: NonZeroU32::MIN,
    wave: None,
    soak: Duration::from_secs(5),
    wave_soak: Duration::ZERO,
    failure_tolerance: 0,
    on_failure: OnFailure::Rollback,
    migrate: MigratePer::Fleet,
    rollback_parallel: NonZeroU32::MIN,
    deadlines: Deadlines {
        stage: Duration::from_secs(600),
        migrate: Duration::from_secs(600),
        drain: Duration::from_secs(330),
        healthy: Duration::from_secs(60),
        join: Duration::from_secs(120),
    },
    settle: Duration::ZERO,
    stop_grace: Duration::from_secs(10),
};

impl Default for Policy {
    fn default() -> Self {
        DEFAULTS
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        DEFAULTS.deadlines
    }
}
