//! Connections that can be cut: they stay open and carry nothing, as in a real partition.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::Arc,
};

use raft::{Dial, NodeId};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tonic::transport::Endpoint;

/// One proxy for each pair of nodes, in each direction.
#[derive(Clone, Default)]
pub struct Wires {
    servers: watch::Sender<BTreeMap<NodeId, SocketAddr>>,
    cut: watch::Sender<BTreeSet<NodeId>>,
    deaf: watch::Sender<BTreeSet<NodeId>>,
}

impl Wires {
    /// Says where the server of `node` is now.
    pub fn place(&self, node: &NodeId, address: SocketAddr) {
        self.servers.send_modify(|servers| {
            servers.insert(node.clone(), address);
        });
    }

    /// Says that the server of `node` is gone, which ends the connections to it.
    pub fn remove(&self, node: &NodeId) {
        self.servers.send_modify(|servers| {
            servers.remove(node);
        });
    }

    /// Cuts a node off from all others, both ways.
    pub fn cut(&self, node: &NodeId) {
        self.cut.send_modify(|cut| assert!(cut.insert(node.clone()), "{node} was cut off already"));
    }

    pub fn heal(&self, node: &NodeId) {
        self.cut.send_modify(|cut| assert!(cut.remove(node), "{node} was not cut off"));
    }

    pub fn is_cut(&self, node: &NodeId) -> bool {
        self.cut.borrow().contains(node)
    }

    /// Holds back all that is said to a node, which is still heard.
    pub fn deafen(&self, node: &NodeId) {
        self.deaf.send_modify(|deaf| assert!(deaf.insert(node.clone()), "{node} was deaf already"));
    }

    pub fn unstop(&self, node: &NodeId) {
        self.deaf.send_modify(|deaf| assert!(deaf.remove(node), "{node} was not deaf"));
    }

    /// Reaches others from `from`, through a proxy.
    pub fn dial(&self, from: NodeId) -> Dial {
        let wires = self.clone();
        Arc::new(move |to, _| {
            let proxy = wires.proxy(&from, to).expect("a proxy on loopback");
            Endpoint::from_shared(format!("http://{proxy}"))
        })
    }

    fn proxy(&self, from: &NodeId, to: &NodeId) -> io::Result<SocketAddr> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        let (wires, ends) = (self.clone(), [from.clone(), to.clone()]);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(wires.clone().connect(near, ends.clone()));
            }
        });
        Ok(address)
    }

    async fn connect(self, near: TcpStream, ends: [NodeId; 2]) {
        self.open(&ends).await;
        let address = self.servers.borrow().get(&ends[1]).copied();
        let Some(address) = address else { return };
        let Ok(far) = TcpStream::connect(address).await else { return };
        if near.set_nodelay(true).and(far.set_nodelay(true)).is_err() {
            return;
        }
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        // The first side to end ends both, so that a dead server is noticed.
        let mut servers = self.servers.subscribe();
        tokio::select! {
            _ = servers.wait_for(|servers| servers.get(&ends[1]) != Some(&address)) => {}
            () = self.carry(near_read, far_write, &ends, &ends[1]) => {}
            () = self.carry(far_read, near_write, &ends, &ends[0]) => {}
        }
    }

    async fn carry(
        &self,
        mut from: tokio::net::tcp::OwnedReadHalf,
        mut to: tokio::net::tcp::OwnedWriteHalf,
        ends: &[NodeId; 2],
        hearer: &NodeId,
    ) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            self.open(ends).await;
            self.hears(hearer).await;
            if to.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    }

    /// Waits until neither end is cut off.
    async fn open(&self, ends: &[NodeId; 2]) {
        let mut cut = self.cut.subscribe();
        let waited = cut.wait_for(|cut| ends.iter().all(|end| !cut.contains(end))).await;
        assert!(waited.is_ok(), "the wires outlive their proxies");
    }

    /// Waits until what is said to this end is no longer held back.
    async fn hears(&self, end: &NodeId) {
        let mut deaf = self.deaf.subscribe();
        let waited = deaf.wait_for(|deaf| !deaf.contains(end)).await;
        assert!(waited.is_ok(), "the wires outlive their proxies");
    }
}
