//! What peers say to each other: Raft's messages as JSON in one envelope.

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Machine,
    types::{SnapshotMeta, Types, Vote},
};

/// Version of the envelope.
pub(crate) const VERSION: u32 = 1;
/// Largest message, in bytes, both ways. A snapshot is one message.
pub(crate) const MESSAGE_LIMIT_BYTES: usize = 64 << 20;

/// One kind of message, with the answer that belongs to it.
pub(crate) trait Message: Serialize + DeserializeOwned {
    /// Its name in the envelope.
    const KIND: &'static str;
    type Answer: Serialize + DeserializeOwned;
}

/// Asks whether a vote would be granted. On the wire a vote request, told apart by its kind.
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub(crate) struct PreVote<M: Machine>(pub(crate) VoteRequest<Types<M>>);

/// Announces a snapshot, whose state travels beside it.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct InstallSnapshot<M: Machine> {
    pub(crate) vote: Vote<M>,
    pub(crate) meta: SnapshotMeta<M>,
}

impl<M: Machine> Message for AppendEntriesRequest<Types<M>> {
    const KIND: &'static str = "append";
    type Answer = AppendEntriesResponse<Types<M>>;
}
impl<M: Machine> Message for VoteRequest<Types<M>> {
    const KIND: &'static str = "vote";
    type Answer = VoteResponse<Types<M>>;
}
impl<M: Machine> Message for PreVote<M> {
    const KIND: &'static str = "pre_vote";
    type Answer = VoteResponse<Types<M>>;
}
impl<M: Machine> Message for TransferLeaderRequest<Types<M>> {
    const KIND: &'static str = "transfer_leader";
    type Answer = TransferLeaderResponse<Types<M>>;
}
impl<M: Machine> Message for InstallSnapshot<M> {
    const KIND: &'static str = "snapshot";
    type Answer = SnapshotResponse<Types<M>>;
}
