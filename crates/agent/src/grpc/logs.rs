//! Streams of what programs wrote: of this host for another agent, of all hosts for a caller.
//!
//! Any agent puts them together. Which hosts there are it knows from its replica, or from the leader's status.

use std::{collections::BTreeMap, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use api::{
    refusal, v1,
    view::{LogHost, LogItem, LogsQuery},
};
use model::{HostId, fleet::Refusal};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::Status;

use super::{Backend, passed::Passed, public::Public, refusals, status};
use crate::{
    core::Core,
    logs::{AllPlaces, Channel, Gone, Host, Own, Sender, Turns},
};

/// Time between two looks for hosts that have joined or left.
const HOSTS: Duration = Duration::from_secs(1);

type Answers = Pin<Box<dyn Stream<Item = Result<v1::LogsResponse, Status>> + Send>>;

/// What programs wrote on this host.
pub(super) fn this_host(
    backend: &Backend,
    host: &HostId,
    request: Option<v1::LogsRequest>,
) -> Result<Answers, Status> {
    let query = LogsQuery::try_from(request.unwrap_or_default())?;
    let parts = backend.cell.parts();
    let place = parts.room.reader()?;
    let own = Own { host: host.clone(), service: parts.state.place_of(&query.service) };
    let (to, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        own.send(query, to).await;
        drop(place);
    });
    Ok(answers(receiver))
}

/// What programs wrote on all hosts.
pub(super) async fn all_hosts(public: &Public, request: v1::LogsRequest) -> Result<Answers, Status> {
    let core = public.core()?;
    let mut query = LogsQuery::try_from(request)?;
    let place = public.backend().cell.parts().room.caller()?;
    let hosts = hosts_of(public, &core, &query).await?;
    if let Some(unknown) = query.hosts.iter().find(|host| !hosts.contains_key(host)) {
        return Err(refusal::refused(&Refusal::UnknownHost { host: unknown.clone() }));
    }
    let (to, receiver) = mpsc::channel(1);
    let places = AllPlaces::new(std::mem::take(&mut query.after));
    let caller = Caller {
        public: public.clone(),
        core,
        query,
        to,
        places,
        asked: BTreeMap::new(),
        running: JoinSet::new(),
        turns: Turns::default(),
    };
    tokio::spawn(async move {
        // The reader has gone, or has all.
        let _ = caller.run(hosts).await;
        drop(place);
    });
    Ok(answers(receiver))
}

fn answers(receiver: mpsc::Receiver<Result<LogItem, Status>>) -> Answers {
    Box::pin(ReceiverStream::new(receiver).map(|item| item.map(v1::LogsResponse::from)))
}

/// The hosts that are asked, and where their agents listen.
async fn hosts_of(
    public: &Public,
    core: &Core,
    query: &LogsQuery,
) -> Result<BTreeMap<HostId, SocketAddr>, Status> {
    let mut hosts = BTreeMap::new();
    if core.link.is_member() {
        let fleet = core.link.node().state().borrow().clone();
        status::known(&fleet, &query.service)?;
        for (host, _) in fleet.declaring(&query.service) {
            hosts.extend(fleet.hosts.get(host).map(|record| (host.clone(), record.address)));
        }
    } else {
        let request = v1::StatusRequest { service: Some(query.service.to_string()) };
        let status = status::status(public, request, Passed::Not).await?;
        let Some(service) = status.services.into_iter().next() else {
            return Err(refusals::no_quorum("no member answers", &status::stale(core).await));
        };
        let read = |host: v1::HostStatus| Some((host.host.parse().ok()?, host.address.parse().ok()?));
        hosts.extend(service.hosts.into_iter().filter_map(read));
    }
    hosts.retain(|host, _| query.hosts.is_empty() || query.hosts.contains(host));
    Ok(hosts)
}

/// A host that is asked.
struct Asked {
    address: SocketAddr,
    running: AbortHandle,
}

struct Caller {
    public: Public,
    core: Arc<Core>,
    query: LogsQuery,
    to: Sender,
    /// Also of hosts that have left: they may return.
    places: AllPlaces,
    asked: BTreeMap<HostId, Asked>,
    running: JoinSet<Result<(), Gone>>,
    turns: Turns,
}

impl Caller {
    async fn run(mut self, hosts: BTreeMap<HostId, SocketAddr>) -> Result<(), Gone> {
        self.ask(hosts).await?;
        if !self.query.follow {
            while let Some(ended) = self.running.join_next().await {
                ended.unwrap_or(Err(Gone))?;
            }
            return Ok(());
        }
        loop {
            tokio::select! {
                () = self.to.closed() => return Err(Gone),
                () = tokio::time::sleep(HOSTS) => (),
            }
            // Without an answer the hosts are those that they were.
            if let Ok(hosts) = hosts_of(&self.public, &self.core, &self.query).await {
                self.ask(hosts).await?;
            }
        }
    }

    /// Asks these hosts, and no others any more.
    async fn ask(&mut self, hosts: BTreeMap<HostId, SocketAddr>) -> Result<(), Gone> {
        let left: Vec<HostId> =
            self.asked.keys().filter(|host| !hosts.contains_key(*host)).cloned().collect();
        for host in left {
            if let Some(asked) = self.asked.remove(&host) {
                asked.running.abort();
            }
            let reason = format!("it no longer declares {}", self.query.service);
            let left = LogItem::Host(LogHost { host, reached: Err(reason), current: false });
            self.to.send(Ok(left)).await.map_err(|_| Gone)?;
        }
        for (host, address) in hosts {
            if let Some(known) = self.asked.get(&host) {
                if known.address == address {
                    continue;
                }
                known.running.abort();
            }
            let asked = Host {
                host: host.clone(),
                channel: self.channel(&host, address),
                // Whom else the caller names is nothing to this host.
                query: LogsQuery { hosts: Vec::new(), ..self.query.clone() },
                places: self.places.of(&host),
                turns: self.turns.clone(),
            };
            let to = self.to.clone();
            let running = self.running.spawn(async move { asked.run(&to).await });
            self.asked.insert(host, Asked { address, running });
        }
        Ok(())
    }

    fn channel(&self, host: &HostId, address: SocketAddr) -> Channel {
        let parts = self.public.backend().cell.parts();
        if host == self.core.link.host() {
            let service = parts.state.place_of(&self.query.service);
            return Channel::Own(Own { host: host.clone(), service });
        }
        let (channels, cluster) = (parts.channels.clone(), self.core.link.cluster().clone());
        Channel::Other { channels, address, cluster }
    }
}
