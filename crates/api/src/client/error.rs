//! What can go wrong between a client and the agents.

use std::error::Error;

use tonic::Code;

use super::Address;
use crate::{convert::Invalid, exit::Exit, refusal};

/// One try with one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The agent.
    pub address: Address,
    /// What came of it.
    pub reason: String,
}

/// A call that did not succeed: what was attempted, and on which agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No agent answered in time.
    #[error("{attempted}: no agent answers: {}", list(.attempts))]
    Unreachable {
        /// What was attempted.
        attempted: String,
        /// Every try, in order.
        attempts: Vec<Attempt>,
    },
    /// Agents answer, but no majority of voters is there.
    #[error("{attempted}: {reason} (says {address})")]
    NoQuorum {
        /// What was attempted.
        attempted: String,
        /// Who says so.
        address: Address,
        /// Why, and who is missing.
        reason: String,
        /// What to do.
        next: Option<String>,
    },
    /// The answer is no, and nothing was changed.
    #[error("{attempted}: {reason}")]
    Refused {
        /// What was attempted.
        attempted: String,
        /// Who says so.
        address: Address,
        /// Why.
        reason: String,
        /// What a command ends with.
        exit: Exit,
        /// What to do.
        next: Option<String>,
    },
    /// It was sent, and the answer was lost: it may still be done.
    #[error("{attempted}: it may still be done; the answer of {address} was lost: {reason}")]
    AnswerLost {
        /// What was attempted.
        attempted: String,
        /// Who was asked.
        address: Address,
        /// How.
        reason: String,
        /// Where to look whether it was done.
        look: String,
        /// Asking again is the same as asking once.
        again: bool,
    },
    /// The answer makes no sense to this version.
    #[error("{attempted}: read the answer of {address}")]
    Malformed {
        /// What was attempted.
        attempted: String,
        /// Who was asked.
        address: Address,
        /// The field that is to blame.
        source: Invalid,
    },
}

impl ClientError {
    /// What a command that fails with it ends with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Refused { exit, .. } => *exit,
            Self::Unreachable { .. }
            | Self::NoQuorum { .. }
            | Self::AnswerLost { .. }
            | Self::Malformed { .. } => Exit::Unavailable,
        }
    }

    /// What to do about it, in words.
    #[must_use]
    pub fn next(&self) -> Option<String> {
        match self {
            Self::Refused { next, .. } | Self::NoQuorum { next, .. } => next.clone(),
            Self::Unreachable { .. } => Some(
                "name agents that are up with --agent or DEPLOYINATOR_AGENTS; any of the fleet will do"
                    .into(),
            ),
            Self::AnswerLost { look, again: false, .. } => {
                Some(format!("look at {look} before you ask again: what was done once would be done twice"))
            }
            Self::AnswerLost { look, again: true, .. } => {
                Some(format!("ask again, which is the same as asking once, or look at {look}"))
            }
            Self::Malformed { .. } => Some("use a command line as new as the agents".into()),
        }
    }
}

fn list(attempts: &[Attempt]) -> String {
    if attempts.is_empty() {
        return "no address is known".into();
    }
    let tries = attempts.iter().map(|attempt| format!("{}: {}", attempt.address, attempt.reason));
    tries.collect::<Vec<_>>().join("; ")
}

/// What a failed call means for the next step.
pub(super) enum Meaning {
    /// Another agent may do better.
    TryNext {
        reason: String,
        no_quorum: bool,
        /// It may have been done all the same.
        unsure: bool,
        next: Option<String>,
    },
    /// The answer is no.
    No { reason: String, exit: Exit, next: Option<String> },
}

/// Reads a status: what an agent has said itself carries an exit code, what the transport says does not.
pub(super) fn meaning(status: &tonic::Status) -> Meaning {
    let next = refusal::next_of(status);
    let reason = || match status.source() {
        Some(source) => root(source),
        None if status.message().is_empty() => status.code().description().to_owned(),
        None => status.message().to_owned(),
    };
    match (refusal::exit_of(status), status.code()) {
        (Some(Exit::Unavailable), _) => Meaning::TryNext {
            reason: status.message().to_owned(),
            no_quorum: true,
            unsure: refusal::is_unsure(status),
            next,
        },
        (Some(exit), _) => Meaning::No { reason: status.message().to_owned(), exit, next },
        (
            None,
            Code::Unavailable
            | Code::Unknown
            | Code::Internal
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::ResourceExhausted,
        ) => {
            // What an agent says itself has no source: it has not done it. What the transport says does.
            let not_done = matches!(status.code(), Code::Unavailable | Code::ResourceExhausted);
            let unsure = !not_done || status.source().is_some();
            Meaning::TryNext { reason: reason(), no_quorum: false, unsure, next }
        }
        (None, Code::Unimplemented) => {
            let next =
                Some("the agent does not know this call: update it, or use an older command line".into());
            Meaning::No { reason: reason(), exit: Exit::Rejected, next }
        }
        (None, _) => Meaning::No { reason: reason(), exit: Exit::Rejected, next },
    }
}

/// The innermost cause: what the outer ones say is that there was one.
pub(super) fn root(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
