//! Faults on demand, and what was called.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A fault that is made on demand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which calls: as in an IAM policy, `elasticloadbalancing:RegisterTargets`, `ec2:*` or `*`. Calls of the metadata
    /// service are `imds:` and the path without `latest/`, as `imds:meta-data/instance-id`.
    pub action: String,
    /// Whose calls: an instance id or an access key id. When left out, everybody's.
    #[serde(default)]
    pub caller: Option<String>,
    /// So many such calls go well first.
    #[serde(default)]
    pub after: u32,
    /// For so many calls. When left out, for all.
    #[serde(default)]
    pub calls: Option<u32>,
    /// For so long. When left out, until the faults are cleared.
    #[serde(default)]
    pub for_ms: Option<u64>,
    /// What happens to them.
    pub kind: FaultKind,
}

impl Fault {
    /// A fault of these calls, whoever makes them, until it is cleared.
    #[must_use]
    pub fn of(action: &str, kind: FaultKind) -> Self {
        Self { action: action.to_owned(), caller: None, after: 0, calls: None, for_ms: None, kind }
    }

    /// Only for so many calls.
    #[must_use]
    pub fn calls(self, calls: u32) -> Self {
        Self { calls: Some(calls), ..self }
    }

    /// Only after so many calls that go well.
    #[must_use]
    pub fn after(self, calls: u32) -> Self {
        Self { after: calls, ..self }
    }

    /// Only for so long.
    #[must_use]
    pub fn lasting(self, time: Duration) -> Self {
        Self { for_ms: Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)), ..self }
    }

    /// Only calls of this instance, or with this access key.
    #[must_use]
    pub fn by(self, caller: &str) -> Self {
        Self { caller: Some(caller.to_owned()), ..self }
    }
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Throttled, in the service's own words, without effect.
    Throttle,
    /// 500, without effect.
    Error,
    /// 503, without effect.
    Unavailable,
    /// 502 with a page of HTML, without effect.
    Html,
    /// Waits so long, and is then carried out.
    Slow {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// Answered from the state of so long ago. Changes are carried out as ever.
    Stale {
        /// How long ago, in milliseconds.
        ms: u64,
    },
    /// Carried out; the connection is cut in the middle of the answer.
    CutAnswer,
    /// Carried out; the connection is closed without an answer.
    LoseAnswer,
    /// The connection is closed without an effect and without an answer.
    Drop,
    /// The credentials have expired.
    Expired,
    /// The caller may not do this.
    Denied,
}

/// How often calls may be made before they are throttled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Which calls, whoever makes them: as in a [`Fault`].
    pub action: String,
    /// So many at once.
    pub burst: u32,
    /// So many in a second, in the long run.
    pub per_second: u32,
}

/// What the metadata service hands out as the credentials of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credentials {
    /// Good ones.
    #[default]
    Valid,
    /// Ones that have expired; those that were handed out before have expired too.
    Expired,
    /// None, as if the instance had no role.
    Missing,
}

/// How often a caller made a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCount {
    /// Instance id, access key id, or address.
    pub caller: String,
    /// The action, as in an IAM policy.
    pub action: String,
    /// How often it was called.
    pub calls: u64,
    /// How many of these were answered with a fault that was made on demand.
    pub faulted: u64,
    /// How many of these were throttled because there were too many.
    pub throttled: u64,
    /// How many of these were made with credentials that had expired.
    #[serde(default)]
    pub expired: u64,
}
