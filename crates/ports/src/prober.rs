//! Whether a service answers as it should.

use std::{collections::BTreeMap, fmt, future::Future, net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

pub mod fake;

/// What to ask a service, and what it must answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ProbeSpec {
    /// A GET must answer with `status`.
    Http {
        /// Path and query, starting with `/`.
        path: String,
        /// The status wanted.
        status: u16,
        /// Headers sent with the request, `Host` among them when it matters.
        headers: BTreeMap<String, String>,
        /// Longest wait for one answer.
        timeout: Duration,
    },
    /// A connection must be accepted.
    Tcp {
        /// Longest wait for one connection.
        timeout: Duration,
    },
}

impl fmt::Display for ProbeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { path, status, .. } => write!(f, "GET {path} = {status}"),
            Self::Tcp { .. } => f.write_str("connect"),
        }
    }
}

/// Why a probe did not pass, in words for people: "GET /healthz answered 503", "connection refused".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProbeFailure(pub String);

/// Probes a service once. Never follows redirects, never retries.
pub trait Prober: Send + Sync + 'static {
    /// Asks once, within the probe's own time-out.
    fn probe(
        &self,
        spec: &ProbeSpec,
        address: SocketAddr,
    ) -> impl Future<Output = Result<(), ProbeFailure>> + Send;
}
