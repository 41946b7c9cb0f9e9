//! One node of a replicated machine.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use api::v1::peer_server::PeerServer;
use model::{ClusterId, Revision};
use openraft::{ReadPolicy, errors::RaftError};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};

use crate::{
    BootstrapError, Machine, NodeId, OpenError, Options, PeerService, ProposeError, Role, Standing, Timers,
    applier::Applier,
    carry::{Carry, Channels},
    contact::Contact,
    error::{Refused, bootstrap, reason, refused},
    network::Network,
    options,
    parts::Parts,
    peers::Peers,
    standing,
    store::Store,
    types::{Place, Proposal, Raft, Vote},
};

/// First pause before a proposal is offered again to a leader that has not heard from its quorum yet.
const FIRST_PAUSE: Duration = Duration::from_millis(2);

/// Stands in for waits that overflow the clock.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// One node of a replicated machine. Clones share it.
///
/// Call [`shutdown`](Self::shutdown) and wait for it before the runtime ends.
pub struct Node<M: Machine> {
    pub(crate) inner: Arc<Inner<M>>,
}

pub(crate) struct Inner<M: Machine> {
    pub(crate) node: NodeId,
    pub(crate) cluster: ClusterId,
    pub(crate) timers: Timers,
    pub(crate) raft: Raft<M>,
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) contact: Contact,
    state: watch::Receiver<Arc<M>>,
    pub(crate) store: Store,
    stopping: AtomicBool,
    outgrown: Arc<OnceLock<String>>,
    pub(crate) parts: Parts<Vote<M>>,
}

impl<M: Machine> Inner<M> {
    /// A snapshot was offered that this release must not go on from. It is not taken, and the node is of no use any more.
    pub(crate) fn outgrow(&self, why: String) {
        let _ = self.outgrown.set(why);
        let raft = self.raft.clone();
        tokio::spawn(async move { raft.shutdown().await });
    }
}

