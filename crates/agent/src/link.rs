//! An agent's way to the fleet machine: proposals reach the leader, wherever it is.
//!
//! A command is numbered once and may be offered many times: a duplicate gets the first reply. So whoever is unsure simply asks again.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use api::v1::{ProposeRequest, agent_client::AgentClient};
use model::{
    ClusterId, HostId, Revision,
    fleet::{Act, Command, Fleet, Reply},
};
use raft::{Node, ProposeError};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tonic::{Code, Status};

use crate::{
    channels::Channels, clock, forming::Knock, members::Members, node_id, recovery::News, taken::may_be_taken,
};

/// Version of the envelope between agents.
pub const VERSION: u32 = 1;
/// Metadata key with the address of the leader that the answering agent knows.
pub const LEADER_KEY: &str = "deployinator-leader";
/// Metadata key with the addresses of the members that the answering agent knows, separated by commas. It is none itself.
pub const MEMBERS_KEY: &str = "deployinator-members";
/// Pause before everybody is asked again.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest wait for the answer of an agent that may not be the leader. Well below what keeps a grant fresh.
const ONE_ANSWER: Duration = Duration::from_millis(800);
/// Longest wait for one answer of the leader.
const ANSWER: Duration = Duration::from_secs(3);

/// Why a proposal was not answered. It may have been committed all the same.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LinkError {
    /// There is no leader, or none that could be reached. Nobody has taken it.
    #[error("propose to the fleet: no leader answered within {} s; last: {last}", .within.as_secs_f32())]
    NoLeader {
        /// How long was tried.
        within: Duration,
        /// What was heard last.
        last: String,
    },
    /// A leader may have taken it, and its answer was lost: it may be committed still, or never.
    #[error("propose to the fleet: the leader's answer was lost; last: {last}")]
    AnswerLost {
        /// What was heard last.
        last: String,
    },
    /// This agent is in no cluster yet.
    #[error("propose to the fleet: this agent is in no cluster yet")]
    NoCluster,
}

/// What leads from one agent to the others.
#[derive(Clone)]
pub struct Ways {
    /// Where this agent listens.
    pub me: SocketAddr,
    /// Other agents.
    pub members: Members,
    /// Connections to them.
    pub channels: Channels,
    /// Who is told of a cluster that took the place of this one.
    pub knocks: mpsc::Sender<Knock>,
}

/// An agent's way to the fleet machine. Clones share it.
#[derive(Clone)]
pub struct Link {
    inner: Arc<Inner>,
}

struct Inner {
    host: HostId,
    proposer: String,
    sequence: AtomicU64,
    cluster: ClusterId,
    node: Node<Fleet>,
    ways: Ways,
    /// Who took the last sighting.
    leader: Mutex<Option<SocketAddr>>,
}

impl Link {
    /// What this run of the agent is called in what it proposes.
    #[must_use]
    pub fn proposer(&self) -> &str {
        &self.inner.proposer
    }

    /// The way of `host`, whose agent is run `proposer`.
    #[must_use]
    pub fn new(host: HostId, proposer: String, cluster: ClusterId, node: Node<Fleet>, ways: Ways) -> Self {
        let sequence = AtomicU64::new(1);
        Self {
            inner: Arc::new(Inner {
                host,
                proposer,
                sequence,
                cluster,
                node,
                ways,
                leader: Mutex::default(),
            }),
        }
    }

    /// This host.
    #[must_use]
    pub fn host(&self) -> &HostId {
        &self.inner.host
    }

    /// Whether an assignment made for this state directory is this host's.
    #[must_use]
    pub fn is_mine(&self, state: Option<&str>) -> bool {
        let node = self.inner.node.standing().borrow().node.clone();
        state.is_none_or(|state| node_id(&self.inner.host, state).is_ok_and(|theirs| theirs == node))
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &ClusterId {
        &self.inner.cluster
    }

    /// This agent's Raft node.
    #[must_use]
    pub fn node(&self) -> &Node<Fleet> {
        &self.inner.node
    }

    /// Connections to other agents.
    #[must_use]
    pub fn channels(&self) -> &Channels {
        &self.inner.ways.channels
    }

    /// Other agents.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.inner.ways.members
    }

