//! Changes of the group: who gets the log, who votes, who leads.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use model::Revision;
use openraft::{ChangeMembers, Precondition, async_runtime::watch::WatchReceiver as _};
use tokio::time::{Instant, timeout_at};

use crate::{
    ChangeError, Machine, Node, NodeId, ProposeError, Role, Standing, TransferError,
    error::{Refused, reason, refused},
    node::{Patience, after},
    types::{Place, Types},
};

impl<M: Machine> Node<M> {
    /// Makes `node` a member without a vote, or tells the group that a member is now at `address`. It does not wait
    /// until the node has the log: [`Standing::peers`](crate::Standing::peers) shows how far it is.
    ///
    /// # Errors
    /// This node does not lead, or the change was not committed.
    pub async fn add_learner(
        &self,
        node: NodeId,
        address: SocketAddr,
        within: Duration,
    ) -> Result<Revision, ChangeError> {
        let known = self.inner.standing.borrow().address(&node);
        let (deadline, added) = (after(within), node.clone());
        let place = BTreeMap::from([(node, Place { address })]);
        let change = match known {
            Some(known) if known != address => ChangeMembers::SetNodes(place),
            Some(_) | None => ChangeMembers::AddNodes(place),
        };
        let revision = self.change(change, within).await?;
        // The standing is published a moment after the commit; whoever goes on from here finds the member in it.
        let _ = self.wait(deadline, |now| now.address(&added) == Some(address)).await;
        Ok(revision)
    }

    /// Takes a member without a vote out of the group.
    ///
    /// # Errors
    /// It votes, this node does not lead, or the change was not committed.
    pub async fn remove_learner(&self, node: NodeId, within: Duration) -> Result<Revision, ChangeError> {
        if self.inner.standing.borrow().voters.contains_key(&node) {
            return Err(ChangeError::IsVoter { node });
        }
        self.change(ChangeMembers::RemoveNodes(BTreeSet::from([node])), within).await
    }

    /// Makes exactly `voters` vote. Those who voted before and are not among them leave the group; learners stay. New
    /// voters must be members, and are waited for until they have the log as it was at the call.
    ///
    /// A change that was begun goes on when `within` has passed. One that a leader's loss cut in half shows in
    /// [`Standing::changing`](crate::Standing::changing), and is completed by asking again, for the same voters or, after it, for others.
    ///
    /// # Errors
    /// A new voter is no member or does not catch up, this node does not lead, or the change was not committed.
    pub async fn set_voters(
        &self,
        voters: BTreeSet<NodeId>,
        within: Duration,
    ) -> Result<Revision, ChangeError> {
        if voters.is_empty() {
            return Err(ChangeError::NoVoters);
        }
        let deadline = after(within);
        self.caught_up(&voters, deadline, within).await?;
        let remaining = || deadline.saturating_duration_since(Instant::now());
        let quorums = self.inner.standing.borrow().quorums.clone();
        if let [_, under_way] = quorums.as_slice()
            && *under_way != voters
        {
            self.change(ChangeMembers::ReplaceAllVoters(under_way.clone()), remaining()).await?;
        }
        self.change(ChangeMembers::ReplaceAllVoters(voters), remaining()).await
    }

    /// Waits until the new ones among `voters` hold all that the log holds now.
    async fn caught_up(
        &self,
        voters: &BTreeSet<NodeId>,
        deadline: Instant,
        within: Duration,
    ) -> Result<(), ChangeError> {
        let (new, goal) = {
            let now = self.inner.standing.borrow();
            let strangers: BTreeSet<_> =
                voters.iter().filter(|node| now.address(node).is_none()).cloned().collect();
            if !strangers.is_empty() {
                return Err(ChangeError::NotMembers { nodes: strangers });
            }
            let new: Vec<_> = voters.iter().filter(|node| !now.voters.contains_key(*node)).cloned().collect();
            (new, now.last_log)
        };
        for node in new {
            let holds = |now: &Standing| now.peers.get(&node).is_some_and(|peer| peer.matched >= goal);
            match self.wait(deadline, |now| now.role != Role::Leader || holds(now)).await {
                Ok(now) if now.role == Role::Leader => {}
                Ok(now) => return Err(not_leader(&now).into()),
                Err(now) => {
                    let lag = now.peers.get(&node).map_or(goal.map_or(0, |goal| goal.0), |peer| peer.lag);
                    return Err(ChangeError::NotCaughtUp { node, lag, within });
                }
            }
        }
        Ok(())
    }

