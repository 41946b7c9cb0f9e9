//! Whether a proposal may have been taken although no answer came back.

use std::{error::Error, io};

use tonic::{Code, Status};

/// Metadata key of an answer that says that a proposal was taken, and not seen committed.
pub(crate) const TAKEN_KEY: &str = "deployinator-taken";

/// Whether what was asked may have been done although this came back: not when the agent says itself that it did not, and not when
/// there was no connection to ask on.
pub(crate) fn may_be_taken(status: &Status) -> bool {
    if status.metadata().contains_key(TAKEN_KEY) {
        return true;
    }
    let no = matches!(
        status.code(),
        Code::FailedPrecondition | Code::InvalidArgument | Code::PermissionDenied | Code::Unimplemented
    );
    // What an agent says itself has no source; what the transport says does.
    let unavailable = status.code() == Code::Unavailable && status.source().is_none();
    !no && !unavailable && !was_never_connected(status)
}

fn was_never_connected(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if let Some(
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable,
        ) = kind
        {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_refuses_is_not_taken_and_what_it_leaves_open_may_be() {
        assert!(!may_be_taken(&Status::failed_precondition("this agent does not lead")));
        assert!(!may_be_taken(&Status::unavailable("this agent is in no cluster yet")));
        let mut open = Status::failed_precondition("not seen committed");
        open.metadata_mut().insert(TAKEN_KEY, "1".parse().unwrap());
        assert!(may_be_taken(&open));
    }

    #[test]
    fn a_connection_that_was_refused_has_carried_nothing_and_a_broken_one_may_have() {
        let of = |kind: io::ErrorKind| Status::from_error(Box::new(io::Error::from(kind)));
        assert!(!may_be_taken(&of(io::ErrorKind::ConnectionRefused)));
        assert!(may_be_taken(&of(io::ErrorKind::ConnectionReset)));
        assert!(may_be_taken(&Status::deadline_exceeded("no answer in time")));
    }
}
