//! What a node knows of itself and of its group, for people and for the code that changes members.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

use model::Revision;
use openraft::{Instant as _, ServerState, async_runtime::watch::WatchReceiver as _};
use tokio::{sync::watch, time::Instant};

use crate::{
    Machine, NodeId,
    peers::Peers,
    types::{Metrics, Raft},
};

/// What a node does in its group at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It believes that it leads. Only [`Node::confirm_leader`](crate::Node::confirm_leader) makes it certain.
    Leader,
    /// It follows a leader, and votes.
    Follower,
    /// It asks for votes.
    Candidate,
    /// It gets the log, if it is in a group at all, and has no vote.
    Learner,
    /// It has stopped, see [`Standing::failure`].
    Stopped,
}

/// A peer as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStanding {
    /// The newest entry that the peer is known to hold.
    pub matched: Option<Revision>,
    /// How many entries of the leader's log the peer is not known to hold.
    pub lag: u64,
    /// When the peer last answered.
    pub last_contact: Option<Instant>,
}

/// What a node knows of itself and of its group. A view: it may be old before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The node.
    pub node: NodeId,
    /// What it does.
    pub role: Role,
    /// The term of its newest vote.
    pub term: u64,
    /// The leader that it knows of.
    pub leader: Option<NodeId>,
    /// Who votes, and where they are. While the voters change, the old and the new ones.
    pub voters: BTreeMap<NodeId, SocketAddr>,
    /// Voters that the newest change leaves out, for as long as it is not known to be committed: until then the group may still need them.
    pub leaving: BTreeMap<NodeId, SocketAddr>,
    /// The sets of voters of which each must have a majority: two while the voters change.
    pub quorums: Vec<BTreeSet<NodeId>>,
    /// Who gets the log without a vote, and where they are.
    pub learners: BTreeMap<NodeId, SocketAddr>,
    /// The change of the voters is not complete. If it stays so, because a leader was lost over it, ask again for the
    /// same voters.
    pub changing: bool,
    /// The newest entry of its log.
    pub last_log: Option<Revision>,
    /// The newest entry that it applied.
    pub last_applied: Option<Revision>,
    /// The newest entry that its snapshot covers.
    pub snapshot: Option<Revision>,
    /// The newest entry that it no longer holds.
    pub purged: Option<Revision>,
    /// The others, seen by a leader. Empty on all other nodes.
    pub peers: BTreeMap<NodeId, PeerStanding>,
    /// When a quorum last confirmed this leader.
    pub quorum_contact: Option<Instant>,
    /// Why it stopped, unless it was asked to. A store that failed ends a node for good.
    pub failure: Option<String>,
}

impl Standing {
    /// The address of a member.
    #[must_use]
    pub fn address(&self, node: &NodeId) -> Option<SocketAddr> {
        self.voters.get(node).or_else(|| self.learners.get(node)).copied()
    }

    /// Why it has stopped.
    pub(crate) fn stop_reason(&self) -> String {
        self.failure.clone().unwrap_or_else(|| "it was asked to".to_owned())
    }

    /// All members, wherever they are.
    #[must_use]
    pub fn members(&self) -> BTreeMap<NodeId, SocketAddr> {
        self.voters.iter().chain(&self.learners).map(|(node, address)| (node.clone(), *address)).collect()
    }
}

/// Publishes a node's standing until it stops, and has the peers follow it.
pub(crate) fn publish<M: Machine>(raft: &Raft<M>, peers: Arc<Peers>) -> watch::Receiver<Standing> {
    let mut metrics = raft.metrics();
    let first = standing::<M>(&metrics.borrow_and_update());
    peers.follow(&first);
    let (sender, receiver) = watch::channel(first);
    tokio::spawn(async move {
        loop {
            let ended = metrics.changed().await.is_err();
            let mut now = standing::<M>(&metrics.borrow_and_update());
            if ended {
                now.role = Role::Stopped;
            }
            peers.follow(&now);
            sender.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
            if ended {
                return;
            }
        }
    });
    receiver
}