    /// Waits until the standing is as wanted, or the node has stopped. An error is the standing at the deadline.
    async fn wait(
        &self,
        deadline: Instant,
        wanted: impl Fn(&Standing) -> bool,
    ) -> Result<Standing, Standing> {
        let mut standing = self.inner.standing.clone();
        let reached = async {
            loop {
                let now = standing.borrow_and_update().clone();
                if wanted(&now) || now.role == Role::Stopped || standing.changed().await.is_err() {
                    return now;
                }
            }
        };
        timeout_at(deadline, reached).await.map_err(|_| self.inner.standing.borrow().clone())
    }

    /// Commits one change of members.
    async fn change(
        &self,
        change: ChangeMembers<NodeId, Place>,
        within: Duration,
    ) -> Result<Revision, ChangeError> {
        let deadline = after(within);
        let mut patience = Patience::new(deadline, self.inner.timers.heartbeat);
        self.runs()?;
        loop {
            // A task of its own: a change of voters takes two steps, and must not be dropped between them.
            let (raft, step) = (self.inner.raft.clone(), change.clone());
            let unless_changed = [self.unless_changed(&change)?];
            let attempt =
                tokio::spawn(async move { raft.change_membership_if(step, false, unless_changed).await });
            let answer = match timeout_at(deadline, attempt).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(lost)) => {
                    return Err(ProposeError::StoppedMeanwhile { reason: lost.to_string() }.into());
                }
                Err(_) => return Err(ProposeError::Unknown { within }.into()),
            };
            match answer.map_err(|error| refused(&self.inner.node, within, error)) {
                Ok(done) => return Ok(Revision(done.log_id.index())),
                Err(Refused::NoLease) if patience.wait().await => {}
                Err(Refused::NoLease) => return Err(ProposeError::NoQuorum.into()),
                Err(Refused::Propose(error)) => return Err(error.into()),
                Err(Refused::Change(error)) => return Err(error),
            }
        }
    }

    /// That the members are still those by which this node votes and may make this change.
    ///
    /// A change that a leader's loss cut in half is completed before another one is begun. openraft would go on from between the two at once,
    /// and this node, if neither of them has it vote any more, would stop in the middle.
    fn unless_changed(
        &self,
        change: &ChangeMembers<NodeId, Place>,
    ) -> Result<Precondition<Types<M>>, ChangeError> {
        let metrics = self.inner.raft.metrics();
        let now = metrics.borrow_watched();
        let members = &now.membership_config;
        if !members.membership().voter_ids().any(|voter| voter == self.inner.node) {
            return Err(not_leader(&self.inner.standing.borrow()).into());
        }
        let sets = members.membership().get_joint_config();
        if let (ChangeMembers::ReplaceAllVoters(voters), [_, under_way, ..]) = (change, sets.as_slice())
            && voters != under_way
        {
            return Err(ChangeError::InProgress);
        }
        Ok(Precondition::LastMembershipLogId { last_membership_log_id: members.log_id().clone() })
    }

    /// Hands leadership to the voter that has most of the log and answered lately, and returns it once it leads.
    ///
    /// # Errors
    /// This node does not lead, no other voter answers, or the one chosen did not take over in time.
    pub async fn transfer_leadership(&self, within: Duration) -> Result<NodeId, TransferError> {
        let now = self.inner.standing.borrow().clone();
        if now.role != Role::Leader {
            return Err(TransferError::NotLeader);
        }
        let to = successor(&now, self.inner.timers.election_min).ok_or(TransferError::NoSuccessor)?;
        let asked = self.inner.raft.trigger().transfer_leader(to.clone()).await;
        asked.map_err(|fatal| TransferError::Stopped { reason: reason(&fatal) })?;
        let me = &self.inner.node;
        let taken = |now: &Standing| now.leader.as_ref().is_some_and(|leader| leader != me);
        match self.wait(after(within), taken).await {
            Ok(now) if now.role == Role::Stopped => Err(TransferError::Stopped { reason: now.stop_reason() }),
            Ok(now) => Ok(now.leader.unwrap_or(to)),
            Err(_) => Err(TransferError::NotTaken { to, within }),
        }
    }
}

/// Why a node that does not lead refuses.
fn not_leader(now: &Standing) -> ProposeError {
    if now.role == Role::Stopped {
        return ProposeError::Stopped { reason: now.stop_reason() };
    }
    let leader = now.leader.clone().filter(|leader| *leader != now.node);
    ProposeError::NotLeader {
        leader: leader.and_then(|node| now.address(&node).map(|address| (node, address))),
    }
}

/// The best voter to lead next: it answered within `fresh`, and has most of the log.
fn successor(now: &Standing, fresh: Duration) -> Option<NodeId> {
    let able = now.peers.iter().filter(|(node, peer)| {
        now.voters.contains_key(*node) && peer.last_contact.is_some_and(|at| at.elapsed() <= fresh)
    });
    able.max_by_key(|(_, peer)| peer.matched).map(|(node, _)| node.clone())
}
