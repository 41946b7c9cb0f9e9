//! How "no" travels: a gRPC status with the exit code and the next step in its metadata.

use model::{ServiceName, fleet::Refusal};
use tonic::{Code, Status, metadata::MetadataValue};

use crate::{convert::Invalid, exit::Exit, view::Stale};

/// Metadata key of the exit code that the command line ends with.
pub const EXIT_KEY: &str = "deployinator-exit";
/// Metadata key of the next step, in words. ASCII only.
pub const NEXT_KEY: &str = "deployinator-next";

/// Metadata key that an answer has when what was asked for may still be done: a leader may have taken it, and its answer was lost.
pub const UNSURE_KEY: &str = "deployinator-unsure";

/// Longest text of a refusal. It travels in a header, and clients take 16 KiB of these at most, each byte that is not ASCII as three.
const TEXT_LIMIT_BYTES: usize = 4096;

fn bounded(mut text: String) -> String {
    if TEXT_LIMIT_BYTES < text.len() {
        text.truncate(text.floor_char_boundary(TEXT_LIMIT_BYTES));
        text.push('…');
    }
    text
}

/// "No", with an exit code and, where there is one, a next step.
#[must_use]
pub fn status(code: Code, exit: Exit, text: impl Into<String>, next: Option<&str>) -> Status {
    let mut status = Status::new(code, bounded(text.into()));
    let metadata = status.metadata_mut();
    metadata.insert(EXIT_KEY, MetadataValue::from(u32::from(exit.code())));
    let ascii: Option<String> =
        next.map(|next| next.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect());
    if let Some(Ok(next)) = ascii.map(|ascii| ascii.parse()) {
        metadata.insert(NEXT_KEY, next);
    }
    status
}

/// The answer when no majority of voters is there: `UNAVAILABLE`, exit code 69.
#[must_use]
pub fn no_quorum(stale: &Stale) -> Status {
    let next = "bring the missing voters back; `deployinator cluster show` names them";
    status(Code::Unavailable, Exit::Unavailable, format!("no quorum: {}", stale.reason), Some(next))
}

/// The answer when a leader may have taken what was asked for, and its answer was lost: `UNAVAILABLE`, exit code 69.
#[must_use]
pub fn answer_lost(text: impl Into<String>) -> Status {
    let next = "`deployinator events` tells whether it was done; a push may simply be sent again";
    let mut status = status(Code::Unavailable, Exit::Unavailable, text, Some(next));
    status.metadata_mut().insert(UNSURE_KEY, MetadataValue::from_static("1"));
    status
}

/// Whether what was asked for may still be done.
#[must_use]
pub fn is_unsure(status: &Status) -> bool {
    status.metadata().contains_key(UNSURE_KEY)
}

/// The answer to a request that was refused for a reason that the fleet machine does not know: not a release, say.
#[must_use]
pub fn rejected(text: impl Into<String>, next: Option<&str>) -> Status {
    status(Code::FailedPrecondition, Exit::Rejected, text, next)
}

impl From<Invalid> for Status {
    fn from(invalid: Invalid) -> Self {
        status(Code::InvalidArgument, Exit::Rejected, invalid.to_string(), None)
    }
}

/// The answer when the fleet machine said no.
#[must_use]
pub fn refused(refusal: &Refusal) -> Status {
    answer(refusal, None)
}

/// The same to something about this service, which the next step then names.
#[must_use]
pub fn refused_of(service: &ServiceName, refusal: &Refusal) -> Status {
    answer(refusal, Some(service))
}

fn answer(refusal: &Refusal, service: Option<&ServiceName>) -> Status {
    let code = match refusal {
        Refusal::UnknownService { .. } | Refusal::UnknownHost { .. } => Code::NotFound,
        Refusal::ReasonMissing => Code::InvalidArgument,
        Refusal::Outdated { .. } => Code::Aborted,
        _ => Code::FailedPrecondition,
    };
    status(code, Exit::Rejected, refusal.to_string(), next(refusal, service).as_deref())
}