    /// Where this agent listens.
    #[must_use]
    pub fn me(&self) -> SocketAddr {
        self.inner.ways.me
    }

    /// Numbers a command. It may be submitted as often as it takes.
    #[must_use]
    pub fn command(&self, act: Act) -> Command {
        let sequence = self.inner.sequence.fetch_add(1, Ordering::Relaxed);
        Command { proposer: self.inner.proposer.clone(), sequence, at: clock::wall(), act }
    }

    /// Numbers and submits.
    ///
    /// # Errors
    /// Nobody answered in time; it may be committed all the same.
    pub async fn propose(&self, act: Act, within: Duration) -> Result<(Revision, Reply), LinkError> {
        let command = self.command(act);
        self.submit(&command, within).await
    }

    /// Has the command committed, by whoever leads, trying until `within` has passed.
    ///
    /// # Errors
    /// Nobody answered in time; it may be committed all the same.
    pub async fn submit(&self, command: &Command, within: Duration) -> Result<(Revision, Reply), LinkError> {
        let deadline = Instant::now() + within;
        let (mut hint, mut hinted) = (None, None);
        let (mut last, mut taken) = ("nobody was asked yet".to_owned(), false);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(if taken {
                    LinkError::AnswerLost { last }
                } else {
                    LinkError::NoLeader { within, last }
                });
            }
            let before = self.leader();
            let elsewhere = match self.offer(command, hint.take(), left.min(ANSWER)).await {
                Ok(done) => return Ok(done),
                Err(elsewhere) => elsewhere,
            };
            taken |= elsewhere.taken;
            last = elsewhere.why;
            match elsewhere.leader.filter(|leader| *leader != self.inner.ways.me) {
                Some(leader) => {
                    if hinted == Some(leader) {
                        // It named another one, which names it again: an election is under way.
                        self.pause(before, left).await;
                    }
                    (hint, hinted) = (Some(leader), Some(leader));
                }
                None => self.pause(before, left).await,
            }
        }
    }

    /// Waits a little before everybody is asked again; no longer than until a member of the group hears of another leader than `before`.
    async fn pause(&self, before: Option<SocketAddr>, left: Duration) {
        let mut standing = self.inner.node.standing();
        let elected = async {
            let heard = standing.wait_for(|now| {
                let leader = now.leader.as_ref().and_then(|leader| now.address(leader));
                leader.is_some() && leader != before
            });
            if heard.await.is_err() {
                // A node that has stopped hears of nobody.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = sleep(PAUSE.min(left)) => (),
            () = elected, if self.is_member() => (),
        }
    }

    /// One attempt: at the leader that was named, else here if this node is in the group, else at any agent.
    async fn offer(
        &self,
        command: &Command,
        named: Option<SocketAddr>,
        within: Duration,
    ) -> Result<(Revision, Reply), Elsewhere> {
        if let Some(leader) = named {
            return self.offer_to(leader, command, within).await;
        }
        let mut last = Elsewhere::new(None, "no other agent is known");
        if self.is_member() {
            match self.offer_here(command, within).await {
                // This node may have been left behind by its group, so that others are asked as well.
                Err(elsewhere) if elsewhere.leader.is_none() => last = elsewhere,
                answer => return answer,
            }
        }
        let deadline = Instant::now() + within;
        let known = self.leader().filter(|leader| *leader != self.inner.ways.me);
        let others = self.inner.ways.members.all().into_iter();
        let others = others.filter(|address| *address != self.inner.ways.me && Some(*address) != known);
        for address in known.into_iter().chain(others) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.offer_to(address, command, left.min(ONE_ANSWER)).await {
                Err(elsewhere) if elsewhere.leader.is_none() && !left.is_zero() => {
                    last = Elsewhere { taken: last.taken || elsewhere.taken, ..elsewhere };
                }
                Err(elsewhere) => {
                    return Err(Elsewhere { taken: last.taken || elsewhere.taken, ..elsewhere });
                }
                done => return done,
            }
        }
        Err(last)
    }

    /// Whether this node has a part in the Raft group now, so that its replica is as good as any other.
    #[must_use]
    pub fn is_member(&self) -> bool {
        self.inner.node.takes_part()
    }

    /// Whether this node has a replica, however old: it has a part in the group, or had one when it last heard of it.
    #[must_use]
    pub fn has_replica(&self) -> bool {
        let standing = self.inner.node.standing();
        let standing = standing.borrow();
        standing.address(&standing.node).is_some()
    }

    /// Offers a command to this node only, as the leader it may be.
    ///
    /// # Errors
    /// It does not lead; who does, as far as it knows.
    pub async fn offer_here(
        &self,
        command: &Command,
        within: Duration,
    ) -> Result<(Revision, Reply), Elsewhere> {
        self.inner.node.propose(command.clone(), within).await.map_err(|error| {
            let leader = match &error {
                ProposeError::NotLeader { leader } => leader.as_ref().map(|(_, address)| *address),
                _ => None,
            };
            let taken = error.leaves_open();
            Elsewhere { leader, why: error.to_string(), taken }
        })
    }

    async fn offer_to(
        &self,
        address: SocketAddr,
        command: &Command,
        within: Duration,
    ) -> Result<(Revision, Reply), Elsewhere> {
        let unreadable = |why: serde_json::Error| Elsewhere::new(None, format!("{address}: {why}"));
        let request = ProposeRequest {
            version: VERSION,
            cluster: self.inner.cluster.to_string(),
            command: serde_json::to_vec(command).map_err(unreadable)?,
        };
        let mut client = AgentClient::new(self.inner.ways.channels.to(address))
            .max_encoding_message_size(api::MESSAGE_LIMIT_BYTES);
        let answer = timeout(within, client.propose(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        let answer = answer.map_err(|status| self.elsewhere(address, &status))?.into_inner();
        // It is committed, whatever was answered: a newer agent may use words that this one does not know.
        let reply = serde_json::from_slice(&answer.reply)
            .map_err(|why| Elsewhere { taken: true, ..unreadable(why) })?;
        Ok((Revision(answer.revision), reply))
    }

    fn elsewhere(&self, address: SocketAddr, status: &Status) -> Elsewhere {
        self.learn(status);
        let named = status.metadata().get(LEADER_KEY).and_then(|value| value.to_str().ok()?.parse().ok());
        let leader = named.filter(|_| status.code() == Code::FailedPrecondition);
        Elsewhere { leader, why: format!("{address}: {}", status.message()), taken: may_be_taken(status) }
    }

    /// Whoever is no member names those it knows: they are asked from now on as well.
    ///
    /// Whoever is of the cluster that took the place of this one says so: then this agent goes over.
    pub fn learn(&self, refusal: &Status) {
        if let Some(news) = News::of(refusal) {
            // One that is not heard now is heard again.
            let _ = self.inner.ways.knocks.try_send(Knock::Succeeded(news, None));
        }
        let named = refusal.metadata().get(MEMBERS_KEY).and_then(|value| value.to_str().ok());
        let addresses = named.into_iter().flat_map(|named| named.split(','));
        self.inner.ways.members.listed(addresses.filter_map(|address| address.parse().ok()));
    }

    /// Where the leader listens, as far as this agent knows: from its replica, or because it took the last sighting.
    #[must_use]
    pub fn leader(&self) -> Option<SocketAddr> {
        if self.is_member() {
            let standing = self.inner.node.standing();
            let standing = standing.borrow();
            return standing.leader.as_ref().and_then(|leader| standing.address(leader));
        }
        *self.inner.leader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody else has to be asked.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    /// Where the leader listens, as far as was said.
    pub leader: Option<SocketAddr>,
    /// Why not here.
    pub why: String,
    /// It may have been taken all the same: the answer is what is missing.
    pub taken: bool,
}

impl Elsewhere {
    /// Nobody has taken it here.
    pub fn new(leader: Option<SocketAddr>, why: impl Into<String>) -> Self {
        Self { leader, why: why.into(), taken: false }
    }
}

mod sighting;
#[cfg(test)]
mod tests;
