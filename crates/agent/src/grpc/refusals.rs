//! What a caller is told when the answer is no: what was tried, why it failed, what to do, and the exit code.

use super::public::Exit;
use model::fleet::Refusal;
use ports::{fault::Chain, store::NotARelease};
use tonic::{Code, Status, metadata::MetadataValue};

/// A refusal with its exit code and, where there is one, the next step.
pub(super) fn status(code: Code, text: String, exit: Exit, next: Option<&str>) -> Status {
    let mut status = Status::new(code, text);
    let metadata = status.metadata_mut();
    metadata.insert("deployinator-exit", MetadataValue::from(u64::from(exit.code())));
    if let Some(next) = next.and_then(|next| MetadataValue::try_from(next).ok()) {
        metadata.insert("deployinator-next", next);
    }
    status
}

/// The fleet machine said no.
pub(super) fn refused(attempted: &str, refusal: &Refusal) -> Status {
    let code = match refusal {
        Refusal::UnknownService { .. } | Refusal::UnknownHost { .. } | Refusal::NoRollout => Code::NotFound,
        Refusal::ReasonMissing => Code::InvalidArgument,
        Refusal::Busy { .. } | Refusal::Outdated { .. } => Code::Aborted,
        _ => Code::FailedPrecondition,
    };
    let next = match refusal {
        Refusal::Quarantined { .. } => {
            Some("push another release, or let this one be used again: `deployinator quarantine release`")
        }
        Refusal::UnknownService { .. } => {
            Some("declare it in the configuration of its hosts, as [service.NAME]")
        }
        Refusal::NoRollout => Some("`deployinator history` lists the rollouts"),
        Refusal::ReasonMissing => Some("give one with --reason"),
        _ => None,
    };
    status(code, format!("{attempted}: {refusal}"), Exit::Rejected, next)
}

/// What was pushed is not a release.
pub(super) fn not_a_release(service: &str, error: &NotARelease) -> Status {
    let text = format!("push to {service}: {}", Chain(error));
    match error {
        NotARelease::Fault(_) => status(
            Code::Unavailable,
            text,
            Exit::Rejected,
            Some("try again, or ask another agent with --agent"),
        ),
        _ => {
            let next = "push a directory that every host can read, with an executable bin/serve";
            status(Code::InvalidArgument, text, Exit::Rejected, Some(next))
        }
    }
}

/// A field of the request is malformed.
pub(super) fn malformed(field: &str, why: &dyn std::fmt::Display) -> Status {
    status(Code::InvalidArgument, format!("{field}: {why}"), Exit::Rejected, None)
}

/// No majority of voters is there.
pub(super) fn no_quorum(attempted: &str, why: &str, missing: &[String]) -> Status {
    let who =
        if missing.is_empty() { String::new() } else { format!("; no answer from {}", missing.join(", ")) };
    let next =
        "bring a majority of the voters back; `deployinator status` shows what is known, marked as stale";
    status(
        Code::Unavailable,
        format!("{attempted}: no majority of the voters answers ({why}){who}"),
        Exit::Unavailable,
        Some(next),
    )
}
