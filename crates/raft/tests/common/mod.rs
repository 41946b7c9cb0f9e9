//! A group of nodes in one process, over real connections that a test can cut.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses a part")]

mod wires;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use model::{ClusterId, Revision};
use raft::{Compaction, Machine, Node, NodeId, Options, ProposeError, Role, Standing, Timers};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tonic::transport::{Server, server::TcpIncoming};

pub use wires::Wires;

/// How long a condition may take to come true on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long one call may take.
pub const WITHIN: Duration = Duration::from_secs(5);

/// A machine that adds up numbers and keeps notes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub sum: u64,
    pub orders: u64,
    pub newest: Revision,
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Order {
    Add(u64),
    Note(String),
}

impl Machine for Tally {
    type Command = Order;
    type Reply = u64;
    fn apply(&mut self, revision: Revision, order: &Order) -> u64 {
        assert!(self.newest < revision, "{revision} was applied after {}", self.newest);
        self.newest = revision;
        self.orders += 1;
        match order {
            Order::Add(amount) => self.sum += amount,
            Order::Note(note) => self.notes.push(note.clone()),
        }
        self.sum
    }
}

pub fn id(name: &str) -> NodeId {
    name.parse().unwrap()
}

pub fn ids<const N: usize>(names: [&str; N]) -> BTreeSet<NodeId> {
    names.into_iter().map(id).collect()
}

/// Waits until what `watched` shows is as wanted.
pub async fn until<T: Clone>(mut watched: watch::Receiver<T>, what: &str, wanted: impl Fn(&T) -> bool) -> T {
    match tokio::time::timeout(PATIENCE, watched.wait_for(wanted)).await {
        Ok(Ok(value)) => value.clone(),
        Ok(Err(_)) => panic!("the node ended before {what}"),
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}

/// A node with its server.
pub struct Host {
    pub node: Node<Tally>,
    pub address: SocketAddr,
    server: JoinHandle<()>,
}

pub struct Group {
    pub cluster: ClusterId,
    pub wires: Wires,
    pub timers: Timers,
    pub compaction: Compaction,
    pub hosts: BTreeMap<NodeId, Host>,
    dir: TempDir,
}

impl Group {
    /// No nodes yet.
    pub fn new() -> Self {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        // A second group in one process finds it set already.
        drop(tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init());
        let timers = Timers {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(500),
            election_max: Duration::from_millis(1000),
            ..Timers::default()
        };
        Self {
            cluster: "blue".parse().unwrap(),
            wires: Wires::default(),
            timers,
            compaction: Compaction::default(),
            hosts: BTreeMap::new(),
            dir: TempDir::new().unwrap(),
        }
    }

    /// Started and formed out of the named nodes.
    pub async fn formed<const N: usize>(names: [&str; N]) -> Self {
        let mut group = Self::new();
        group.form(names).await;
        group
    }

    pub async fn form<const N: usize>(&mut self, names: [&str; N]) {
        for name in names {
            self.start(name).await;
        }
        let members = self.hosts.iter().map(|(node, host)| (node.clone(), host.address)).collect();
        self.host(names[0]).node.bootstrap(members).await.unwrap();
    }

    pub fn host(&self, name: &str) -> &Host {
        &self.hosts[&id(name)]
    }

    pub fn dir(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn options(&self, name: &str) -> Options {
        let mut options = Options::new(id(name), self.cluster.clone(), self.dir(name));
        options.timers = self.timers.clone();
        options.compaction = self.compaction.clone();
        options.dial = self.wires.dial(id(name));
        options
    }

    /// Starts a node, or starts it again, on an address of its own.
    pub async fn start(&mut self, name: &str) {
        let options = self.options(name);
        self.start_with(options).await;
    }

    pub async fn start_with(&mut self, options: Options) {
        let name = options.node.clone();
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap().with_nodelay(Some(true));
        let address = incoming.local_addr().unwrap();
        let node = Node::open(options).await.unwrap();
        let service = node.peer_service();
        let server = tokio::spawn(async move {
            Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
        });
        self.wires.place(&name, address);
        self.hosts.insert(name, Host { node, address, server });
    }

    /// Ends a node as a crash would: nobody is told.
    pub async fn kill(&mut self, name: &NodeId) {
        let host = self.hosts.remove(name).unwrap();
        self.wires.remove(name);
        host.server.abort();
        host.node.halt().await;
    }

    /// The leader, confirmed by a quorum, of the nodes that are not cut off.
    pub async fn leader(&self) -> NodeId {
        let deadline = Instant::now() + PATIENCE;
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while Instant::now() < deadline {
            ticks.tick().await;
            for (name, host) in &self.hosts {
                let leads = host.node.standing().borrow().role == Role::Leader;
                if leads && !self.wires.is_cut(name) && host.node.confirm_leader(WITHIN).await {
                    return name.clone();
                }
            }
        }
        panic!("no leader within {PATIENCE:?}");
    }

    /// Has an order committed by whoever leads.
    pub async fn commit(&self, order: Order) -> Revision {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let leader = self.leader().await;
            match self.hosts[&leader].node.propose(order.clone(), WITHIN).await {
                Ok((revision, _)) => return revision,
                Err(ProposeError::NotLeader { .. } | ProposeError::NoQuorum) => {}
                Err(error) => panic!("{error}"),
            }
        }
        panic!("not committed within {PATIENCE:?}");
    }

    /// Waits until every node has applied `revision`, and all agree.
    pub async fn agree(&self, revision: Revision) -> Tally {
        let mut states = Vec::new();
        for (name, host) in &self.hosts {
            let what = format!("{name} applies {revision}");
            states.push(until(host.node.state(), &what, |state| state.newest >= revision).await);
        }
        assert!(states.windows(2).all(|pair| pair[0] == pair[1]), "the nodes differ");
        states[0].as_ref().clone()
    }

    pub async fn standing(&self, name: &NodeId, what: &str, wanted: impl Fn(&Standing) -> bool) -> Standing {
        until(self.hosts[name].node.standing(), &format!("{name}: {what}"), wanted).await
    }
}
