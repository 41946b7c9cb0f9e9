//! Room for so many streams and no more: each takes memory, and whoever asks for one too many is sent to another agent.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

/// Watches and streams of events that an agent has open at once, those that it passes on to another one among them.
const WATCHERS: usize = 2048;
/// Callers that an agent puts output together for at once.
const CALLERS: usize = 32;
/// Agents that read this host's output at once.
const READERS: usize = 256;

/// Room for so many streams and no more. Clones share it.
#[derive(Debug, Clone)]
pub struct Room {
    watchers: Arc<Semaphore>,
    callers: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

/// A place among those that there are, for as long as it is kept.
#[derive(Debug)]
pub struct Place(
    #[expect(dead_code, reason = "it is kept, and given back when it is dropped")] OwnedSemaphorePermit,
);

impl Default for Room {
    fn default() -> Self {
        let of = |places| Arc::new(Semaphore::new(places));
        Self { watchers: of(WATCHERS), callers: of(CALLERS), readers: of(READERS) }
    }
}

impl Room {
    /// A place for somebody who watches a rollout or follows events.
    ///
    /// # Errors
    /// There is none.
    pub fn watcher(&self) -> Result<Place, Status> {
        take(&self.watchers, WATCHERS, "watches and streams of events")
    }

    /// A place for a caller who is shown the output of all hosts.
    ///
    /// # Errors
    /// There is none.
    pub fn caller(&self) -> Result<Place, Status> {
        take(&self.callers, CALLERS, "streams of logs")
    }

    /// A place for an agent that reads this host's output.
    ///
    /// # Errors
    /// There is none.
    pub fn reader(&self) -> Result<Place, Status> {
        take(&self.readers, READERS, "streams of this host's output")
    }
}

fn take(places: &Arc<Semaphore>, most: usize, what: &str) -> Result<Place, Status> {
    let text = || {
        format!("{most} {what} are open at this agent, and it opens no more; ask another agent, or end some")
    };
    let place = places.clone().try_acquire_owned();
    place.map(Place).map_err(|_| Status::resource_exhausted(text()))
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn whoever_asks_for_one_too_many_is_sent_to_another_agent() {
        let room = Room::default();
        let mut taken: Vec<Place> = (0..WATCHERS).map(|_| room.watcher().unwrap()).collect();
        let refused = room.clone().watcher().unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(
            refused.message().starts_with("2048 watches") && refused.message().contains("ask another agent")
        );
        assert!(room.caller().is_ok(), "logs have places of their own");
        taken.pop();
        assert!(room.watcher().is_ok(), "the place of a stream that has ended is free");
    }
}
