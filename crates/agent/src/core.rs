//! What an agent has once it is in a cluster: its Raft node, its way to the fleet, and its host machines.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use config::Settings;
use model::{
    ClusterId, HostId, ServiceName,
    fleet::{Act, Assignment, Enrolment, Fleet, Outgrown, Refusal, Reply, SUPPORTED_LEVEL},
    host::{Ledger, Sighting},
};
use ports::fault::Chain;
use raft::{Dial, Node, OpenError, Options, PeerService, Role, Timers};
use supervisor::cgroup::{Delegation, NoCgroups};
use tokio::{
    sync::{Notify, OnceCell, mpsc, watch},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    channels::Channels,
    declarations,
    durable::FileError,
    feed,
    forming::Knock,
    leader,
    leader::Reign,
    link::{Link, Ways},
    members::Members,
    node_id,
    order::{Order, Sights},
    outside::{Aws, Inventories},
    recovery::spread,
    room::Room,
    services,
    state::{StateDir, StateError},
    stores::Stores,
};

/// Pause between two tries to enrol.
const ENROL_PAUSE: Duration = Duration::from_millis(500);

/// What an agent is made of before it is in a cluster.
pub struct Parts {
    /// Its configuration.
    pub settings: Arc<Settings>,
    /// Its state directory.
    pub state: Arc<StateDir>,
    /// Who should be there.
    pub inventory: Arc<Inventories>,
    /// Its way to AWS, where it needs one.
    pub aws: Option<Aws>,
    /// Other agents.
    pub members: Members,
    /// Connections to them.
    pub channels: Channels,
    /// What is known while this agent leads.
    pub reign: Reign,
    /// Where releases are kept.
    pub store: Arc<Stores>,
    /// Where cgroups of services are made, or why there are none.
    pub cgroups: Result<Delegation, NoCgroups>,
    /// Room for streams.
    pub room: Room,
    /// This run of the agent.
    pub proposer: String,
    /// The limit of open files that this run was given: what it starts has that one.
    pub open_files: Option<u64>,
    /// The clusters that the one this agent was last in was rebuilt from, as it wrote down.
    pub predecessors: Vec<ClusterId>,
    /// What is asked of the forming machine.
    pub knocks: mpsc::Sender<Knock>,
    /// Ends everything.
    pub stop: CancellationToken,
    /// Called when something failed that the agent cannot go on without.
    pub failed: watch::Sender<Option<String>>,
}

/// What an agent has once it is in a cluster.
pub struct Core {
    /// Its way to the fleet.
    pub link: Link,
    /// The Raft node's answering side.
    pub peer: PeerService<Fleet>,
    /// Whether the fleet knows this host.
    pub enrolled: watch::Receiver<bool>,
    /// The clusters that this one was rebuilt from, as this host learned when it went over.
    pub predecessors: Vec<ClusterId>,
    tasks: Mutex<Option<JoinHandle<()>>>,
}

/// The core, once there is one.
#[derive(Clone)]
pub struct Cell {
    parts: Arc<Parts>,
    core: Arc<OnceCell<Arc<Core>>>,
}

/// Why a core could not be started.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// The Raft node's file.
    #[error("start the node of {cluster}")]
    Node {
        /// The cluster.
        cluster: ClusterId,
        /// Why.
        source: OpenError,
    },
    /// What the Raft node promised is lost. It must not begin anew under the same identity.
    #[error(
        "what this host remembers of {cluster} is lost, and what it serves runs on. Have it join as a new node: `deployinator hosts remove {host} --reason WHY`, delete identity.json, forming.json, peers.json and raft in {}, and start its agent. Where no majority of the voters is left without it, that is refused until the cluster is rebuilt: with `deployinator cluster recover --lost {host} --reason WHY` as long as a voter is left; when none is, as this was the only one, delete the same files, start the agent, and rebuild it with `deployinator cluster recover --from BACKUP --lost {host} --reason WHY`",
        dir.display()
    )]
    Lost {
        /// The cluster.
        cluster: ClusterId,
        /// This host.
        host: HostId,
        /// The state directory.
        dir: PathBuf,
        /// What is wrong with the file.
        source: Box<OpenError>,
    },
    /// The state directory.
    #[error("start the services")]
    State(#[from] StateError),
    /// A ledger.
    #[error("start the services")]
    Ledger(#[from] FileError),
    /// This agent is in another cluster.
    #[error("this agent is in cluster {ours}, not in {theirs}")]
    AnotherCluster {
        /// Its cluster.
        ours: ClusterId,
        /// The one asked for.
        theirs: ClusterId,
    },
}

impl Cell {
    /// Without a core yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts), core: Arc::new(OnceCell::new()) }
    }

    /// What it is made of.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The same, for a task of its own.
    #[must_use]
    pub fn shared(&self) -> &Arc<Parts> {
        &self.parts
    }

    /// The core, if the agent is in a cluster.
    #[must_use]
    pub fn get(&self) -> Option<Arc<Core>> {
        self.core.get().cloned()
    }

    /// Starts the core in `cluster`; the second call finds the first one's.
    ///
    /// # Errors
    /// See [`CoreError`].
    pub async fn start(&self, cluster: &ClusterId) -> Result<Arc<Core>, CoreError> {
        let core = self.core.get_or_try_init(|| start(self.parts.clone(), cluster.clone())).await?;
        if core.link.cluster() != cluster {
            return Err(CoreError::AnotherCluster {
                ours: core.link.cluster().clone(),
                theirs: cluster.clone(),
            });
        }
        Ok(core.clone())
    }

    /// Hands leadership over and ends what was started. Services run on.
    pub async fn shutdown(&self) {
        let Some(core) = self.get() else { return };
        core.link.node().shutdown().await;
        let tasks = core.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(tasks) = tasks {
            // The tasks are owned by their watcher and end with it.
            tasks.abort();
            let _ = tasks.await;
        }
    }
}

