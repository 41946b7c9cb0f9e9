//! What a node answers when it cannot do what it was asked.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use openraft::errors::{
    ChangeMembershipError, ClientWriteError, Fatal, ForwardReason, ForwardToLeader, InitializeError,
    RaftError,
};

use crate::{Machine, NodeId, types::Types};

/// Why a proposal was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Not taken: another node leads, or none does at the moment. Ask that one.
    #[error("propose: this node does not lead; {}", whereabouts(leader.as_ref()))]
    NotLeader {
        /// The leader, if this node knows it.
        leader: Option<(NodeId, SocketAddr)>,
    },
    /// Not taken: this node leads, but has not heard from a majority for too long.
    #[error("propose: no majority of the voters answers this leader")]
    NoQuorum,
    /// Taken, and not seen committed: it may commit still, or never. Only asking again for the same thing, in a way
    /// that the machine recognises, makes it certain.
    #[error("propose: not seen committed within {within:?}, but it may commit still")]
    Unknown {
        /// How long was waited.
        within: Duration,
    },
    /// Not taken: this node had stopped before it was asked.
    #[error("propose: this node has stopped ({reason})")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// This node stopped while it was asked. It may have sent the command to the others before, who commit it then, or never.
    #[error("propose: this node stopped meanwhile ({reason}), but it may commit still")]
    StoppedMeanwhile {
        /// Why.
        reason: String,
    },
}

impl ProposeError {
    /// Whether it may commit still.
    #[must_use]
    pub fn leaves_open(&self) -> bool {
        match self {
            Self::Unknown { .. } | Self::StoppedMeanwhile { .. } => true,
            Self::NotLeader { .. } | Self::NoQuorum | Self::Stopped { .. } => false,
        }
    }
}

fn whereabouts(leader: Option<&(NodeId, SocketAddr)>) -> String {
    leader.map_or("no leader is known".to_owned(), |(node, address)| format!("{node} at {address} does"))
}

/// Why the members were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The change is committed like a proposal, and was not.
    #[error("change members")]
    Propose(#[from] ProposeError),
    /// Another change is not complete yet.
    #[error("change members: another change is under way")]
    InProgress,
    /// The group must keep a voter.
    #[error("change members: no voter would be left")]
    NoVoters,
    /// Only members can be made voters. Add them as learners first.
    #[error("change members: not a member yet: {}", list(nodes))]
    NotMembers {
        /// The nodes that are not members.
        nodes: BTreeSet<NodeId>,
    },
    /// A voter is taken out with `set_voters`, which keeps the majority safe.
    #[error("remove learner {node}: it is a voter")]
    IsVoter {
        /// The node.
        node: NodeId,
    },
    /// A node that is to vote did not get the log in time. Nothing was changed.
    #[error("make {node} a voter: it lacked {lag} entries after {within:?}")]
    NotCaughtUp {
        /// The node.
        node: NodeId,
        /// How many entries it lacked.
        lag: u64,
        /// How long was waited.
        within: Duration,
    },
}

fn list(nodes: &BTreeSet<NodeId>) -> String {
    nodes.iter().map(NodeId::as_str).collect::<Vec<_>>().join(", ")
}

/// Why the group was not formed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootstrapError {
    /// This node is in a group already.
    #[error("bootstrap: this node is in a group already")]
    Initialised,
    /// The list of members lacks this node.
    #[error("bootstrap: the list of members lacks this node, {node}")]
    NotAMember {
        /// This node.
        node: NodeId,
    },
    /// This node has stopped.
    #[error("bootstrap: this node has stopped ({reason})")]
    Stopped {
        /// Why.
        reason: String,
    },
}

/// Why the leadership was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This node does not lead.
    #[error("hand over leadership: this node does not lead")]
    NotLeader,
    /// There is no other voter, or none that answered lately.
    #[error("hand over leadership: no other voter answers")]
    NoSuccessor,
    /// The successor did not take over in time.
    #[error("hand over leadership: {to} did not take over within {within:?}")]
    NotTaken {
        /// The voter that was to lead.
        to: NodeId,
        /// How long was waited.
        within: Duration,
    },
    /// This node has stopped.
    #[error("hand over leadership: this node has stopped ({reason})")]
    Stopped {
        /// Why.
        reason: String,
    },
}

/// What openraft said of a write.
pub(crate) enum Refused {
    /// It is refused for now only: a leader that has not heard from a quorum yet, or not lately.
    NoLease,
    /// It is refused for good.
    Propose(ProposeError),
    /// It is a change of members that cannot be.
    Change(ChangeError),
}

pub(crate) fn refused<M: Machine>(
    me: &NodeId,
    within: Duration,
    error: RaftError<Types<M>, ClientWriteError<Types<M>>>,
) -> Refused {
    match error {
        RaftError::Fatal(fatal) => {
            Refused::Propose(ProposeError::StoppedMeanwhile { reason: reason(&fatal) })
        }
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => forwarded(me, forward),
        RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) => {
            Refused::Propose(ProposeError::Unknown { within })
        }
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => Refused::Change(match error {
            ChangeMembershipError::EmptyMembership(_) => ChangeError::NoVoters,
            ChangeMembershipError::LearnerNotFound(error) => {
                ChangeError::NotMembers { nodes: BTreeSet::from([error.node_id]) }
            }
            ChangeMembershipError::InProgress(_)
            | ChangeMembershipError::UncommittedLeaderLog(_)
            | ChangeMembershipError::UnsupportedMembershipTransition(_)
            | ChangeMembershipError::NodeMetadataChanged(_) => ChangeError::InProgress,
        }),
        // Somebody else changed the members meanwhile, before the change or between its two steps.
        RaftError::APIError(ClientWriteError::PreconditionFailed(_)) => {
            Refused::Change(ChangeError::InProgress)
        }
    }
}

fn forwarded<M: Machine>(me: &NodeId, forward: ForwardToLeader<Types<M>>) -> Refused {
    let leader = forward.leader_id.zip(forward.leader_node.map(|place| place.address));
    match forward.reason {
        ForwardReason::LeaseExpired => Refused::NoLease,
        ForwardReason::NotLeader | ForwardReason::LeadershipTransfer => match leader {
            Some((node, _)) if node == *me => Refused::NoLease,
            leader => Refused::Propose(ProposeError::NotLeader { leader }),
        },
    }
}

pub(crate) fn bootstrap<M: Machine>(
    me: &NodeId,
    error: RaftError<Types<M>, InitializeError<Types<M>>>,
) -> BootstrapError {
    match error {
        RaftError::APIError(InitializeError::NotAllowed(_)) => BootstrapError::Initialised,
        RaftError::APIError(InitializeError::NotInMembers(_)) => {
            BootstrapError::NotAMember { node: me.clone() }
        }
        RaftError::Fatal(fatal) => BootstrapError::Stopped { reason: reason(&fatal) },
    }
}

/// Why a node stopped, as text: openraft's error carries its sources in its own.
pub(crate) fn reason<M: Machine>(fatal: &Fatal<Types<M>>) -> String {
    fatal.to_string()
}
