//! The calling side: what is said to each peer, with a deadline on every call.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use api::v1::PeerRequest;
use bytes::Bytes;
use model::ClusterId;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::{
    NodeId, Standing, Timers,
    carry::{Carry, NotCarried},
    silence::Silence,
    wire::{Message, VERSION},
};

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

/// The ways of one node to all others.
pub(crate) struct Peers {
    me: NodeId,
    cluster: ClusterId,
    carry: Box<dyn Carry>,
    timers: Timers,
    lines: Mutex<Lines>,
    silence: Silence,
}

#[derive(Default)]
struct Lines {
    /// Where the newest known membership says that nodes are.
    addresses: BTreeMap<NodeId, SocketAddr>,
    /// Since when a peer has not answered, and whether the log tells of it: not every lost message, only those that stay lost.
    silent: BTreeMap<NodeId, (Instant, bool)>,
}

impl Peers {
    pub(crate) fn new(me: NodeId, cluster: ClusterId, carry: Box<dyn Carry>, timers: Timers) -> Self {
        Self { me, cluster, carry, timers, lines: Mutex::default(), silence: Silence::default() }
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

    /// Takes note of a membership: moved nodes are called where they are now, and those that left no more.
    fn connect(&self, addresses: &BTreeMap<NodeId, SocketAddr>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.addresses == *addresses {
            return;
        }
        lines.addresses.clone_from(addresses);
        lines.silent.retain(|node, _| addresses.contains_key(node));
        self.carry.follow(addresses);
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

    /// Where `to` is: at `address`, unless the membership knows better.
    fn whereabouts(&self, to: &NodeId, address: SocketAddr) -> SocketAddr {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.addresses.get(to).copied().unwrap_or(address)
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
        let address = self.whereabouts(to, address);
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
        let timed_out = || CallError::TimedOut { to: to.clone(), address, limit };
        let answer = match tokio::time::timeout(limit, self.carry.carry(to, address, request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(NotCarried::Failed(status))) if status.code() == Code::DeadlineExceeded => {
                return Err(timed_out());
            }
            Ok(Err(NotCarried::Failed(status))) => {
                return Err(CallError::Failed { to: to.clone(), address, status });
            }
            Ok(Err(NotCarried::Dial(source))) => {
                return Err(CallError::Dial { to: to.clone(), address, source });
            }
            Err(_) => return Err(timed_out()),
        };
        serde_json::from_slice(&answer.payload).map_err(coding)
    }
}
