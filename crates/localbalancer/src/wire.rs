//! What the admin API speaks: JSON, durations in milliseconds.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use model::HostId;
use serde::{Deserialize, Serialize};

/// How a target group treats its targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GroupOptions {
    /// Path that a health check asks for; 200 is healthy.
    pub health_path: String,
    /// Time from the end of one check to the next.
    #[serde(rename = "health_interval_ms", with = "millis")]
    pub health_interval: Duration,
    /// Longest wait for the answer to one check.
    #[serde(rename = "health_timeout_ms", with = "millis")]
    pub health_timeout: Duration,
    /// Checks in a row that must pass before a target is in service.
    pub healthy_threshold: u32,
    /// Checks in a row that must fail before a target is unhealthy.
    pub unhealthy_threshold: u32,
    /// How long a target that left may finish its requests; then they are cut.
    #[serde(rename = "deregistration_delay_ms", with = "millis")]
    pub deregistration_delay: Duration,
}

/// What holds where nothing else was said. Fast, for a demo: an ALB's own defaults are minutes.
impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            health_path: "/healthz".to_owned(),
            health_interval: Duration::from_millis(100),
            health_timeout: Duration::from_secs(1),
            healthy_threshold: 2,
            unhealthy_threshold: 2,
            deregistration_delay: Duration::from_secs(10),
        }
    }
}

/// Which target a call is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TargetName {
    pub(crate) host: HostId,
    pub(crate) address: SocketAddr,
}

/// What the balancer knows of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetView {
    /// The host it was registered for.
    pub host: HostId,
    /// Where its requests go.
    pub address: SocketAddr,
    /// Whether it gets requests.
    pub state: TargetState,
    /// Why it is in that state, where there is more to say.
    pub reason: Option<String>,
    /// Requests that were sent to it and are not answered in full.
    pub in_flight: u32,
}

/// Whether a target gets requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetState {
    /// Not registered, and nothing in flight.
    Absent,
    /// Registered, not yet found healthy.
    Initial,
    /// It gets requests.
    InService,
    /// Found unhealthy.
    Unhealthy,
    /// It left; what is in flight goes on.
    Draining,
}

/// A target came into another state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: SystemTime,
    /// The target's host.
    pub host: HostId,
    /// The state that it has since then.
    pub state: TargetState,
}

/// What happened to a group's requests since the last reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Requests that arrived.
    pub requests: u64,
    /// Of these, answered in full, whatever the target's status was.
    pub completed: u64,
    /// No target was in service: 503.
    pub no_target: u64,
    /// The target did not take the connection: 502.
    pub unreachable: u64,
    /// The target broke off before its answer began: 502.
    pub no_answer: u64,
    /// The target broke off in its answer: the caller's connection was closed.
    pub broken_answer: u64,
    /// Still in flight when the target was removed.
    pub cut: u64,
    /// The caller broke off. No failure of ours.
    pub caller_gone: u64,
    /// Targets in service now.
    pub in_service: u32,
    /// Fewest targets in service at any time since the reset.
    pub in_service_min: u32,
}

impl Counters {
    /// Requests that failed through the balancer or its targets.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.no_target + self.unreachable + self.no_answer + self.broken_answer + self.cut
    }
}

/// Faults that the admin API makes on demand. They touch calls about targets, never this knob itself. At most one of
/// the counted ones is used up by a call, in the order in which they stand here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// So many calls are answered 429, without effect.
    pub throttle_calls: u32,
    /// So many calls are answered 500, without effect.
    pub error_calls: u32,
    /// So many calls are answered 403, without effect.
    pub refuse_calls: u32,
    /// So many calls have their effect and are answered 500.
    pub lose_answers: u32,
    /// Every call waits so long first.
    pub slow_ms: u64,
    /// A target that leaves is removed at once and its requests are cut: the control that shows whether load notices.
    pub drain_off: bool,
}

/// Why a call was not carried out.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) error: String,
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
