//! The types that openraft is built from. None of them leaves this crate.

use std::{cmp::Ordering, fmt, marker::PhantomData, net::SocketAddr};

use openraft::{
    RaftTypeConfig,
    type_config::alias::{EntryOf, LogIdOf, SnapshotMetaOf, StoredMembershipOf, VoteOf},
};
use serde::{Deserialize, Serialize};

use crate::{Machine, NodeId};

/// openraft's type configuration for the machine `M`.
pub(crate) struct Types<M>(PhantomData<fn() -> M>);

pub(crate) type Entry<M> = EntryOf<Types<M>>;
pub(crate) type LogId<M> = LogIdOf<Types<M>>;
pub(crate) type Vote<M> = VoteOf<Types<M>>;
pub(crate) type StoredMembership<M> = StoredMembershipOf<Types<M>>;
pub(crate) type SnapshotMeta<M> = SnapshotMetaOf<Types<M>>;
pub(crate) type Raft<M> = openraft::Raft<Types<M>, crate::applier::Applier<M>>;
pub(crate) type Metrics<M> = openraft::RaftMetrics<Types<M>>;

/// Where a node is reached. A struct, so that it can gain fields in logs that exist already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
}

/// Only openraft's own test suite makes places out of nothing.
#[cfg(test)]
impl Default for Place {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 1)) }
    }
}

/// A command on its way. It prints no content: openraft logs what it carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Proposal<T>(pub(crate) T);

impl<T> fmt::Display for Proposal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("command")
    }
}

impl<M: Machine> RaftTypeConfig for Types<M> {
    type D = Proposal<M::Command>;
    type R = Option<M::Reply>;
    type NodeId = NodeId;
    type Node = Place;
    type Term = u64;
    type LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, NodeId>;
    type Vote = openraft::impls::Vote<Self::LeaderId>;
    type Payload = openraft::EntryPayload<Self::D, NodeId, Place>;
    type Entry = openraft::Entry<<Self::LeaderId as openraft::vote::RaftLeaderId>::Committed, Self::Payload>;
    type Responder<T>
        = openraft::impls::ProgressResponder<Self, T>
    where
        T: openraft::OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: openraft::OptionalSend + 'static;
    type AsyncRuntime = crate::runtime::Runtime;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

// By hand, because a derive would ask the same of `M`, which is only a name here.
impl<M> Clone for Types<M> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<M> Copy for Types<M> {}
impl<M> Default for Types<M> {
    fn default() -> Self {
        Self(PhantomData)
    }
}
impl<M> fmt::Debug for Types<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Types")
    }
}
impl<M> PartialEq for Types<M> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl<M> Eq for Types<M> {}
impl<M> PartialOrd for Types<M> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<M> Ord for Types<M> {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}
