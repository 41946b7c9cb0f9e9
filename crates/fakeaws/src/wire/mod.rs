//! What the control door speaks: JSON, durations in milliseconds.

mod faults;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use self::faults::{CallCount, Credentials, Fault, FaultKind, Rate};

/// What holds for the whole account, and how long its clocks take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The one region that there is.
    pub region: String,
    /// The account's number.
    pub account: String,
    /// How long an instance is `pending`.
    #[serde(rename = "pending_ms", with = "millis")]
    pub pending: Duration,
    /// How long an instance is `stopping` or `shutting-down`.
    #[serde(rename = "stopping_ms", with = "millis")]
    pub stopping: Duration,
    /// How long a terminated instance goes on being listed.
    #[serde(rename = "terminated_listed_ms", with = "millis")]
    pub terminated_listed: Duration,
    /// How long a target's registration is in progress, before its first health check.
    #[serde(rename = "registration_ms", with = "millis")]
    pub registration: Duration,
    /// How many instances there are at most on a page, whatever is asked for.
    pub page_limit: usize,
    /// How long the credentials of a role are good for.
    #[serde(rename = "credentials_ms", with = "millis")]
    pub credentials: Duration,
}

/// Fast, for tests: AWS takes tens of seconds for what is 100 ms here.
impl Default for Settings {
    fn default() -> Self {
        Self {
            region: "eu-central-1".to_owned(),
            account: "123456789012".to_owned(),
            pending: Duration::from_millis(100),
            stopping: Duration::from_millis(100),
            terminated_listed: Duration::from_secs(3600),
            registration: Duration::from_millis(100),
            page_limit: 1000,
            credentials: Duration::from_secs(6 * 3600),
        }
    }
}

/// An instance to make.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NewInstance {
    /// `i-` and 17 hex digits; made up when left out.
    pub id: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its availability zone; when left out, the region's `a`.
    pub zone: Option<String>,
    /// Its address within the VPC. When left out it has none.
    pub private_ipv4: Option<Ipv4Addr>,
    /// Its address on the Internet.
    pub public_ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// The role whose credentials it gets from its metadata.
    pub role: Option<String>,
    /// Whether its tags are in its metadata.
    pub tags_in_metadata: bool,
    /// What its Auto Scaling group wants of it, as its metadata says: `InService`, `Terminated` and so on. None where it has no group.
    pub lifecycle: Option<String>,
}

/// What there is to know of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceView {
    /// Its id.
    pub id: String,
    /// Its state, in EC2's word.
    pub state: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its availability zone.
    pub zone: String,
    /// Its address within the VPC.
    pub private_ipv4: Option<Ipv4Addr>,
    /// Its address on the Internet.
    pub public_ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
}

/// What is done to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It is terminated, for ever.
    Terminate,
    /// It is stopped.
    Stop,
    /// It is started again.
    Start,
    /// It is not listed any more, as if it had been terminated an hour ago.
    Forget,
}

impl Act {
    /// Its word in the control door's paths.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Terminate => "terminate",
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Forget => "forget",
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        [Self::Terminate, Self::Stop, Self::Start, Self::Forget].into_iter().find(|act| act.word() == word)
    }
}

/// What a target group's targets are named by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetType {
    /// By instance id.
    #[default]
    Instance,
    /// By IP address.
    Ip,
}

/// How health is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckBy {
    /// A GET of a path.
    #[default]
    Http,
    /// A connection that is taken.
    Tcp,
}

/// How a target group treats its targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GroupOptions {
    /// What its targets are named by. Cannot be changed later.
    pub target_type: TargetType,
    /// A target's port, unless it is registered with one of its own.
    pub port: u16,
    /// How health is checked.
    pub check_by: CheckBy,
    /// Path that a health check asks for.
    pub health_path: String,
    /// Port that is checked; when left out, the target's own.
    pub health_port: Option<u16>,
    /// Statuses that are healthy, lowest and highest.
    pub healthy_codes: (u16, u16),
    /// Time from the end of one check to the next.
    #[serde(rename = "health_interval_ms", with = "millis")]
    pub health_interval: Duration,
    /// Longest wait for the answer to one check.
    #[serde(rename = "health_timeout_ms", with = "millis")]
    pub health_timeout: Duration,
    /// Checks in a row that must pass before an unhealthy target is healthy. A new target needs one.
    pub healthy_threshold: u32,
    /// Checks in a row that must fail before a target is unhealthy.
    pub unhealthy_threshold: u32,
    /// How long a target that was deregistered drains; then what is in flight is cut.
    #[serde(rename = "deregistration_delay_ms", with = "millis")]
    pub deregistration_delay: Duration,
    /// How long it takes until requests follow a change: so long a target gets requests after it was deregistered.
    #[serde(rename = "propagation_ms", with = "millis")]
    pub propagation: Duration,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            target_type: TargetType::Instance,
            port: 80,
            check_by: CheckBy::Http,
            health_path: "/healthz".to_owned(),
            health_port: None,
            healthy_codes: (200, 200),
            health_interval: Duration::from_millis(100),
            health_timeout: Duration::from_secs(1),
            healthy_threshold: 2,
            unhealthy_threshold: 2,
            deregistration_delay: Duration::from_secs(2),
            propagation: Duration::ZERO,
        }
    }
}

