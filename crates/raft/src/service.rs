//! The answering side: hands the messages of this cluster's nodes to openraft, and refuses all others.

use std::sync::Weak;

use api::v1::{
    PeerRequest, PeerResponse,
    peer_server::{Peer, PeerServer},
};
use openraft::{
    Snapshot,
    raft::{AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest},
};
use serde::Serialize;
use tonic::{Request, Response, Status};

use crate::{
    Machine,
    node::Inner,
    types::{LogId, Types},
    wire::{InstallSnapshot, MESSAGE_LIMIT_BYTES, Message, PartTaken, PreVote, SnapshotPart, VERSION},
};

/// Answers the peers of one node.
pub struct PeerService<M: Machine> {
    /// Weak, so that a server which still runs does not keep a stopped node in memory.
    node: Weak<Inner<M>>,
}

impl<M: Machine> PeerService<M> {
    pub(crate) fn new(node: Weak<Inner<M>>) -> Self {
        Self { node }
    }

    pub(crate) fn server(node: Weak<Inner<M>>) -> PeerServer<Self> {
        PeerServer::new(Self::new(node))
            .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
            .max_encoding_message_size(MESSAGE_LIMIT_BYTES)
    }
}

#[tonic::async_trait]
impl<M: Machine> Peer for PeerService<M> {
    async fn exchange(&self, request: Request<PeerRequest>) -> Result<Response<PeerResponse>, Status> {
        let node = self.node.upgrade().ok_or_else(|| Status::unavailable("this node has stopped"))?;
        let request = request.into_inner();
        admit(&node, &request)?;
        let payload = dispatch(&node, request).await?;
        Ok(Response::new(PeerResponse { payload }))
    }
}

/// Refuses what is not meant for this node.
fn admit<M: Machine>(node: &Inner<M>, request: &PeerRequest) -> Result<(), Status> {
    let (me, cluster) = (&node.node, &node.cluster);
    let PeerRequest { version, cluster: theirs, from, to, .. } = request;
    if *version != VERSION {
        return Err(Status::failed_precondition(format!(
            "node {from} sent an envelope of version {version}, node {me} knows version {VERSION} only"
        )));
    }
    if theirs != cluster.as_str() {
        return Err(Status::failed_precondition(format!(
            "node {from} is of cluster {theirs}, node {me} is of cluster {cluster}"
        )));
    }
    if to != me.as_str() {
        return Err(Status::failed_precondition(format!("node {from} called node {to}, this is node {me}")));
    }
    Ok(())
}

async fn dispatch<M: Machine>(node: &Inner<M>, mut request: PeerRequest) -> Result<Vec<u8>, Status> {
    let raft = &node.raft;
    let stopped = |error: &dyn std::fmt::Display| {
        Status::unavailable(format!("node {} has stopped: {error}", node.node))
    };
    match request.kind.as_str() {
        AppendEntriesRequest::<Types<M>>::KIND => {
            let taken = raft.append_entries(read(&request)?).await.map_err(|error| stopped(&error))?;
            // Whoever led in an earlier term says nothing about the group as it is.
            if !matches!(taken, AppendEntriesResponse::HigherVote(_)) {
                node.contact.heard();
            }
            answer(&taken)
        }
        VoteRequest::<Types<M>>::KIND => {
            answer(&raft.vote(read(&request)?).await.map_err(|error| stopped(&error))?)
        }
        PreVote::<M>::KIND => {
            let PreVote(ask) = read::<PreVote<M>>(&request)?;
            answer(&raft.pre_vote(ask).await.map_err(|error| stopped(&error))?)
        }
        TransferLeaderRequest::<Types<M>>::KIND => {
            answer(&raft.handle_transfer_leader(read(&request)?).await.map_err(|error| stopped(&error))?)
        }
        InstallSnapshot::<M>::KIND => {
            let InstallSnapshot { vote, meta, before_bytes } = read::<InstallSnapshot<M>>(&request)?;
            let of = state_of::<M>(&request, meta.last_log_id.as_ref())?;
            let state = node.parts.finish(&of, before_bytes, std::mem::take(&mut request.state));
            let missing = || Status::failed_precondition("the parts of this snapshot are not here");
            request.state = state.ok_or_else(missing)?;
            // Found out here, a state of a newer release stops the transfer; found out later, it stops the node.
            let machine =
                serde_json::from_slice::<M>(&request.state).map_err(|error| unreadable(&request, &error))?;
            if let Some(why) = machine.outgrown() {
                node.outgrow(why.clone());
                return Err(Status::failed_precondition(why));
            }
            let snapshot = Snapshot { meta, snapshot: bytes::Bytes::from(request.state) };
            let taken = raft.install_full_snapshot(vote, snapshot).await.map_err(|error| stopped(&error))?;
            node.contact.heard();
            answer(&taken)
        }
        SnapshotPart::<M>::KIND => {
            let SnapshotPart { upto, offset_bytes } = read::<SnapshotPart<M>>(&request)?;
            let of = state_of::<M>(&request, upto.as_ref())?;
            answer(&PartTaken { held_bytes: node.parts.take(&of, offset_bytes, &request.state) })
        }
        unknown => Err(Status::unimplemented(format!(
            "node {} does not know messages of kind {unknown:?}",
            node.node
        ))),
    }
}

/// Which snapshot of whom: one node sends the same state for the same end of the log.
fn state_of<M: Machine>(request: &PeerRequest, upto: Option<&LogId<M>>) -> Result<String, Status> {
    let upto = serde_json::to_string(&upto).map_err(|error| Status::internal(error.to_string()))?;
    Ok(format!("{} {upto}", request.from))
}

fn read<T: Message>(request: &PeerRequest) -> Result<T, Status> {
    serde_json::from_slice(&request.payload).map_err(|error| unreadable(request, &error))
}

/// A command that this release does not know ends here: it is not acknowledged, and so this replica stands still.
fn unreadable(request: &PeerRequest, error: &serde_json::Error) -> Status {
    let PeerRequest { from, kind, .. } = request;
    tracing::error!(%from, %kind, %error, "a peer's message cannot be read; this release may be too old");
    Status::invalid_argument(format!("the {kind} message of node {from} cannot be read: {error}"))
}

fn answer<T: Serialize>(answer: &T) -> Result<Vec<u8>, Status> {
    serde_json::to_vec(answer).map_err(|error| Status::internal(format!("write the answer: {error}")))
}