fn standing<M: Machine>(metrics: &Metrics<M>) -> Standing {
    let membership = metrics.membership_config.membership();
    let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
    let (voters, learners) = membership
        .nodes()
        .map(|(node, place)| (node.clone(), place.address))
        .partition(|(node, _)| voters.contains(node));
    let stopped = metrics.running_state.as_ref().err();
    Standing {
        node: metrics.id.clone(),
        role: if stopped.is_some() { Role::Stopped } else { role(metrics.state) },
        term: metrics.current_term,
        leader: metrics.current_leader.clone(),
        leaving: leaving::<M>(metrics),
        voters,
        quorums: membership.get_joint_config().clone(),
        learners,
        changing: membership.get_joint_config().len() > 1
            || metrics.membership_config != metrics.committed_membership_config,
        last_log: metrics.last_log_index.map(Revision),
        last_applied: metrics.last_applied.as_ref().map(|log| Revision(log.index())),
        snapshot: metrics.snapshot.as_ref().map(|log| Revision(log.index())),
        purged: metrics.purged.as_ref().map(|log| Revision(log.index())),
        peers: peer_standings::<M>(metrics),
        quorum_contact: metrics.last_quorum_acked.as_deref().and_then(|at| instant(at.elapsed())),
        failure: stopped
            .filter(|fatal| !matches!(fatal, openraft::errors::Fatal::Stopped))
            .map(ToString::to_string),
    }
}

fn leaving<M: Machine>(metrics: &Metrics<M>) -> BTreeMap<NodeId, SocketAddr> {
    let committed = metrics.committed_membership_config.membership();
    let voters: BTreeSet<NodeId> = committed.voter_ids().collect();
    let stays =
        |node: &NodeId| metrics.membership_config.membership().voter_ids().any(|voter| voter == *node);
    let nodes = committed.nodes().filter(|(node, _)| voters.contains(*node) && !stays(node));
    nodes.map(|(node, place)| (node.clone(), place.address)).collect()
}

fn role(state: ServerState) -> Role {
    match state {
        ServerState::Leader => Role::Leader,
        ServerState::Follower => Role::Follower,
        ServerState::Candidate => Role::Candidate,
        ServerState::Learner => Role::Learner,
        ServerState::Shutdown => Role::Stopped,
    }
}

fn peer_standings<M: Machine>(metrics: &Metrics<M>) -> BTreeMap<NodeId, PeerStanding> {
    let Some(replication) = &metrics.replication else { return BTreeMap::new() };
    let end = metrics.last_log_index.map_or(0, |index| index + 1);
    let others = replication.iter().filter(|(node, _)| **node != metrics.id);
    let standings = others.map(|(node, matched)| {
        let contact = metrics.heartbeat.as_ref().and_then(|heartbeat| heartbeat.get(node)?.as_deref());
        let standing = PeerStanding {
            matched: matched.as_ref().map(|log| Revision(log.index())),
            lag: end.saturating_sub(matched.as_ref().map_or(0, |log| log.index() + 1)),
            last_contact: contact.and_then(|at| instant(at.elapsed())),
        };
        (node.clone(), standing)
    });
    standings.collect()
}

/// openraft's instants cannot be converted, only compared with now.
fn instant(ago: std::time::Duration) -> Option<Instant> {
    Instant::now().checked_sub(ago)
}

#[cfg(test)]
mod tests {
    use openraft::Membership;

    use super::*;
    use crate::{
        testing::Tally,
        types::{Place, StoredMembership},
    };

    /// Of these sets of voters, with everybody as a member.
    fn membership(sets: &[&[&str]]) -> Arc<StoredMembership<Tally>> {
        let id = |name: &&str| name.parse::<NodeId>().unwrap();
        let members: BTreeMap<NodeId, Place> =
            ["a", "b"].iter().map(|name| (id(name), Place::default())).collect();
        let voters = sets.iter().map(|set| set.iter().map(id).collect()).collect();
        Arc::new(StoredMembership::<Tally>::new(None, Membership::new(voters, members).unwrap()))
    }

    #[test]
    fn a_voter_is_leaving_until_it_is_committed_that_it_votes_no_more() {
        let mut metrics = Metrics::<Tally>::new_initial("a".parse().unwrap());
        let mut seen = |newest: &[&[&str]], committed: &[&[&str]]| {
            metrics.membership_config = membership(newest);
            metrics.committed_membership_config = membership(committed);
            let Standing { voters, leaving, .. } = standing::<Tally>(&metrics);
            [voters, leaving].map(|nodes| nodes.keys().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        let (both, new): (&[&[&str]], &[&[&str]]) = (&[&["a"], &["b"]], &[&["b"]]);
        assert_eq!(seen(both, &[&["a"]]), ["a b", ""]);
        assert_eq!(seen(new, both), ["b", "a"], "what says so may still be lost");
        assert_eq!(seen(new, new), ["b", ""]);
    }
}
