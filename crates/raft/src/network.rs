//! openraft's view of the peers.

use std::{error::Error, future::Future, marker::PhantomData, sync::Arc, time::Duration};

use bytes::Bytes;
use openraft::{
    RPCTypes, RaftNetworkFactory, RaftNetworkV2,
    errors::{RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
    type_config::alias::SnapshotOf,
};

use crate::{
    Checksum, Machine, NodeId,
    peers::{CallError, Peers},
    types::{Place, Types, Vote},
    wire::{InstallSnapshot, Message, PART_BYTES, PartTaken, PreVote, SnapshotPart},
};

/// Makes a [`Line`] for each peer that openraft wants to talk to.
pub(crate) struct Network(pub(crate) Arc<Peers>);

/// The way to one peer.
pub(crate) struct Line<M> {
    peers: Arc<Peers>,
    target: NodeId,
    place: Place,
    machine: PhantomData<fn() -> M>,
}

impl<M: Machine> RaftNetworkFactory<Types<M>> for Network {
    type Network = Line<M>;

    async fn new_client(&mut self, target: NodeId, place: &Place) -> Line<M> {
        Line { peers: Arc::clone(&self.0), target, place: place.clone(), machine: PhantomData }
    }
}

impl<M: Machine> Line<M> {
    async fn call<T: Message>(
        &self,
        action: RPCTypes,
        message: &T,
        limit: Duration,
    ) -> Result<T::Answer, RPCError<Types<M>>> {
        let answer = self.peers.call(&self.target, self.place.address, message, Bytes::new(), limit).await;
        answer.map_err(|error| self.classify(action, error))
    }

    /// Says whether openraft should wait before it tries again. It waits for all but a missed deadline, which was
    /// a wait by itself.
    fn classify(&self, action: RPCTypes, error: CallError) -> RPCError<Types<M>> {
        match error {
            CallError::TimedOut { to, limit, .. } => {
                RPCError::Timeout(Timeout { action, id: self.peers.me().clone(), target: to, timeout: limit })
            }
            error => {
                tracing::debug!(error = %chain(&error), "peer");
                RPCError::Unreachable(Unreachable::from_string(chain(&error)))
            }
        }
    }
}

/// What a leader that must be silent is told in place of an answer. openraft waits a moment after it.
fn unsaid<M: Machine>(peers: &Peers) -> Result<(), Unreachable<Types<M>>> {
    if peers.leader_is_silent() {
        return Err(Unreachable::from_string(
            "not said: no quorum was heard of, and the others are to elect",
        ));
    }
    Ok(())
}

/// An error with its sources, for a caller that keeps text only.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

impl<M: Machine> RaftNetworkV2<Types<M>> for Line<M> {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types<M>>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<Types<M>>, RPCError<Types<M>>> {
        unsaid(&self.peers)?;
        // openraft allows three quarters of a heartbeat, which a slow disk can miss for ever with the same entries. It ends a heartbeat
        // that takes too long by itself.
        self.call(RPCTypes::AppendEntries, &rpc, self.peers.timers().election_min).await
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types<M>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<M>>, RPCError<Types<M>>> {
        self.call(RPCTypes::Vote, &rpc, option.soft_ttl()).await
    }

    /// A failure must stay one here: openraft counts every answer that is not an error.
    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types<M>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<M>>, RPCError<Types<M>>> {
        self.call(RPCTypes::Vote, &PreVote::<M>(rpc), option.soft_ttl()).await
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<Types<M>>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types<M>>, RPCError<Types<M>>> {
        self.call(RPCTypes::TransferLeader, &rpc, option.soft_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote<M>,
        snapshot: SnapshotOf<Types<M>, Bytes>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types<M>>, StreamingError<Types<M>>> {
        tokio::select! {
            answer = self.send_snapshot(vote, snapshot, option.soft_ttl()) => answer.map_err(Into::into),
            closed = cancel => Err(closed.into()),
        }
    }
}

impl<M: Machine> Line<M> {
    /// Sends a snapshot, each message of which may take `limit`.
    async fn send_snapshot(
        &self,
        vote: Vote<M>,
        snapshot: SnapshotOf<Types<M>, Bytes>,
        limit: Duration,
    ) -> Result<SnapshotResponse<Types<M>>, RPCError<Types<M>>> {
        let (meta, mut rest) = (snapshot.meta, snapshot.snapshot);
        let state_bytes = rest.len() as u64;
        let (mut sent, mut sum) = (0, Checksum::default());
        while PART_BYTES < rest.len() {
            unsaid(&self.peers)?;
            let part = rest.split_to(PART_BYTES);
            let (vote, upto) = (vote.clone(), meta.last_log_id.clone());
            let message = SnapshotPart::<M> { vote, upto, offset_bytes: sent, state_bytes };
            (sent, sum) = (sent + part.len() as u64, sum.and(&part));
            let taken = self.peers.call(&self.target, self.place.address, &message, part, limit).await;
            let PartTaken { held_bytes, deposed_by } =
                taken.map_err(|error| self.classify(RPCTypes::InstallSnapshot, error))?;
            if let Some(vote) = deposed_by {
                return Ok(SnapshotResponse::new(vote));
            }
            if held_bytes != sent {
                return Err(Unreachable::from_string("another snapshot was begun meanwhile").into());
            }
        }
        unsaid(&self.peers)?;
        let state_checksum = sum.and(&rest).to_string();
        let message = InstallSnapshot::<M> { vote, meta, before_bytes: sent, state_bytes, state_checksum };
        let answer = self.peers.call(&self.target, self.place.address, &message, rest, limit).await;
        answer.map_err(|error| self.classify(RPCTypes::InstallSnapshot, error))
    }
}
