//! What is written is read back as it was.

mod events;
mod previews;
mod requests;
mod rollouts;
mod statuses;

use model::{
    Fence, Incarnation, Release, Revision,
    fleet::{Cause, Failure, Operator, PhaseKind},
};

fn by() -> Operator {
    Operator { name: "ada".into(), reason: "as told".into() }
}

fn release(name: &str) -> Release {
    Release { id: name.parse().unwrap(), source: format!("/srv/{name}"), migrates: true }
}

fn failure() -> Failure {
    Failure {
        phase: PhaseKind::Probing,
        cause: Cause::Release,
        reason: "exited with code 3".into(),
        tail: "line\nlast".into(),
    }
}

fn fence() -> Fence {
    Fence { incarnation: Incarnation(2), revision: Revision(17) }
}