async fn start(parts: Arc<Parts>, cluster: ClusterId) -> Result<Arc<Core>, CoreError> {
    let Parts { settings, state, members, channels, reign, stop, .. } = &*parts;
    let host = &settings.agent.host;
    let node = open_node(&parts, &cluster).await?;
    info!(%cluster, node = %node.standing().borrow().node, "in the cluster");
    let ways = Ways {
        me: settings.agent.advertise,
        members: members.clone(),
        channels: channels.clone(),
        knocks: parts.knocks.clone(),
    };
    let link = Link::new(host.clone(), parts.proposer.clone(), cluster, node.clone(), ways);
    let (assign, assigned) = watch::channel(Arc::new(Assignment::default()));
    let (knows, enrolled) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let moved = Arc::new(Notify::new());
    let eyes: BTreeMap<_, _> =
        settings.services.keys().map(|service| (service.clone(), watch::channel(None))).collect();
    let sights: Sights = eyes.iter().map(|(service, (_, seen))| (service.clone(), seen.clone())).collect();
    for (service, (sighting, _)) in eyes {
        let mine = &settings.services[&service];
        let wiring = services::Wired {
            link: link.clone(),
            assignments: assigned.clone(),
            sighting,
            moved: moved.clone(),
            order: Order::new(&service, mine, &sights),
        };
        tasks.spawn(services::run(&parts, &service, mine, wiring)?);
    }
    // A second host of the same name is refused; until the fleet has taken this one, it neither acts nor speaks in that name.
    let (taken, with) = (enrolled.clone(), link.clone());
    tasks.spawn(once(taken, async move { feed::assignments(with, assign).await }));
    let (taken, with, interval) = (enrolled.clone(), link.clone(), settings.timers.sighting);
    tasks.spawn(once(taken, async move { send_sightings(with, sights, moved, interval).await }));
    tasks.spawn(enrol(link.clone(), enrolment(settings, state)?, assigned, knows, parts.failed.clone()));
    tasks.spawn(watch_node(node.clone(), parts.failed.clone()));
    let inventory = parts.inventory.clone();
    let means =
        leader::Means { settings: settings.clone(), store: parts.store.clone(), aws: parts.aws.clone() };
    tasks.spawn(leader::run(
        link.clone(),
        reign.clone(),
        inventory,
        means,
        settings.timers.silent_after,
        stop.clone(),
    ));
    tasks.spawn(spread::run(parts.clone(), link.clone()));
    let tasks = tokio::spawn(watch_tasks(tasks, parts.failed.clone()));
    let predecessors = parts.predecessors.clone();
    Ok(Arc::new(Core { peer: node.peer(), link, enrolled, predecessors, tasks: Mutex::new(Some(tasks)) }))
}

async fn open_node(parts: &Parts, cluster: &ClusterId) -> Result<Node<Fleet>, CoreError> {
    let Parts { settings, state, channels, .. } = parts;
    let timers = &settings.timers;
    let node = node_id(&settings.agent.host, &state.state().simple().to_string());
    let node = node.expect("a host name and a UUID make a valid node id");
    let timers = Timers {
        heartbeat: timers.heartbeat,
        election_min: timers.election_min,
        election_max: timers.election_max,
        ..Timers::default()
    };
    let channels = channels.clone();
    let dial: Dial = Arc::new(move |_, address| Ok(channels.endpoint(address)));
    let had_file = state.had_raft(cluster);
    let options = Options {
        had_file,
        timers,
        dial,
        ..Options::new(node, cluster.clone(), state.raft(cluster, !parts.predecessors.is_empty()))
    };
    let opened = Node::open(options).await.map_err(|source| {
        let (cluster, host) = (cluster.clone(), settings.agent.host.clone());
        match source {
            OpenError::Damaged { .. } | OpenError::Gone { .. } => {
                CoreError::Lost { cluster, host, dir: state.path().to_owned(), source: source.into() }
            }
            source => CoreError::Node { cluster, source },
        }
    })?;
    // Before it promises anything.
    state.note_raft(cluster)?;
    Ok(opened)
}

