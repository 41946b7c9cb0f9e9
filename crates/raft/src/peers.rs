//! The calling side: one channel for each peer, and a deadline on every call.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use api::v1::{PeerRequest, peer_client::PeerClient};
use bytes::Bytes;
use model::ClusterId;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use crate::{
    NodeId, Standing, Timers,
    silence::Silence,
    wire::{MESSAGE_LIMIT_BYTES, Message, VERSION},
};

/// Says how to reach a node: scheme, name and TLS. Timeouts and keepalive are set by this crate afterwards.
pub type Dial = Arc<dyn Fn(&NodeId, SocketAddr) -> Result<Endpoint, tonic::transport::Error> + Send + Sync>;

/// Reaches nodes in clear text. For loopback, and for those who say so.
#[must_use]
pub fn plaintext() -> Dial {
    Arc::new(|_, address| Endpoint::from_shared(format!("http://{address}")))
}

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("call {to} at {address}: no answer within {limit:?}")]
    TimedOut { to: NodeId, address: SocketAddr, limit: Duration },
    #[error("call {to} at {address}: {status}")]
    Failed { to: NodeId, address: SocketAddr, status: Box<Status> },
    #[error("dial {to} at {address}")]
    Dial { to: NodeId, address: SocketAddr, source: tonic::transport::Error },
    #[error("read or write a message for {to}")]
    Coding { to: NodeId, source: serde_json::Error },
}

/// The channels of one node to all others.
pub(crate) struct Peers {
    me: NodeId,
    cluster: ClusterId,
    dial: Dial,
    timers: Timers,
    lines: Mutex<Lines>,
    silence: Silence,
}

#[derive(Default)]
struct Lines {
    /// Where the newest known membership says that nodes are.
    addresses: BTreeMap<NodeId, SocketAddr>,
    channels: BTreeMap<NodeId, (SocketAddr, Channel)>,
    /// Since when a peer has not answered, and whether the log tells of it: not every lost message, only those that stay lost.
    silent: BTreeMap<NodeId, (Instant, bool)>,
}

impl Peers {
    pub(crate) fn new(me: NodeId, cluster: ClusterId, dial: Dial, timers: Timers) -> Self {
        Self { me, cluster, dial, timers, lines: Mutex::default(), silence: Silence::default() }
    }

    pub(crate) fn timers(&self) -> &Timers {
        &self.timers
    }

    pub(crate) fn me(&self) -> &NodeId {
        &self.me
    }

    /// Whether this node must not speak as a leader now: see [`Silence`].
    pub(crate) fn leader_is_silent(&self) -> bool {
        self.silence.is_due(&self.timers, Instant::now())
    }

    /// Takes note of what this node is now: of its quorum, if it leads, and of where the others are.
    pub(crate) fn follow(&self, standing: &Standing) {
        self.silence.follow(standing, Instant::now());
        self.connect(&standing.members());
    }

    /// Takes note of a membership: moved nodes get a new channel, and those that left lose theirs.
    fn connect(&self, addresses: &BTreeMap<NodeId, SocketAddr>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.addresses == *addresses {
            return;
        }
        lines.addresses.clone_from(addresses);
        lines.channels.retain(|node, (address, _)| addresses.get(node) == Some(address));
        lines.silent.retain(|node, _| addresses.contains_key(node));
    }

    /// Takes note of whether a peer answered.
    fn heard(&self, to: &NodeId, answered: Result<(), &CallError>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let Err(error) = answered else {
            if let Some((since, true)) = lines.silent.remove(to) {
                tracing::info!(peer = %to, after_s = since.elapsed().as_secs(), "a peer answers again");
            }
            return;
        };
        let (since, told) = lines.silent.entry(to.clone()).or_insert((Instant::now(), false));
        if !*told && self.timers.election_max <= since.elapsed() {
            *told = true;
            tracing::warn!(peer = %to, %error, "a peer does not answer");
        }
    }

    /// The channel to `to`, which is at `address` unless the membership knows better. It connects on first use.
    fn channel(&self, to: &NodeId, address: SocketAddr) -> Result<(SocketAddr, Channel), CallError> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let address = lines.addresses.get(to).copied().unwrap_or(address);
        if let Some((known, channel)) = lines.channels.get(to)
            && *known == address
        {
            return Ok((address, channel.clone()));
        }
        let endpoint =
            (self.dial)(to, address).map_err(|source| CallError::Dial { to: to.clone(), address, source })?;
        // A partition can leave a connection that is dead but open: only keepalive notices, and only if it also
        // runs while no call is under way.
        let channel = endpoint
            .connect_timeout(self.timers.connect)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(self.timers.keepalive)
            .keep_alive_timeout(self.timers.keepalive)
            .keep_alive_while_idle(true)
            .connect_lazy();
        lines.channels.insert(to.clone(), (address, channel.clone()));
        Ok((address, channel))
    }

    /// Sends one message and waits for its answer, at most `limit`.
    pub(crate) async fn call<T: Message>(
        &self,
        to: &NodeId,
        address: SocketAddr,
        message: &T,
        state: Bytes,
        limit: Duration,
    ) -> Result<T::Answer, CallError> {
        let answer = self.exchange(to, address, message, state, limit).await;
        self.heard(to, answer.as_ref().map(drop));
        answer
    }

    async fn exchange<T: Message>(
        &self,
        to: &NodeId,
        address: SocketAddr,
        message: &T,
        state: Bytes,
        limit: Duration,
    ) -> Result<T::Answer, CallError> {
        let coding = |source| CallError::Coding { to: to.clone(), source };
        let payload = serde_json::to_vec(message).map_err(coding)?;
        let (address, channel) = self.channel(to, address)?;
        let mut client = PeerClient::new(channel)
            .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
            .max_encoding_message_size(MESSAGE_LIMIT_BYTES);
        let mut request = tonic::Request::new(PeerRequest {
            version: VERSION,
            cluster: self.cluster.as_str().to_owned(),
            from: self.me.as_str().to_owned(),
            to: to.as_str().to_owned(),
            kind: T::KIND.to_owned(),
            payload,
            state: state.into(),
        });
        request.set_timeout(limit);
        let answer = match tokio::time::timeout(limit, client.exchange(request)).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) if status.code() == Code::DeadlineExceeded => {
                return Err(CallError::TimedOut { to: to.clone(), address, limit });
            }
            Ok(Err(status)) => {
                return Err(CallError::Failed { to: to.clone(), address, status: Box::new(status) });
            }
            Err(_) => return Err(CallError::TimedOut { to: to.clone(), address, limit }),
        };
        serde_json::from_slice(&answer.payload).map_err(coding)
    }
}
