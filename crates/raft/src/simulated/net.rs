//! The network between the nodes of a run: messages are late, overtake each other, are lost, held back while a link is cut, and arrive
//! when nobody waits for their answer any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use api::v1::{PeerRequest, PeerResponse, peer_server::Peer as _};
use openraft::{
    AsyncRuntime as _,
    rt::watch::{Watch as _, WatchReceiver as _, WatchSender as _},
};
use tokio::{sync::oneshot, time::sleep};
use tonic::{Request, Status};

use super::{
    chance::Chance,
    journal::Journal,
    watch::{self, InOrder},
};
use crate::{
    NodeId, PeerService,
    carry::{Carry, NotCarried},
    runtime::Runtime,
};

/// One life of a node, from its start to its crash.
pub(super) type Life = u64;

/// Where a node is called, in which life of it.
type Door = (Life, Arc<PeerService<Journal>>);

/// From whom to whom.
type Link = (NodeId, NodeId);

/// The network. Clones share it.
#[derive(Clone)]
pub(super) struct Net {
    chance: Chance,
    doors: Arc<Mutex<BTreeMap<NodeId, Door>>>,
    cut: watch::Sender<BTreeSet<Link>>,
    /// So many messages of a hundred are lost.
    loss: Arc<Mutex<u64>>,
    /// How many of each kind were answered.
    answered: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Net {
    pub(super) fn new(chance: Chance) -> Self {
        let (cut, _) = InOrder::channel(BTreeSet::new());
        Self { chance, doors: Arc::default(), cut, loss: Arc::default(), answered: Arc::default() }
    }

    /// How many messages of each kind were answered.
    pub(super) fn answered(&self) -> BTreeMap<String, u64> {
        self.answered.lock().unwrap().clone()
    }

    /// A node lives, and can be called.
    pub(super) fn open(&self, node: &NodeId, life: Life, peer: PeerService<Journal>) {
        self.doors.lock().unwrap().insert(node.clone(), (life, Arc::new(peer)));
    }

    /// A node crashed: nothing that it says from now on is heard.
    pub(super) fn shut(&self, node: &NodeId) {
        self.doors.lock().unwrap().remove(node);
    }

    pub(super) fn cut(&self, links: impl IntoIterator<Item = Link>) {
        self.cut.send_if_modified(|cut| {
            cut.extend(links);
            true
        });
    }

    pub(super) fn heal(&self) {
        self.cut.send_if_different(BTreeSet::new());
        self.lose(0);
    }

    pub(super) fn lose(&self, percent: u64) {
        *self.loss.lock().unwrap() = percent;
    }

    /// How `node` reaches the others in this life.
    pub(super) fn line(&self, node: NodeId, life: Life) -> Line {
        Line { net: self.clone(), from: node, life }
    }

    fn door(&self, node: &NodeId) -> Option<Door> {
        self.doors.lock().unwrap().get(node).cloned()
    }

    fn lives(&self, node: &NodeId, life: Life) -> bool {
        self.door(node).is_some_and(|(now, _)| now == life)
    }

    /// One way of a message. It may never end.
    async fn pass(&self, link: Link) {
        let late = if self.chance.percent(3) { 50..=400 } else { 1..=8 };
        let (delay, is_lost) = (self.chance.millis(late), self.chance.percent(*self.loss.lock().unwrap()));
        if is_lost || (self.cut.borrow_watched().contains(&link) && self.chance.percent(50)) {
            pending::<()>().await;
        }
        sleep(delay).await;
        // What was held back arrives when the way is open again.
        let mut cut = self.cut.subscribe();
        let opened = cut.wait_until(|cut| !cut.contains(&link)).await;
        assert!(opened.is_ok(), "the network outlives its messages");
    }

    /// There and back, whether or not anybody waits for it.
    async fn exchange(self, from: NodeId, to: NodeId, request: PeerRequest) -> Result<PeerResponse, Status> {
        let gone = || Status::unavailable("nobody is there");
        let (life, peer) = self.door(&to).ok_or_else(gone)?;
        self.pass((from.clone(), to.clone())).await;
        if !self.lives(&to, life) {
            return Err(gone());
        }
        let kind = request.kind.clone();
        let answer = peer.exchange(Request::new(request)).await;
        // What a node did after its crash, it did not do.
        if !self.lives(&to, life) {
            return Err(gone());
        }
        *self.answered.lock().unwrap().entry(kind).or_default() += 1;
        self.pass((to, from)).await;
        answer.map(tonic::Response::into_inner)
    }
}

/// How one node reaches the others.
pub(super) struct Line {
    net: Net,
    from: NodeId,
    life: Life,
}

#[tonic::async_trait]
impl Carry for Line {
    async fn carry(
        &self,
        to: &NodeId,
        _: SocketAddr,
        request: Request<PeerRequest>,
    ) -> Result<PeerResponse, NotCarried> {
        if !self.net.lives(&self.from, self.life) {
            pending::<()>().await;
        }
        let (net, from, to) = (self.net.clone(), self.from.clone(), to.clone());
        let (sender, answer) = oneshot::channel();
        drop(Runtime::spawn(async move {
            // Whoever asked may have given up.
            let _ = sender.send(net.exchange(from, to, request.into_inner()).await);
        }));
        let refused = match answer.await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(status)) => status,
            Err(_) => Status::unavailable("the run has ended"),
        };
        // As long as it takes to learn that nobody is there.
        sleep(Duration::from_millis(1)).await;
        Err(NotCarried::Failed(Box::new(refused)))
    }

    fn follow(&self, _: &BTreeMap<NodeId, SocketAddr>) {}
}
