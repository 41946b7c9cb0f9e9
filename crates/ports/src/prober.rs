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
    /// `grpc.health.v1.Health/Check` must answer "serving".
    Grpc {
        /// The service asked about; none is the server as a whole.
        service: Option<String>,
        /// Longest wait for one answer.
        timeout: Duration,
    },
    /// A program must exit with code 0. The last line that it says is the reason when it does not.
    Command {
        /// The program and its arguments; no shell sees them.
        argv: Vec<String>,
        /// Longest wait for its end; then it is killed, with all that it started.
        timeout: Duration,
    },
}

impl fmt::Display for ProbeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { path, status, .. } => write!(f, "GET {path} = {status}"),
            Self::Tcp { .. } => f.write_str("connect"),
            Self::Grpc { service: None, .. } => f.write_str("gRPC health"),
            Self::Grpc { service: Some(service), .. } => write!(f, "gRPC health of {service}"),
            Self::Command { argv, .. } => {
                f.write_str("run")?;
                argv.iter().try_for_each(|word| write!(f, " {}", Word(word)))
            }
        }
    }
}

/// One word of a command, in quotes where it would not be read as one.
struct Word<'a>(&'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,@%+".contains(letter);
        if !self.0.is_empty() && self.0.chars().all(plain) {
            f.write_str(self.0)
        } else {
            write!(f, "{:?}", self.0)
        }
    }
}

/// Why a probe did not pass, in words for people: "GET /healthz answered 503", "connection refused".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeFailure {
    /// The service did not answer as it should.
    #[error("{0}")]
    Missed(String),
    /// The service was not asked: what asks it could not be run. That says nothing about it.
    #[error("{0}")]
    Unasked(String),
}

/// Probes a service once. Never follows redirects, never retries.
pub trait Prober: Send + Sync + 'static {
    /// Asks once, within the probe's own time-out.
    fn probe(
        &self,
        spec: &ProbeSpec,
        address: SocketAddr,
    ) -> impl Future<Output = Result<(), ProbeFailure>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_told_from_every_other_by_its_words() {
        let timeout = Duration::from_secs(1);
        let command = |words: &[&str]| ProbeSpec::Command {
            argv: words.iter().map(ToString::to_string).collect(),
            timeout,
        };
        let table = [
            (ProbeSpec::Tcp { timeout }, "connect"),
            (ProbeSpec::Grpc { service: None, timeout }, "gRPC health"),
            (ProbeSpec::Grpc { service: Some("shop.Cart".into()), timeout }, "gRPC health of shop.Cart"),
            (command(&["/bin/check", "--port=80"]), "run /bin/check --port=80"),
            (command(&["/bin/check", "a b", ""]), "run /bin/check \"a b\" \"\""),
        ];
        for (spec, words) in table {
            assert_eq!(spec.to_string(), words);
        }
    }
}
