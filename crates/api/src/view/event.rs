//! What happened, as a client sees it.

use model::{
    HostId, RolloutId, ServiceName,
    fleet::{Event, EventKind},
    time::WallTime,
};

use super::Cursor;

/// One thing that happened. What an agent newer than the client says of it in fields is lost to the client, but
/// name, sentence and tail are always there.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenEvent {
    /// Its place in the order.
    pub cursor: Cursor,
    /// When it was proposed, for people.
    pub at: WallTime,
    /// The service it is about.
    pub service: Option<ServiceName>,
    /// The rollout it belongs to.
    pub rollout: Option<RolloutId>,
    /// The host it happened on.
    pub host: Option<HostId>,
    /// A short, stable name.
    pub kind: String,
    /// One sentence for people, without the host and the service.
    pub text: String,
    /// The end of a process's output; empty when there is none.
    pub tail: String,
    /// The same in fields; none when this build does not know the kind.
    pub detail: Option<EventKind>,
}

impl From<&Event> for SeenEvent {
    fn from(event: &Event) -> Self {
        Self {
            cursor: Cursor { revision: event.revision, index: event.index },
            at: event.at,
            service: event.service.clone(),
            rollout: event.rollout,
            host: event.host.clone(),
            kind: event.kind.name().to_owned(),
            text: event.kind.to_string(),
            tail: event.kind.tail().to_owned(),
            detail: Some(event.kind.clone()),
        }
    }
}

/// Events were lost: they are older than what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The oldest event that is kept.
    pub resumes_at: Cursor,
}
