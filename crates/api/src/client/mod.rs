//! The typed client: knows several agents, asks them in turn, and follows a stream from one to the next.

mod address;
mod agents;
mod around;
mod calls;
mod error;
mod logs;
mod operate;
mod reading;
mod recovery;
mod source;
mod stream;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use self::agents::Agents;
pub use self::{
    address::{Address, DEFAULT_PORT, InvalidAddress},
    error::{Attempt, ClientError},
    logs::Logs,
    stream::{Events, Step, Waits, Watch},
};

/// How long a client waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a connection to one agent.
    pub connect: Duration,
    /// For the answer to a call, all agents together. Within it, a caller knows that there is no quorum.
    pub call: Duration,
    /// For the answer to a push by an agent that is there: it may have to read the whole release first.
    pub push: Duration,
    /// For any agent that takes a stream up at first, and for one that sends it without a quorum before another one is asked.
    pub stream: Duration,
    /// For an agent with a quorum that takes a stream up again.
    pub quorum: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            call: Duration::from_secs(5),
            push: Duration::from_secs(120),
            stream: Duration::from_secs(5),
            quorum: Duration::from_secs(60),
        }
    }
}

/// A client of one cluster. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    agents: Arc<Agents>,
}

impl Client {
    /// A client that knows these agents. Any one that is up is enough. Connects when it is used first.
    #[must_use]
    pub fn new(addresses: Vec<Address>) -> Self {
        Self::with_patience(addresses, Patience::default())
    }

    /// The same with another patience.
    #[must_use]
    pub fn with_patience(addresses: Vec<Address>, patience: Patience) -> Self {
        Self { agents: Arc::new(Agents::new(addresses, patience)) }
    }
}