/// A target group that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
}

/// What there is to know of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetView {
    /// Instance id or IP address.
    pub id: String,
    /// Its port.
    pub port: u16,
    /// Its state, in the API's word.
    pub state: String,
    /// The reason code, where there is one.
    pub reason: Option<String>,
    /// Requests that were sent to it and are not answered in full.
    pub in_flight: u32,
}

/// A target by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetName {
    /// Instance id or IP address.
    pub id: String,
    /// Its port.
    pub port: u16,
}

/// Which kind of load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BalancerKind {
    /// An ALB.
    #[default]
    Application,
    /// An NLB: its listeners carry connections, each to one target, and do not cut them when a delay is over.
    Network,
}

/// A load balancer to make.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NewBalancer {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: BalancerKind,
    /// The zones that it is enabled in; when left out, the region's `a`, `b` and `c`.
    pub zones: Vec<String>,
    /// How long a request may pass without a byte in either direction; when left out, 60 s, as with an ALB.
    pub idle_timeout_ms: Option<u64>,
}

/// A load balancer that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalancerView {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
}

/// A listener to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewListener {
    /// Where it listens. Port 0: any free one.
    pub address: SocketAddr,
    /// The name of the target group that gets the requests.
    pub group: String,
}

/// A listener that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerView {
    /// Its ARN.
    pub arn: String,
    /// Where requests arrive.
    pub address: SocketAddr,
}

/// What happened to the requests for a group since the last reset; behind an NLB, to the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Requests that arrived.
    pub requests: u64,
    /// Of these, answered in full by a target, whatever its status was.
    pub completed: u64,
    /// Of those that a target answered, the ones with a status of 500 and above.
    pub target_5xx: u64,
    /// No target could get it: 503.
    pub no_target: u64,
    /// The target did not take the connection: 502.
    pub unreachable: u64,
    /// The target broke off before its answer began: 502.
    pub no_answer: u64,
    /// The target broke off in its answer: the caller's connection was closed.
    pub broken_answer: u64,
    /// No byte passed for the idle timeout: 504, or the caller's connection was closed.
    pub timed_out: u64,
    /// Still in flight when the target's deregistration delay was over.
    pub cut: u64,
    /// The caller broke off. No failure of the load balancer or its targets.
    pub caller_gone: u64,
    /// Requests that went to unhealthy targets, as there were no healthy ones.
    pub failed_open: u64,
}

impl Counters {
    /// Requests that failed through the load balancer or its targets.
    #[must_use]
    pub fn failed(&self) -> u64 {
        let of_targets = self.unreachable + self.no_answer + self.broken_answer + self.target_5xx;
        self.no_target + of_targets + self.timed_out + self.cut
    }
}

/// How many targets of a group were in which state, from one moment to that of the next sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Milliseconds since the server was started.
    pub at_ms: u64,
    /// Being registered, or not checked yet.
    pub initial: u32,
    /// Healthy.
    pub healthy: u32,
    /// Found unhealthy.
    pub unhealthy: u32,
    /// Draining.
    pub draining: u32,
    /// Registered where it gets no requests.
    pub unused: u32,
}

/// Where a metadata service of one instance listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
}

/// Why a call of the control door was not carried out.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) error: String,
}

/// The addresses of an instance.
pub(crate) fn addresses(instance: &NewInstance) -> impl Iterator<Item = IpAddr> {
    let v4 = [instance.private_ipv4, instance.public_ipv4].into_iter().flatten().map(IpAddr::V4);
    v4.chain(instance.ipv6.map(IpAddr::V6))
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