impl<M: Machine> Clone for Node<M> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<M: Machine> Node<M> {
    /// Opens the node's file, rebuilds its machine from it, and starts. A node without a group waits for
    /// [`bootstrap`](Self::bootstrap), or for a leader that adds it.
    ///
    /// # Errors
    /// The file cannot be used, or must not be; it is not changed then.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let config = options::config(&options)
            .map_err(|problem| OpenError::Timers { node: options.node.clone(), problem })?;
        if options.had_file {
            Store::is_there(&options.dir)?;
        }
        let store = Store::open::<M>(&options.dir, &options.node, &options.cluster)?;
        let channels = Channels::new(options.dial.clone(), options.timers.clone());
        Self::start(options, config, store, Box::new(channels)).await
    }

    /// Starts on what was opened.
    pub(crate) async fn start(
        options: Options,
        config: openraft::Config,
        store: Store,
        carry: Box<dyn Carry>,
    ) -> Result<Self, OpenError> {
        let Options { node, cluster, timers, .. } = options;
        let (sender, state) = watch::channel(Arc::new(M::default()));
        let outgrown = Arc::new(OnceLock::new());
        let applier = Applier::new(store.clone(), sender, outgrown.clone());
        let peers = Arc::new(Peers::new(node.clone(), cluster.clone(), carry, timers.clone()));
        let network = Network(Arc::clone(&peers));
        let started = Raft::<M>::new(node.clone(), Arc::new(config), network, store.clone(), applier).await;
        let raft = started.map_err(|fatal| {
            let (node, path) = (node.clone(), store.path().to_owned());
            match outgrown.get().cloned() {
                Some(why) => OpenError::Outgrown { path, why },
                None => OpenError::Start { node, path, problem: reason(&fatal) },
            }
        })?;
        let standing = standing::publish(&raft, peers);
        tokio::spawn(beat(raft.clone(), standing.clone(), timers.heartbeat));
        let (contact, stopping) = (Contact::new(), AtomicBool::new(false));
        let parts = Parts::new(timers.snapshot);
        let inner =
            Inner { node, cluster, timers, raft, standing, contact, state, store, stopping, outgrown, parts };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Forms a group of exactly `members`, this node among them. To be called on one node, or on several with the
    /// same list: different lists make two groups.
    ///
    /// # Errors
    /// This node is in a group already, is not in the list, or has stopped.
    pub async fn bootstrap(&self, members: BTreeMap<NodeId, SocketAddr>) -> Result<(), BootstrapError> {
        let members: BTreeMap<NodeId, Place> =
            members.into_iter().map(|(node, address)| (node, Place { address })).collect();
        self.inner.raft.initialize(members).await.map_err(|error| bootstrap(&self.inner.node, error))
    }

    /// Whether this node is, or ever was, in a group.
    ///
    /// # Errors
    /// It has stopped.
    pub async fn is_initialised(&self) -> Result<bool, BootstrapError> {
        let answer = self.inner.raft.is_initialized().await;
        answer.map_err(|fatal| BootstrapError::Stopped { reason: reason(&fatal) })
    }

    /// Has `command` committed and applied, and returns where in the log it stands and what the machine replied.
    /// When it returns, [`state`](Self::state) of this node shows the effect.
    ///
    /// # Errors
    /// See [`ProposeError`], and [`ProposeError::leaves_open`] for whether the command may take effect still.
    pub async fn propose(
        &self,
        command: M::Command,
        within: Duration,
    ) -> Result<(Revision, M::Reply), ProposeError> {
        let Inner { raft, node, .. } = &*self.inner;
        let deadline = after(within);
        let mut patience = Patience::new(deadline, self.inner.timers.heartbeat);
        self.runs()?;
        loop {
            let attempt = raft.client_write(Proposal(command.clone()));
            let Ok(answer) = timeout_at(deadline, attempt).await else {
                return Err(ProposeError::Unknown { within });
            };
            match answer.map_err(|error| refused(node, within, error)) {
                Ok(done) => {
                    let revision = Revision(done.log_id.index());
                    // Only entries without a command have no reply, and this one has a command.
                    return done.data.map(|reply| (revision, reply)).ok_or(ProposeError::Unknown { within });
                }
                Err(Refused::NoLease) if patience.wait().await => {}
                Err(Refused::NoLease) => return Err(ProposeError::NoQuorum),
                Err(Refused::Propose(error)) => return Err(error),
                Err(Refused::Change(_)) => return Err(ProposeError::Unknown { within }),
            }
        }
    }

    /// Whoever has stopped takes nothing.
    pub(crate) fn runs(&self) -> Result<(), ProposeError> {
        let now = self.inner.standing.borrow();
        match now.role {
            Role::Stopped => Err(ProposeError::Stopped { reason: now.stop_reason() }),
            _ => Ok(()),
        }
    }

    /// The machine's state, after each change. A reader that keeps it for long makes the next change copy it.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<Arc<M>> {
        self.inner.state.clone()
    }

    /// What the node knows of itself and of its group, after each change.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.inner.standing.clone()
    }

    /// Whether this node leads, asked of a quorum now: true only if it does, and if [`state`](Self::state) then shows
    /// all that was acknowledged before the call. A leader that only believes that it leads answers false.
    pub async fn confirm_leader(&self, within: Duration) -> bool {
        let asked = self.inner.raft.ensure_linearizable(ReadPolicy::ReadIndex);
        match timeout_at(after(within), asked).await {
            Ok(Ok(_)) => true,
            Ok(Err(RaftError::APIError(_) | RaftError::Fatal(_))) | Err(_) => false,
        }
    }

    /// Why this release can have no part in the group any more, if the node stopped for that.
    #[must_use]
    pub fn outgrown(&self) -> Option<&str> {
        self.inner.outgrown.get().map(String::as_str)
    }

    /// The gRPC service that the peers of this node call. It does not keep the node alive. Its listener must set
    /// `TCP_NODELAY`, or each answer can take 40 ms: `TcpIncoming::with_nodelay` does, `Server::tcp_nodelay` does
    /// not for a listener of one's own.
    #[must_use]
    pub fn peer_service(&self) -> PeerServer<PeerService<M>> {
        PeerService::server(Arc::downgrade(&self.inner))
    }

    /// The same service, to be called by a gate in front of it that decides when the node may be reached.
    #[must_use]
    pub fn peer(&self) -> PeerService<M> {
        PeerService::new(Arc::downgrade(&self.inner))
    }

    /// Hands leadership over if this node leads, stops it, and releases its file.
    pub async fn shutdown(&self) {
        let leads = self.inner.standing.borrow().role == Role::Leader;
        if leads && !self.inner.stopping.swap(true, Ordering::AcqRel) {
            // Whether it worked or not, the others elect a leader; this only saves them the wait.
            if let Err(error) = self.transfer_leadership(self.inner.timers.election_max).await {
                tracing::info!(node = %self.inner.node, %error, "stopping as leader");
            }
        }
        self.halt().await;
    }

    /// Stops the node at once and releases its file. The others notice as they would notice a crash.
    pub async fn halt(&self) {
        self.inner.stopping.store(true, Ordering::Release);
        if let Err(error) = self.inner.raft.shutdown().await {
            tracing::warn!(node = %self.inner.node, %error, "stop");
        }
        self.inner.store.close();
    }
}

