//! Drives the forming machine: asks the other hosts, answers them, and starts the core once there is a cluster.

mod going_over;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::v1::{FormRequest, agent_client::AgentClient};
use model::{
    ClusterId, HostId, Timestamp,
    forming::{
        Answer, Ask, Effect, Event, Former, FormingHold, Identity, Listing, Options, Record, Roster,
        StateUuid,
    },
};
use ports::{Inventory as _, ListedState, fault::Chain};
use raft::BootstrapError;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tonic::Code;
use tracing::{info, warn};

use crate::{
    clock,
    core::{Cell, CoreError},
    durable::{self, FileError},
    link::VERSION,
    node_id,
    recovery::{
        News,
        found::{FoundError, Founded, Founding},
    },
    state::StateError,
};

/// Time between two looks at the inventory, and between two questions to a host that has not said what is needed.
const RETRY: Duration = Duration::from_millis(500);
/// Time between two looks at the inventory once there is a cluster. All hosts of a large fleet look, and of a cloud's inventory that makes calls that the
/// account has to share; the leader looks for itself.
const LOOK_AGAIN: Duration = Duration::from_secs(180);
/// How long younger hosts let the oldest go first.
const HEAD_START: Duration = Duration::from_millis(1500);
/// How long a hold lasts before the log tells of it: most are over at once.
const WORTH_TELLING: Duration = Duration::from_secs(2);
/// Longest wait for the answer to a question.
const ANSWER: Duration = Duration::from_secs(2);

/// What is asked of the forming machine from outside.
pub enum Knock {
    /// Another host asks.
    Asked(Ask, oneshot::Sender<Answer>),
    /// A Raft message of a cluster came from a host; answered once the machine has dealt with it.
    Contacted(ClusterId, HostId, oneshot::Sender<()>),
    /// A cluster was rebuilt; answered with whether this host is in it, or goes over.
    Succeeded(News, Option<oneshot::Sender<bool>>),
    /// An operator has this agent rebuild a lost cluster.
    Found(Box<Founding>, oneshot::Sender<Result<Founded, FoundError>>),
    /// An operator asks to go on without some hosts.
    Bootstrap(BTreeSet<HostId>, String, oneshot::Sender<Result<(), String>>),
}