/// What the asker can do about it.
fn next(refusal: &Refusal, service: Option<&ServiceName>) -> Option<String> {
    let of = service.map_or("SERVICE", ServiceName::as_str);
    Some(match refusal {
        Refusal::UnknownService { .. } => {
            "declare it in the configuration of a host, or correct the name".into()
        }
        Refusal::UnknownHost { .. } => {
            "`deployinator hosts list` shows who is there, and with which services".into()
        }
        Refusal::NoRollout => {
            format!("`deployinator history --service {of}` shows the rollouts that are over")
        }
        Refusal::Quarantined { release, .. } => format!(
            "push another release, or `deployinator quarantine release {release} --service {of} --reason WHY`"
        ),
        Refusal::NothingBefore => "push the release that you want".into(),
        Refusal::Busy { rollout, .. } => {
            format!("wait for its end with `deployinator watch {rollout} --service {of}`")
        }
        Refusal::Outdated { .. } => {
            format!(
                "`deployinator locks list --service {of}` shows how it is now; ask again, if you still mean it"
            )
        }
        Refusal::ReasonMissing => "give --reason".into(),
        Refusal::HostNotFree { .. } | Refusal::NoFreeSlot { .. } | Refusal::Budget { .. } => {
            "`deployinator locks list` says who holds what, and what would end that".into()
        }
        Refusal::Terminated { .. } => {
            "start its agent with an empty state directory: it joins as a new host then".into()
        }
        Refusal::GivesWay { .. } => "ask again once it is rebuilt; if that was given up half way, do the same recovery again: `deployinator cluster recover --from FILE --lost HOST --reason WHY`".into(),
        Refusal::AgentTooOld { .. } => "install the release of deployinatord that the other hosts run".into(),
        Refusal::NotMigrated { .. }
        | Refusal::NotStaged { .. }
        | Refusal::MigrationLocked { .. }
        | Refusal::AnotherHost { .. }
        | Refusal::NotNow(_) => return None,
    })
}

/// The exit code that came with a status, if one did.
#[must_use]
pub fn exit_of(status: &Status) -> Option<Exit> {
    let text = status.metadata().get(EXIT_KEY)?.to_str().ok()?;
    Exit::from_code(text.parse().ok()?)
}

/// The next step that came with a status, if one did.
#[must_use]
pub fn next_of(status: &Status) -> Option<String> {
    Some(status.metadata().get(NEXT_KEY)?.to_str().ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_brings_its_exit_code_and_next_step() {
        let release = "abc-web-2".parse().unwrap();
        let status = refused(&Refusal::Quarantined { release, reason: "exited with code 3".into() });
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(status.message(), "release abc-web-2 is quarantined: exited with code 3");
        assert_eq!(exit_of(&status), Some(Exit::Rejected));
        assert!(next_of(&status).unwrap().contains("quarantine release abc-web-2"));
    }

    #[test]
    fn codes_tell_what_is_not_there_from_what_is_not_allowed() {
        let unknown = Refusal::UnknownService { service: "w".parse().unwrap(), declared: vec![] };
        assert_eq!(refused(&unknown).code(), Code::NotFound);
        assert_eq!(refused(&Refusal::ReasonMissing).code(), Code::InvalidArgument);
        let status = no_quorum(&Stale { reason: "h2 and h3 do not answer".into(), missing: vec![] });
        assert_eq!((status.code(), exit_of(&status)), (Code::Unavailable, Some(Exit::Unavailable)));
        assert_eq!(status.message(), "no quorum: h2 and h3 do not answer");
    }

    #[test]
    fn a_next_step_that_is_not_ascii_still_travels() {
        let status = rejected("no", Some("look at ü"));
        assert_eq!(next_of(&status).as_deref(), Some("look at ?"));
    }
}