/// Shows that a leader is there, until the node stops.
async fn beat<M: Machine>(raft: Raft<M>, mut standing: watch::Receiver<Standing>, every: Duration) {
    while standing.wait_for(|now| now.role == Role::Leader).await.is_ok() {
        // An error is a node that has stopped, which its standing tells next.
        let _ = raft.trigger().heartbeat().await;
        tokio::time::sleep(every).await;
    }
}

/// The end of a wait, however long.
pub(crate) fn after(within: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(within).unwrap_or(now + A_YEAR)
}

/// The pauses between attempts: short, growing, and over within a heartbeat or at the deadline.
///
/// A fresh leader takes no proposal before its first quorum answer, a few milliseconds after its election. A leader
/// that was cut off answers in the same words, for ever.
pub(crate) struct Patience {
    until: Instant,
    pause: Duration,
}

impl Patience {
    pub(crate) fn new(deadline: Instant, heartbeat: Duration) -> Self {
        Self { until: deadline.min(Instant::now() + heartbeat), pause: FIRST_PAUSE }
    }

    /// Waits, and says whether another attempt is due.
    pub(crate) async fn wait(&mut self) -> bool {
        let next = Instant::now() + self.pause;
        self.pause *= 2;
        if next >= self.until {
            return false;
        }
        sleep_until(next).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        runtime::Runtime,
        testing::{Order, Tally},
    };

    #[tokio::test]
    async fn a_store_that_fails_stops_the_node_and_says_why() {
        Runtime::scope(1, fail()).await;
    }

    async fn fail() {
        let dir = tempfile::TempDir::new().unwrap();
        let id: NodeId = "a".parse().unwrap();
        let options = Options::new(id.clone(), "blue".parse().unwrap(), dir.path().to_owned());
        let node = Node::<Tally>::open(options).await.unwrap();
        node.bootstrap(BTreeMap::from([(id, "127.0.0.1:9".parse().unwrap())])).await.unwrap();
        node.propose(Order::Add(1), Duration::MAX).await.unwrap();

        node.inner.store.close();
        let within = Duration::from_secs(30);
        let refused = node.propose(Order::Add(1), within).await.unwrap_err();
        // The entry may have been on its way to the others when the disk failed: whoever leads next may commit it.
        assert!(
            matches!(&refused, ProposeError::StoppedMeanwhile { reason } if reason.contains("closed")),
            "{refused}"
        );
        assert!(refused.leaves_open());
        let mut standing = node.standing();
        let stopped = tokio::time::timeout(within, standing.wait_for(|now| now.role == Role::Stopped)).await;
        let failure = stopped.expect("it did not stop").unwrap().failure.clone();
        assert!(failure.is_some_and(|failure| failure.contains("the store is closed")));
        let refused = node.propose(Order::Add(1), within).await.unwrap_err();
        assert!(matches!(refused, ProposeError::Stopped { .. }), "{refused}");
        assert!(!refused.leaves_open(), "nothing was sent anywhere this time");
        assert!(!node.confirm_leader(within).await);
        node.shutdown().await;
    }
}
