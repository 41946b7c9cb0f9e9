//! What programs wrote: read from this host's files, asked of the other hosts' agents, put together for a caller.
//!
//! Promise: a caller that reads slowly slows its own stream and nothing else. Nothing is kept for it but one batch for each host and
//! what the connections hold; what it does not take stays in the files, and what is cut from them meanwhile is a gap.
//! Absent on purpose: the keepers. The files are this agent's to read.

mod host;
mod own;

use std::sync::Arc;

use api::view::LogItem;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::Status;

pub use self::{
    host::{Channel, Host, Places, Turns},
    own::Own,
};

/// Callers that an agent puts output together for at once.
const CALLERS: usize = 32;
/// Agents that read this host's output at once.
const READERS: usize = 256;

/// Where output goes.
pub type Sender = mpsc::Sender<Result<LogItem, Status>>;

/// The reader has gone.
#[derive(Debug)]
pub struct Gone;

/// Room for so many streams and no more: each takes memory.
#[derive(Debug, Clone)]
pub struct Room {
    callers: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        Self { callers: Arc::new(Semaphore::new(CALLERS)), readers: Arc::new(Semaphore::new(READERS)) }
    }
}

impl Room {
    /// A place for a caller.
    ///
    /// # Errors
    /// There is none.
    pub fn caller(&self) -> Result<OwnedSemaphorePermit, Status> {
        take(&self.callers, "callers")
    }

    /// A place for an agent that reads this host's output.
    ///
    /// # Errors
    /// There is none.
    pub fn reader(&self) -> Result<OwnedSemaphorePermit, Status> {
        take(&self.readers, "agents")
    }
}

fn take(places: &Arc<Semaphore>, who: &str) -> Result<OwnedSemaphorePermit, Status> {
    let place = places.clone().try_acquire_owned();
    place.map_err(|_| {
        Status::unavailable(format!("too many {who} read logs here; end one, or ask another agent"))
    })
}

async fn send(to: &Sender, item: LogItem) -> Result<(), Gone> {
    to.send(Ok(item)).await.map_err(|_| Gone)
}
