//! Five hosts, some of which form a group, and what can be done to them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use openraft::{
    AsyncRuntime as _,
    rt::watch::{Watch as _, WatchReceiver as _, WatchSender as _},
};
use tokio::time::Instant;

use super::{
    chance::Chance,
    history::Call,
    journal::{Journal, break_promise},
    net::{Life, Net},
    watch::{self, InOrder},
};
use crate::{
    Compaction, Node, NodeId, Options, Role, Timers, options,
    runtime::Runtime,
    store::{Disk, Store},
};

/// All hosts there are. The group begins with the first three.
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// What a run is about. Clones share it.
#[derive(Clone)]
pub(super) struct World {
    pub(super) chance: Chance,
    pub(super) net: Net,
    hosts: Arc<Mutex<BTreeMap<NodeId, Host>>>,
    record: Arc<Mutex<Record>>,
    began: Instant,
}

/// What happened.
#[derive(Default)]
struct Record {
    steps: u64,
    calls: Vec<Call>,
    trace: Vec<String>,
    met: BTreeMap<String, u64>,
}

struct Host {
    disk: Disk,
    /// How long a flush takes, at least and at most, in milliseconds.
    flush_ms: Arc<Mutex<(u64, u64)>>,
    life: Life,
    up: Option<Up>,
}

/// A node that runs.
#[derive(Clone)]
pub(super) struct Up {
    pub(super) name: NodeId,
    pub(super) node: Node<Journal>,
    crashed: watch::Sender<bool>,
}

impl Up {
    /// What a client gets of a call to this node: nothing, once it has crashed.
    pub(super) async fn answers<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let mut crashed = self.crashed.subscribe();
        tokio::select! {
            biased;
            _ = crashed.wait_until(|crashed| *crashed) => None,
            answer = call => Some(answer),
        }
    }

    pub(super) fn leads(&self) -> bool {
        self.node.standing().borrow().role == Role::Leader
    }
}

pub(super) fn names() -> Vec<NodeId> {
    NAMES.iter().map(|name| name.parse().unwrap()).collect()
}

/// Where a host is. Nobody connects there: the network goes by names.
pub(super) fn address(name: &NodeId) -> SocketAddr {
    let number = NAMES.iter().position(|known| *known == name.as_str()).unwrap();
    SocketAddr::from(([127, 0, 0, 1], 1 + u16::try_from(number).unwrap()))
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let chance = Chance::new(seed);
        let host = || Host { disk: Disk::default(), flush_ms: Arc::new(Mutex::new(FAST)), life: 0, up: None };
        let hosts = names().into_iter().map(|name| (name, host())).collect();
        let net = Net::new(chance.clone());
        let (hosts, record) = (Arc::new(Mutex::new(hosts)), Arc::default());
        Self { chance, net, hosts, record, began: Instant::now() }
    }

    /// Starts a host's node on what its disk holds, unless it runs.
    pub(super) async fn start(&self, name: &NodeId) {
        let (disk, flush_ms, life) = {
            let mut hosts = self.hosts.lock().unwrap();
            let host = hosts.get_mut(name).unwrap();
            if host.up.is_some() {
                return;
            }
            host.life += 1;
            (host.disk.clone(), Arc::clone(&host.flush_ms), host.life)
        };
        let chance = self.chance.clone();
        let pause = move || {
            let (least, most) = *flush_ms.lock().unwrap();
            chance.millis(least..=most)
        };
        let options = options(name);
        let config = options::config(&options).unwrap();
        let opened = async {
            let store = Store::simulated::<Journal>(&disk, pause)?;
            Node::start(options, config, store, Box::new(self.net.line(name.clone(), life))).await
        };
        match opened.await {
            Ok(node) => {
                self.net.open(name, life, node.peer());
                let up = Up { name: name.clone(), node, crashed: InOrder::channel(false).0 };
                self.hosts.lock().unwrap().get_mut(name).unwrap().up = Some(up);
                self.tell(format!("{name} runs"));
            }
            Err(error) => break_promise(format!("{name} does not start again: {error}")),
        }
    }

    /// Ends a node at once. What was not flushed is lost with the power; a killed process leaves it to the system.
    pub(super) fn crash(&self, name: &NodeId, loses_power: bool) {
        let up = {
            let mut hosts = self.hosts.lock().unwrap();
            let host = hosts.get_mut(name).unwrap();
            let Some(up) = host.up.take() else { return };
            host.disk.turn_off();
            host.disk = if loses_power { host.disk.after_power_loss() } else { host.disk.after_kill() };
            up
        };
        self.check_runs(&up);
        self.net.shut(name);
        up.crashed.send_if_different(true);
        self.tell(format!("{name} {}", if loses_power { "loses its power" } else { "is killed" }));
        self.meet(if loses_power { "power losses" } else { "kills" });
        drop(Runtime::spawn(async move { up.node.halt().await }));
    }

    /// Makes a disk slow, or fast again.
    pub(super) fn flushes_take(&self, name: &NodeId, millis: (u64, u64)) {
        *self.hosts.lock().unwrap()[name].flush_ms.lock().unwrap() = millis;
    }

    /// The nodes that run.
    pub(super) fn up(&self) -> Vec<Up> {
        self.hosts.lock().unwrap().values().filter_map(|host| host.up.clone()).collect()
    }

    /// One that believes that it leads, or any.
    pub(super) fn some_leader(&self) -> Option<Up> {
        let up = self.up();
        let leaders: Vec<Up> = up.iter().filter(|up| up.leads()).cloned().collect();
        let of = if leaders.is_empty() { up } else { leaders };
        (!of.is_empty()).then(|| self.chance.pick(&of))
    }

    /// Nobody told this node to stop.
    pub(super) fn check_runs(&self, up: &Up) {
        let standing = up.node.standing().borrow().clone();
        if standing.role == Role::Stopped {
            break_promise(format!("{} stopped by itself: {}", up.name, standing.stop_reason()));
        }
    }

    /// Counts what clients do: whatever is counted later happened later.
    pub(super) fn step(&self) -> u64 {
        let mut record = self.record.lock().unwrap();
        record.steps += 1;
        record.steps
    }

    pub(super) fn called(&self, call: Call) {
        self.record.lock().unwrap().calls.push(call);
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.record.lock().unwrap().calls.clone()
    }

    /// Takes a note for whoever looks at a failure.
    pub(super) fn tell(&self, what: impl AsRef<str>) {
        let line = format!("{:>6} ms  {}", self.began.elapsed().as_millis(), what.as_ref());
        self.record.lock().unwrap().trace.push(line);
    }

    pub(super) fn trace(&self) -> Vec<String> {
        self.record.lock().unwrap().trace.clone()
    }

    /// Counts that something was met.
    pub(super) fn meet(&self, what: &str) {
        *self.record.lock().unwrap().met.entry(what.to_owned()).or_default() += 1;
    }

    pub(super) fn met(&self) -> BTreeMap<String, u64> {
        self.record.lock().unwrap().met.clone()
    }
}

/// Milliseconds that a flush takes on a disk that is well.
pub(super) const FAST: (u64, u64) = (0, 6);

fn options(name: &NodeId) -> Options {
    let mut options = Options::new(name.clone(), "blue".parse().unwrap(), "/nowhere".into());
    options.timers = Timers {
        heartbeat: Duration::from_millis(100),
        election_min: Duration::from_millis(500),
        election_max: Duration::from_millis(1000),
        snapshot: Duration::from_secs(5),
        ..Timers::default()
    };
    // Often, so that many runs meet a snapshot that is sent.
    options.compaction = Compaction { every: 25, keep: 5 };
    options
}
