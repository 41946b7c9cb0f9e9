//! What a caller is told when the answer is no, beyond what the fleet machine says itself.

use api::{exit::Exit, refusal, view::Stale};
use model::{RolloutId, ServiceName, forming::FormingHold};
use ports::{fault::Chain, store::NotARelease};
use tonic::{Code, Status};

/// What was pushed is not a release.
pub(super) fn not_a_release(error: &NotARelease) -> Status {
    let text = Chain(error).to_string();
    match error {
        // Nobody knows yet whether it is one; another agent's store may do better.
        NotARelease::Fault(_) => refusal::status(
            Code::Unavailable,
            Exit::Unavailable,
            text,
            Some(
                "nothing was changed: push again, or ask another agent with --agent; the disk of the one that was asked, or its way to the caches, may be in trouble",
            ),
        ),
        NotARelease::Invalid { next, .. } => {
            refusal::status(Code::InvalidArgument, Exit::Rejected, text, Some(next))
        }
    }
}

/// The rollout that is asked for is none.
pub(super) fn no_such_rollout(service: &ServiceName, rollout: RolloutId) -> Status {
    let text = format!("{service} has no rollout {rollout}, or has it no longer");
    let next = format!("`deployinator history --service {service}` shows those that are kept");
    refusal::status(Code::NotFound, Exit::Rejected, text, Some(&next))
}

/// A proposal found no leader in time.
pub(super) fn no_quorum(last: &str, stale: &Stale) -> Status {
    let who: Vec<&str> = stale.missing.iter().map(model::HostId::as_str).collect();
    let who = if who.is_empty() { String::new() } else { format!("; no answer from {}", who.join(", ")) };
    let next = "bring a majority of the voters back; `deployinator status` shows what is known, marked as stale; if they are gone for good: `deployinator cluster recover --lost HOST --reason WHY --dry-run`";
    let text = format!("no majority of the voters answers{who} (last: {last})");
    refusal::status(Code::Unavailable, Exit::Unavailable, text, Some(next))
}

/// A leader may have taken a proposal, and its answer was lost.
pub(super) fn answer_lost(last: &str, stale: &Stale) -> Status {
    let who: Vec<&str> = stale.missing.iter().map(model::HostId::as_str).collect();
    let who = if who.is_empty() { String::new() } else { format!("; no answer from {}", who.join(", ")) };
    refusal::answer_lost(format!(
        "a leader was given it and nobody saw it committed, so that it may still be done{who} (last: {last})"
    ))
}

/// There is no cluster here yet.
pub(super) fn not_formed(holds: &[FormingHold]) -> Status {
    let why: Vec<String> = holds.iter().map(ToString::to_string).collect();
    let why = if why.is_empty() { "it is forming".to_owned() } else { why.join("; ") };
    let next = match holds.first() {
        Some(first) => format!("it goes on when {}", first.ends_when()),
        None => "wait; this agent's log says what it does".to_owned(),
    };
    let text = format!("this agent is in no cluster yet: {why}");
    refusal::status(Code::Unavailable, Exit::Unavailable, text, Some(&next))
}

#[cfg(test)]
mod tests {
    use ports::fault::{Fault, FaultKind};

    use super::*;

    #[test]
    fn a_fault_of_the_store_rejects_nothing_and_may_be_asked_again() {
        let fault = NotARelease::Fault(Fault::new(
            FaultKind::Transient,
            "read /srv/releases/42",
            "input/output error",
        ));
        let status = not_a_release(&fault);
        assert_eq!((status.code(), refusal::exit_of(&status)), (Code::Unavailable, Some(Exit::Unavailable)));
        assert!(status.message().contains("input/output error"), "{}", status.message());
        assert!(refusal::next_of(&status).unwrap().contains("push again"));
        assert!(!refusal::is_unsure(&status), "nothing was proposed");
    }
}
