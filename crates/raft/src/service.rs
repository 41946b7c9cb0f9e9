//! The answering side: hands the messages of this cluster's nodes to openraft, and refuses all others.

use std::sync::Weak;

use api::v1::{
    PeerRequest, PeerResponse,
    peer_server::{Peer, PeerServer},
};
use openraft::{
    Snapshot,
    async_runtime::watch::WatchReceiver as _,
    raft::{AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest},
};
use serde::Serialize;
use tonic::{Request, Response, Status};

use crate::{
    Machine,
    node::Inner,
    parts::{Announced, NotTaken},
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

async fn dispatch<M: Machine>(node: &Inner<M>, request: PeerRequest) -> Result<Vec<u8>, Status> {
    let raft = &node.raft;
    match request.kind.as_str() {
        AppendEntriesRequest::<Types<M>>::KIND => {
            let taken = raft.append_entries(read(&request)?).await.map_err(|error| stopped(node, &error))?;
            // Whoever led in an earlier term says nothing about the group as it is.
            if !matches!(taken, AppendEntriesResponse::HigherVote(_)) {
                node.contact.heard();
            }
            answer(&taken)
        }
        VoteRequest::<Types<M>>::KIND => {
            answer(&raft.vote(read(&request)?).await.map_err(|error| stopped(node, &error))?)
        }
        PreVote::<M>::KIND => {
            let PreVote(ask) = read::<PreVote<M>>(&request)?;
            answer(&raft.pre_vote(ask).await.map_err(|error| stopped(node, &error))?)
        }
        TransferLeaderRequest::<Types<M>>::KIND => answer(
            &raft.handle_transfer_leader(read(&request)?).await.map_err(|error| stopped(node, &error))?,
        ),
        InstallSnapshot::<M>::KIND => install(node, request).await,
        SnapshotPart::<M>::KIND => part(node, &request),
        unknown => Err(Status::unimplemented(format!(
            "node {} does not know messages of kind {unknown:?}",
            node.node
        ))),
    }
}

/// Takes the end of a snapshot, or one that came in one piece.
async fn install<M: Machine>(node: &Inner<M>, mut request: PeerRequest) -> Result<Vec<u8>, Status> {
    let InstallSnapshot { vote, meta, before_bytes, state_bytes, state_checksum } =
        read::<InstallSnapshot<M>>(&request)?;
    let of = state_of::<M>(&request, meta.last_log_id.as_ref())?;
    let announced = Announced { vote: vote.clone(), of, bytes: state_bytes };
    let end = std::mem::take(&mut request.state);
    let state = node.parts.finish(&announced, before_bytes, end, &state_checksum);
    request.state = state.map_err(|not_taken| refusal(&request, &not_taken))?;
    // Found out here, a state of a newer release stops the transfer; found out later, it stops the node.
    let machine =
        serde_json::from_slice::<M>(&request.state).map_err(|error| unreadable(&request, &error))?;
    if let Some(why) = machine.outgrown() {
        node.outgrow(why.clone());
        return Err(Status::failed_precondition(why));
    }
    let snapshot = Snapshot { meta, snapshot: bytes::Bytes::from(request.state) };
    let taken =
        node.raft.install_full_snapshot(vote, snapshot).await.map_err(|error| stopped(node, &error))?;
    node.contact.heard();
    answer(&taken)
}

/// Takes a part of the state of a snapshot, unless its sender leads no more.
fn part<M: Machine>(node: &Inner<M>, request: &PeerRequest) -> Result<Vec<u8>, Status> {
    let SnapshotPart { vote, upto, offset_bytes, state_bytes } = read::<SnapshotPart<M>>(request)?;
    let known = node.raft.metrics().borrow_watched().vote.clone();
    if vote < known {
        return answer(&PartTaken::<M> { held_bytes: 0, deposed_by: Some(known) });
    }
    let announced = Announced { vote, of: state_of::<M>(request, upto.as_ref())?, bytes: state_bytes };
    let taken = node.parts.take(&announced, offset_bytes, &request.state);
    let held_bytes = taken.map_err(|not_taken| refusal(request, &not_taken))?;
    answer(&PartTaken::<M> { held_bytes, deposed_by: None })
}

fn stopped<M: Machine>(node: &Inner<M>, error: &dyn std::fmt::Display) -> Status {
    Status::unavailable(format!("node {} has stopped: {error}", node.node))
}

/// Which snapshot of whom: one node sends the same state for the same end of the log.
fn state_of<M: Machine>(request: &PeerRequest, upto: Option<&LogId<M>>) -> Result<String, Status> {
    let upto = serde_json::to_string(&upto).map_err(|error| Status::internal(error.to_string()))?;
    Ok(format!("{} {upto}", request.from))
}

fn refusal(request: &PeerRequest, not_taken: &NotTaken) -> Status {
    let PeerRequest { from, .. } = request;
    if !matches!(not_taken, NotTaken::Missing | NotTaken::Deposed) {
        tracing::warn!(%from, why = %not_taken, "a snapshot is not taken");
    }
    Status::failed_precondition(format!("take a snapshot of node {from}: {not_taken}"))
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
