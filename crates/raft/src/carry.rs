//! The last step of a message on its way to a peer: over gRPC, or as a simulated network sees fit.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use api::v1::{PeerRequest, PeerResponse, peer_client::PeerClient};
use tonic::{
    Status,
    transport::{Channel, Endpoint, Error},
};

use crate::{NodeId, Timers, wire::MESSAGE_LIMIT_BYTES};

/// Says how to reach a node: scheme, name and TLS. Timeouts and keepalive are set by this crate afterwards.
pub type Dial = Arc<dyn Fn(&NodeId, SocketAddr) -> Result<Endpoint, Error> + Send + Sync>;

/// Reaches nodes in clear text. For loopback, and for those who say so.
#[must_use]
pub fn plaintext() -> Dial {
    Arc::new(|_, address| Endpoint::from_shared(format!("http://{address}")))
}

/// Why a message was not carried there and back.
#[derive(Debug)]
pub(crate) enum NotCarried {
    /// Nobody could be called.
    Dial(Error),
    /// Who was called did not answer, or refused.
    Failed(Box<Status>),
}

/// Carries messages to peers. Whoever asks gives up by itself when it takes too long.
#[tonic::async_trait]
pub(crate) trait Carry: Send + Sync {
    /// Brings one message to `to`, which is at `address`, and its answer back.
    async fn carry(
        &self,
        to: &NodeId,
        address: SocketAddr,
        request: tonic::Request<PeerRequest>,
    ) -> Result<PeerResponse, NotCarried>;

    /// Takes note of where all members are now. Nobody else is called any more.
    fn follow(&self, addresses: &BTreeMap<NodeId, SocketAddr>);
}

/// One gRPC channel for each peer.
pub(crate) struct Channels {
    dial: Dial,
    timers: Timers,
    open: Mutex<BTreeMap<NodeId, (SocketAddr, Channel)>>,
}

impl Channels {
    pub(crate) fn new(dial: Dial, timers: Timers) -> Self {
        Self { dial, timers, open: Mutex::default() }
    }

    /// The channel to `to`. It connects on first use.
    fn channel(&self, to: &NodeId, address: SocketAddr) -> Result<Channel, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, channel)) = open.get(to)
            && *known == address
        {
            return Ok(channel.clone());
        }
        // A partition can leave a connection that is dead but open: only keepalive notices, and only if it also
        // runs while no call is under way.
        let channel = (self.dial)(to, address)?
            .connect_timeout(self.timers.connect)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(self.timers.keepalive)
            .keep_alive_timeout(self.timers.keepalive)
            .keep_alive_while_idle(true)
            .connect_lazy();
        open.insert(to.clone(), (address, channel.clone()));
        Ok(channel)
    }
}

#[tonic::async_trait]
impl Carry for Channels {
    async fn carry(
        &self,
        to: &NodeId,
        address: SocketAddr,
        request: tonic::Request<PeerRequest>,
    ) -> Result<PeerResponse, NotCarried> {
        let channel = self.channel(to, address).map_err(NotCarried::Dial)?;
        let mut client = PeerClient::new(channel)
            .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
            .max_encoding_message_size(MESSAGE_LIMIT_BYTES);
        let answer = client.exchange(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| NotCarried::Failed(Box::new(status)))
    }

    fn follow(&self, addresses: &BTreeMap<NodeId, SocketAddr>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|node, (address, _)| addresses.get(node) == Some(address));
    }
}