/// Why forming cannot go on. The agent ends.
#[derive(Debug, thiserror::Error)]
pub enum FormingError {
    /// What was agreed could not be written down.
    #[error("remember what was agreed about forming the cluster")]
    Record(#[from] FileError),
    /// There is no place for the log of a cluster that was rebuilt.
    #[error("go over to the cluster that was rebuilt")]
    Place(#[source] StateError),
    /// The core could not be started.
    #[error("start in the cluster")]
    Core(#[from] CoreError),
}

/// How it goes on after a knock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    GoOn,
    /// This host has gone over to another cluster, or was about to: the agent begins again from what is on its disk.
    BeginAgain,
}

/// Everything that keeps the cluster from forming, for whoever asks.
pub type Holds = watch::Receiver<Vec<FormingHold>>;

/// Drives the forming machine for as long as the agent runs: also a member answers those who have no group yet.
pub struct Driver {
    former: Former,
    cell: Cell,
    file: PathBuf,
    knocks: mpsc::Receiver<Knock>,
    inbox: (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
    holds: watch::Sender<Vec<FormingHold>>,
    joining: bool,
    told: Told,
    /// How each host refused to answer, as last logged.
    refusals: Arc<Mutex<BTreeMap<HostId, String>>>,
    /// A cluster that was rebuilt beside this host's own, once it was told of.
    rival: Option<ClusterId>,
}

/// The holds, since when each lasts, and whether it was logged: each one is told once, when it has lasted.
#[derive(Default)]
struct Told(BTreeMap<String, (Timestamp, bool)>);

impl Told {
    fn tell(&mut self, holds: &[FormingHold], now: Timestamp) {
        self.0.retain(|text, _| holds.iter().any(|hold| hold.to_string() == *text));
        for hold in holds {
            let (since, told) = self.0.entry(hold.to_string()).or_insert((now, false));
            if !*told && WORTH_TELLING <= now.since(*since) {
                *told = true;
                warn!("in no cluster yet: {hold}; it goes on when {}", hold.ends_when());
            }
        }
    }
}

impl Driver {
    /// With what an earlier run agreed to.
    ///
    /// # Errors
    /// The record is damaged.
    pub fn open(cell: Cell, knocks: mpsc::Receiver<Knock>) -> Result<(Self, Holds), FileError> {
        let parts = cell.parts();
        let file = parts.state.forming();
        let record: Record = durable::read(&file)?.unwrap_or_default();
        let me = Identity {
            host: parts.settings.agent.host.clone(),
            state: StateUuid(parts.state.state().as_u128()),
        };
        let expected =
            NonZeroUsize::new(parts.settings.cluster.bootstrap_expect).unwrap_or(NonZeroUsize::MIN);
        let options = Options { expected, retry: RETRY, head_start: HEAD_START };
        let former = Former::new(me, options, record, clock::now());
        let (holds, seen) = watch::channel(Vec::new());
        let (told, refusals) = Default::default();
        let inbox = mpsc::unbounded_channel();
        Ok((
            Self { former, cell, file, knocks, inbox, holds, joining: false, told, refusals, rival: None },
            seen,
        ))
    }

    /// Starts the core of an agent that has a cluster. Before that it could only tell its callers that it has none.
    ///
    /// # Errors
    /// See [`FormingError`].
    pub async fn resume(&self) -> Result<(), FormingError> {
        if let Some(cluster) = self.former.cluster() {
            self.cell.start(cluster).await?;
            // A crash between writing "initialising" and the group's first entry: the machine asks again by itself.
        }
        Ok(())
    }

    /// Runs until the agent stops, or until it is to begin again as this host has gone over to another cluster.
    ///
    /// # Errors
    /// See [`FormingError`].
    pub async fn run(mut self) -> Result<(), FormingError> {
        let mut look = tokio::time::interval(RETRY);
        self.ask_around();
        loop {
            let holds = self.former.holds();
            self.told.tell(&holds, clock::now());
            self.holds.send_replace(holds);
            let formed = self.former.cluster().is_some();
            if formed && look.period() != LOOK_AGAIN {
                look = tokio::time::interval(LOOK_AGAIN);
            }
            let event = tokio::select! {
                Some(knock) = self.knocks.recv() => match self.answer(knock).await? {
                    Then::GoOn => continue,
                    Then::BeginAgain => return Ok(()),
                },
                Some(event) = self.inbox.1.recv() => event,
                _ = look.tick() => match self.listed().await {
                    // In a cluster the list only says whom else to ask, should the members known be gone.
                    Some(event) if !formed => event,
                    _ => continue,
                },
                () = clock::sleep_until(self.former.deadline()) => Event::DeadlinePassed,
            };
            self.step(event, None).await?;
        }
    }

    async fn answer(&mut self, knock: Knock) -> Result<Then, FormingError> {
        match knock {
            Knock::Asked(ask, reply) => self.step(Event::Asked(ask), Some(reply)).await?,
            Knock::Succeeded(news, reply) => {
                let (follows, then) = self.succeeded(news).await?;
                if let Some(reply) = reply {
                    let _ = reply.send(follows);
                }
                return Ok(then);
            }
            Knock::Found(founding, reply) => {
                let (founded, then) = self.found(*founding).await;
                let _ = reply.send(founded);
                return Ok(then);
            }
            Knock::Contacted(cluster, from, done) => {
                self.step(Event::Contacted { cluster: cluster.clone(), from }, None).await?;
                if self.former.cluster() == Some(&cluster) {
                    self.cell.start(&cluster).await?;
                }
                // Whoever knocked looks at the cell, and may be gone.
                let _ = done.send(());
            }
            Knock::Bootstrap(without, reason, done) => {
                let effects = self.former.handle(Event::Bootstrap { without, reason }, clock::now());
                let refused = effects.iter().find_map(|effect| match effect {
                    Effect::Refuse(why) => Some(why.to_string()),
                    _ => None,
                });
                self.carry_out(effects, None).await?;
                let _ = done.send(refused.map_or(Ok(()), Err));
            }
        }
        Ok(Then::GoOn)
    }

    async fn listed(&self) -> Option<Event> {
        let parts = self.cell.parts();
        let listed = match parts.inventory.list().await {
            Ok(listed) => listed,
            Err(error) => {
                warn!(error = %Chain(&error), "list the inventory");
                return None;
            }
        };
        parts.members.listed(ports::inventory::present(&listed));
        let listings = listed.into_iter().map(|host| Listing {
            host: host.host,
            address: host.address,
            zone: host.zone,
            launched: host.launched,
            terminated: host.state == ListedState::Terminated,
        });
        Some(Event::Listed(listings.collect()))
    }

    async fn step(
        &mut self,
        event: Event,
        reply: Option<oneshot::Sender<Answer>>,
    ) -> Result<(), FormingError> {
        let effects = self.former.handle(event, clock::now());
        self.carry_out(effects, reply).await
    }

    async fn carry_out(
        &mut self,
        effects: Vec<Effect>,
        mut reply: Option<oneshot::Sender<Answer>>,
    ) -> Result<(), FormingError> {
        for effect in effects {
            match effect {
                Effect::Persist(record) => durable::write(&self.file, &record)?,
                Effect::Reply(answer) => {
                    if let Some(reply) = reply.take() {
                        let _ = reply.send(answer);
                    }
                }
                Effect::Ask { to, address, ask } => self.ask(to, address, &ask),
                Effect::Initialise(roster) => self.initialise(&roster).await?,
                Effect::Join { cluster, via } => self.join(cluster, via).await?,
                Effect::Refuse(why) => tracing::debug!(%why, "forming"),
            }
        }
        Ok(())
    }

    fn ask(&self, to: HostId, address: SocketAddr, ask: &Ask) {
        let Ok(question) = serde_json::to_vec(ask) else { return };
        let parts = self.cell.parts();
        let request =
            FormRequest { version: VERSION, name: parts.settings.cluster.name.to_string(), question };
        let (channel, inbox) = (parts.channels.to(address), self.inbox.0.clone());
        let refusals = self.refusals.clone();
        tokio::spawn(async move {
            let mut client = AgentClient::new(channel);
            match timeout(ANSWER, client.form(request)).await {
                Ok(Ok(answer)) => {
                    if let Ok(answer) = serde_json::from_slice(&answer.into_inner().answer) {
                        let _ = inbox.send(Event::Answered { to, answer });
                    }
                }
                // It is there, and does not want to: another cluster, another version. Asking again will not help.
                Ok(Err(status))
                    if matches!(status.code(), Code::PermissionDenied | Code::FailedPrecondition) =>
                {
                    let mut refusals = refusals.lock().unwrap_or_else(PoisonError::into_inner);
                    let why = status.message().to_owned();
                    if refusals.insert(to.clone(), why.clone()).is_none_or(|before| before != why) {
                        warn!(host = %to, %address, %why, "a host refuses to form a cluster with this one");
                    }
                }
                Ok(Err(status)) => tracing::debug!(%to, %address, status = status.message(), "ask"),
                Err(_) => tracing::debug!(%to, %address, "no answer"),
            }
        });
    }

    async fn initialise(&mut self, roster: &Roster) -> Result<(), FormingError> {
        let seats = roster.seats.iter().map(|seat| seat.address).collect();
        self.cell.parts().members.are(seats);
        let core = self.cell.start(&roster.cluster).await?;
        let voters: BTreeMap<_, _> = roster
            .voters()
            .filter_map(|seat| {
                let state = uuid::Uuid::from_u128(seat.identity.state.0).simple().to_string();
                Some((node_id(&seat.identity.host, &state).ok()?, seat.address))
            })
            .collect();
        info!(cluster = %roster.cluster, voters = voters.len(), hosts = roster.seats.len(), "forms the cluster");
        let event = match core.link.node().bootstrap(voters).await {
            Ok(()) | Err(BootstrapError::Initialised) => {
                Event::Initialised { cluster: roster.cluster.clone() }
            }
            Err(error) => Event::InitialiseFailed { problem: Chain(&error).to_string() },
        };
        let _ = self.inbox.0.send(event);
        Ok(())
    }

    async fn join(
        &mut self,
        cluster: ClusterId,
        via: BTreeMap<HostId, SocketAddr>,
    ) -> Result<(), FormingError> {
        self.cell.parts().members.listed(via.into_values());
        let core = self.cell.start(&cluster).await?;
        // The machine asks again until the group has taken this host; one wait for that is enough.
        if std::mem::replace(&mut self.joining, true) {
            return Ok(());
        }
        let (inbox, mut enrolled) = (self.inbox.0.clone(), core.enrolled.clone());
        tokio::spawn(async move {
            if enrolled.wait_for(|enrolled| *enrolled).await.is_ok() {
                let _ = inbox.send(Event::Joined { cluster });
            }
        });
        Ok(())
    }
}