fn enrolment(settings: &Settings, state: &StateDir) -> Result<Enrolment, FileError> {
    let ledgers = services::ledgers(settings, state)?;
    let before = ledgers.iter().filter(|(_, ledger)| !ledger.migrated_before.is_empty());
    let before =
        before.map(|(name, ledger)| (name.clone(), ledger.migrated_before.iter().cloned().collect()));
    let migrated = ledgers.iter().filter_map(|(name, ledger)| Some((name.clone(), ledger.migrated()?)));
    Ok(Enrolment {
        host: settings.agent.host.clone(),
        state: state.state().simple().to_string(),
        address: settings.agent.advertise,
        zone: settings.agent.zone.clone(),
        declares: declarations(settings),
        level: SUPPORTED_LEVEL,
        obeyed: ledgers.values().filter_map(Ledger::obeyed).max(),
        migrated: migrated.collect(),
        migrated_before: before.collect(),
    })
}

/// Tells the fleet who this host is, at each start, and again whenever the fleet does not know it, or goes by what an earlier run of the agent said,
/// which has come late.
async fn enrol(
    link: Link,
    enrolment: Enrolment,
    mut assigned: watch::Receiver<Arc<Assignment>>,
    knows: watch::Sender<bool>,
    failed: watch::Sender<Option<String>>,
) {
    loop {
        match link.propose(Act::Enrol(enrolment.clone()), Duration::from_secs(5)).await {
            Ok((_, Reply::Refused(Refusal::AgentTooOld { knows, at, .. }))) => {
                failed.send_replace(Some(Outgrown { knows, at }.to_string()));
                return;
            }
            Ok((_, Reply::Refused(refusal))) => {
                error!(%refusal, "the fleet does not take this host; remove the old one (RemoveHost), or give this one another name");
                tokio::time::sleep(Duration::from_secs(5)).await;
                continue;
            }
            Ok((revision, _)) => {
                knows.send_replace(true);
                let again = |now: &Arc<Assignment>| now.asks_who(link.proposer(), revision);
                if assigned.wait_for(again).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::debug!(error = %Chain(&error), "enrol"),
        }
        tokio::time::sleep(ENROL_PAUSE).await;
    }
}

/// A node whose store failed never comes back; an agent without one would only look well.
async fn watch_node(node: Node<Fleet>, failed: watch::Sender<Option<String>>) {
    let mut standing = node.standing();
    let stopped = standing.wait_for(|now| now.role == Role::Stopped).await;
    let why = stopped.ok().and_then(|now| now.failure.clone());
    let why = why.map(|why| format!("the Raft node stopped: {why}"));
    if let Some(why) = node.outgrown().map(str::to_owned).or(why) {
        failed.send_replace(Some(why));
    }
}

/// Ends the agent when one of its tasks panics: started again it goes on from what it wrote down, which is better than half an agent.
async fn watch_tasks(mut tasks: JoinSet<()>, failed: watch::Sender<Option<String>>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            failed.send_replace(Some(format!("a task of the agent panicked: {error}")));
        }
    }
}

/// Does something once the fleet has taken this host.
async fn once(mut taken: watch::Receiver<bool>, then: impl Future<Output = ()>) {
    if taken.wait_for(|taken| *taken).await.is_ok() {
        then.await;
    }
}

async fn send_sightings(link: Link, seen: Sights, moved: Arc<Notify>, interval: Duration) {
    loop {
        let now: BTreeMap<&ServiceName, Sighting> =
            seen.iter().filter_map(|(service, seen)| Some((service, seen.borrow().clone()?))).collect();
        match serde_json::to_vec(&now) {
            Ok(sightings) => {
                if let Err(elsewhere) = link.sight(&sightings).await {
                    tracing::trace!(why = elsewhere.why, "sighting not delivered");
                }
            }
            Err(error) => error!(%error, "write down a sighting"),
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => (),
            () = moved.notified() => (),
        }
    }
}

/// The addresses of the members that the local node knows.
#[must_use]
pub fn member_addresses(node: &Node<Fleet>) -> Vec<SocketAddr> {
    node.standing().borrow().members().into_values().collect()
}
