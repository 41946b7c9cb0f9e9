//! What peers say to each other: Raft's messages as JSON in one envelope.

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Machine,
    types::{LogId, SnapshotMeta, Types, Vote},
};

/// Version of the envelope.
pub(crate) const VERSION: u32 = 1;
/// Largest message, in bytes, both ways.
pub(crate) const MESSAGE_LIMIT_BYTES: usize = 64 << 20;

/// The state of a snapshot travels in parts of this size, in bytes, and what is left of it with the snapshot itself.
pub(crate) const PART_BYTES: usize = 4 << 20;

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
    /// How much of the state was sent before, in parts; the rest is beside this message.
    pub(crate) before_bytes: u64,
    /// How long the whole state is.
    pub(crate) state_bytes: u64,
    /// The checksum of the whole state.
    pub(crate) state_checksum: String,
}

/// One part of the state of a snapshot, which travels beside it.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct SnapshotPart<M: Machine> {
    /// The sender's, as the snapshot itself has it.
    pub(crate) vote: Vote<M>,
    /// What the snapshot covers.
    pub(crate) upto: Option<LogId<M>>,
    /// Where in the state the part begins. The first one makes the receiver forget what it held.
    pub(crate) offset_bytes: u64,
    /// How long the whole state is.
    pub(crate) state_bytes: u64,
}

/// The answer to a part.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct PartTaken<M: Machine> {
    /// How much of this state the receiver holds now. Anything but the end of the part sends the sender back to the beginning.
    pub(crate) held_bytes: u64,
    /// The receiver's vote, when it is newer than the sender's: who sends leads no more.
    #[serde(default)]
    pub(crate) deposed_by: Option<Vote<M>>,
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
impl<M: Machine> Message for SnapshotPart<M> {
    const KIND: &'static str = "snapshot_part";
    type Answer = PartTaken<M>;
}
