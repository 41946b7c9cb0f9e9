//! The agents that are known, and a connection to each.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

use super::{Address, Attempt, Patience, error::root};
use crate::{MESSAGE_LIMIT_BYTES, v1::deployinator_client::DeployinatorClient};

/// Time between two questions on a silent connection whether the other end is there.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait for the answer to that.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_millis(1500);

/// The agents that are known. The one that answered last is asked first.
pub(super) struct Agents {
    agents: Vec<(Address, Mutex<Option<Channel>>)>,
    first: AtomicUsize,
    pub(super) patience: Patience,
}

impl Agents {
    pub(super) fn new(addresses: Vec<Address>, patience: Patience) -> Self {
        let agents = addresses.into_iter().map(|address| (address, Mutex::new(None))).collect();
        Self { agents, first: AtomicUsize::new(0), patience }
    }

    pub(super) fn count(&self) -> usize {
        self.agents.len()
    }

    /// Every agent once, the preferred one first.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = usize> + use<> {
        let (first, count) = (self.first.load(Ordering::Relaxed), self.agents.len());
        (0..count).map(move |offset| (first + offset) % count)
    }

    pub(super) fn address(&self, agent: usize) -> &Address {
        &self.agents[agent].0
    }

    /// This one is asked first from now on.
    pub(super) fn prefer(&self, agent: usize) {
        self.first.store(agent, Ordering::Relaxed);
    }

    /// This one did not do: its connection is dropped, and another one is asked first.
    pub(super) fn avoid(&self, agent: usize) {
        *self.slot(agent) = None;
        let _ = self.first.compare_exchange(
            agent,
            (agent + 1) % self.agents.len(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    pub(super) fn attempt(&self, agent: usize, reason: impl Into<String>) -> Attempt {
        Attempt { address: self.address(agent).clone(), reason: reason.into() }
    }

    fn slot(&self, agent: usize) -> std::sync::MutexGuard<'_, Option<Channel>> {
        self.agents[agent].1.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A client on a connection to this agent.
    pub(super) async fn connect(
        &self,
        agent: usize,
        limit: Duration,
    ) -> Result<DeployinatorClient<Channel>, Attempt> {
        let kept = self.slot(agent).clone();
        let channel = match kept {
            Some(channel) => channel,
            None => self.dial(agent, limit.min(self.patience.connect)).await?,
        };
        Ok(DeployinatorClient::new(channel)
            .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
            .max_encoding_message_size(MESSAGE_LIMIT_BYTES))
    }

    async fn dial(&self, agent: usize, limit: Duration) -> Result<Channel, Attempt> {
        let endpoint = Endpoint::from_shared(self.address(agent).uri())
            .map_err(|error| self.attempt(agent, root(&error)))?
            .connect_timeout(limit)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        let connected = timeout(limit, endpoint.connect()).await;
        let seconds = || format!("no connection within {:.1} s", limit.as_secs_f32());
        let channel = connected
            .map_err(|_| self.attempt(agent, seconds()))?
            .map_err(|error| self.attempt(agent, root(&error)))?;
        *self.slot(agent) = Some(channel.clone());
        Ok(channel)
    }
}
