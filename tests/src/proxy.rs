//! Proxies between the agents of a fleet: what one host says to another can be held back, delayed, or let go.
//!
//! Each host has a proxy in front of its agent, where all others reach it. Who calls is told by the address that the call comes from, as
//! agents call from the address they listen on. What is held back is not lost: it arrives when the way is open again, as TCP would have
//! it, however late. Whoever is no host of the fleet, such as a test, is let through.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use demo::fleet::Fleet;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

/// What may be on its way on one connection, in pieces of at most 64 KiB.
const QUEUE: usize = 64;

/// The way from one host to another; the way back is another one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Way {
    held: bool,
    delay: Duration,
}

/// The proxies of a fleet. They run for as long as the runtime.
#[derive(Clone)]
pub struct Wires {
    ways: Arc<BTreeMap<(usize, usize), watch::Sender<Way>>>,
    /// Counts how often all connections were torn.
    torn: watch::Sender<u64>,
}

impl Wires {
    /// Stands between the agents of a proxied fleet, which need not run yet.
    ///
    /// # Errors
    /// An address is taken.
    pub async fn between(fleet: &Fleet) -> Result<Self> {
        let hosts = fleet.agents.len();
        let pairs = (0..hosts).flat_map(|from| (0..hosts).map(move |to| (from, to)));
        let ways = pairs.map(|pair| (pair, watch::Sender::default())).collect();
        let wires = Self { ways: Arc::new(ways), torn: watch::Sender::default() };
        let numbers: BTreeMap<IpAddr, usize> =
            fleet.agents.iter().enumerate().map(|(number, agent)| (agent.address.ip(), number)).collect();
        for (to, agent) in fleet.agents.iter().enumerate() {
            let listener = TcpListener::bind(agent.advertised).await;
            let listener = listener.with_context(|| format!("a proxy at {}", agent.advertised))?;
            tokio::spawn(wires.clone().accept(listener, agent.address, to, numbers.clone()));
        }
        Ok(wires)
    }

    /// Holds back all that a host says and all that is said to it.
    pub fn cut(&self, host: usize) {
        self.mute(host);
        self.deafen(host);
    }

    /// Holds back all that a host says.
    pub fn mute(&self, host: usize) {
        self.change(|from, _| from == host, |way| way.held = true);
    }

    /// Holds back all that is said to a host.
    pub fn deafen(&self, host: usize) {
        self.change(|_, to| to == host, |way| way.held = true);
    }

    /// Holds back what two hosts say to each other.
    pub fn part(&self, one: usize, other: usize) {
        self.change(
            |from, to| (from, to) == (one, other) || (to, from) == (one, other),
            |way| way.held = true,
        );
    }

    /// Lets everything through, also what was held back.
    pub fn heal(&self) {
        self.change(|_, _| true, |way| way.held = false);
    }

    /// From now on everything takes this much longer, each way.
    pub fn delay(&self, by: Duration) {
        self.change(|_, _| true, |way| way.delay = by);
    }

    /// Ends every connection between hosts; what was on its way is lost.
    pub fn tear(&self) {
        self.torn.send_modify(|torn| *torn += 1);
    }

    fn change(&self, which: impl Fn(usize, usize) -> bool, change: impl Fn(&mut Way)) {
        for (_, way) in self.ways.iter().filter(|((from, to), _)| from != to && which(*from, *to)) {
            way.send_modify(&change);
        }
    }

    async fn accept(self, at: TcpListener, agent: SocketAddr, to: usize, hosts: BTreeMap<IpAddr, usize>) {
        while let Ok((near, caller)) = at.accept().await {
            let from = hosts.get(&caller.ip()).copied();
            tokio::spawn(self.clone().connect(near, agent, from, to));
        }
    }

    async fn connect(self, near: TcpStream, agent: SocketAddr, from: Option<usize>, to: usize) {
        let mut torn = self.torn.subscribe();
        torn.mark_unchanged();
        let Ok(far) = TcpStream::connect(agent).await else { return };
        if near.set_nodelay(true).and(far.set_nodelay(true)).is_err() {
            return;
        }
        let way = |from: Option<usize>, to: Option<usize>| {
            from.zip(to).and_then(|pair| self.ways.get(&pair)).map(watch::Sender::subscribe)
        };
        let (there, back) = (way(from, Some(to)), way(Some(to), from));
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        tokio::select! {
            _ = torn.changed() => (),
            _ = async { tokio::join!(carry(near_read, far_write, there), carry(far_read, near_write, back)) } => (),
        }
    }
}

/// Carries what one side says to the other, until it has said all, or the other has gone.
async fn carry(mut from: OwnedReadHalf, to: OwnedWriteHalf, way: Option<watch::Receiver<Way>>) {
    let (queue, queued) = mpsc::channel(QUEUE);
    let delay = {
        let way = way.clone();
        move || way.as_ref().map_or(Duration::ZERO, |way| way.borrow().delay)
    };
    let hear = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            if queue.send((Instant::now() + delay(), buffer[..length].to_vec())).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(hear, deliver(queued, to, way));
}

async fn deliver(
    mut queued: mpsc::Receiver<(Instant, Vec<u8>)>,
    mut to: OwnedWriteHalf,
    mut way: Option<watch::Receiver<Way>>,
) {
    while let Some((due, piece)) = queued.recv().await {
        sleep_until(due).await;
        open(&mut way).await;
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
    // That nothing more comes is something said, too.
    open(&mut way).await;
    let _ = to.shutdown().await;
}

async fn open(way: &mut Option<watch::Receiver<Way>>) {
    if let Some(way) = way {
        // The wires are gone only when the test has ended.
        let _ = way.wait_for(|way| !way.held).await;
    }
}
