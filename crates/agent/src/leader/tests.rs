//! The leader's loop, on real nodes.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use api::v1::peer_server::PeerServer;
use model::fleet::{Availability, Declaration, Enrolment, SUPPORTED_LEVEL};
use raft::{Node, NodeId, Options, Timers};
use tokio::time::timeout;
use tonic::{
    Status,
    transport::{Server, server::TcpIncoming},
};

use super::*;
use crate::{channels::Channels, members::Members};

const PATIENCE: Duration = Duration::from_secs(60);

/// A node that can be reached unless `away` says otherwise.
async fn node(dir: &Path, name: &str, timers: Timers, away: &Arc<AtomicBool>) -> (Node<Fleet>, SocketAddr) {
    let id: NodeId = name.parse().unwrap();
    let options = Options { timers, ..Options::new(id, "blue".parse().unwrap(), dir.join(name)) };
    let node = Node::<Fleet>::open(options).await.unwrap();
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap().with_nodelay(Some(true));
    let (address, away) = (incoming.local_addr().unwrap(), away.clone());
    let gate = move |request| match away.load(Ordering::Acquire) {
        true => Err(Status::unavailable("this one is away")),
        false => Ok(request),
    };
    let service = PeerServer::with_interceptor(node.peer(), gate);
    tokio::spawn(async move { Server::builder().add_service(service).serve_with_incoming(incoming).await });
    (node, address)
}

/// A leader of two, and whether the other one is away. That one never stands for election.
async fn two(dir: &Path) -> (Link, Arc<AtomicBool>) {
    let (here, away) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
    let timers = Timers {
        heartbeat: Duration::from_millis(50),
        election_min: Duration::from_millis(200),
        election_max: Duration::from_millis(400),
        ..Timers::default()
    };
    let patient = Timers { election_min: PATIENCE * 2, election_max: PATIENCE * 3, ..timers.clone() };
    let (first, one) = node(dir, "h1.1", timers, &here).await;
    let (second, other) = node(dir, "h2.2", patient, &away).await;
    let names: Vec<NodeId> =
        [&first, &second].map(|node| node.standing().borrow().node.clone()).into_iter().collect();
    first.bootstrap(names.into_iter().zip([one, other]).collect()).await.unwrap();
    let leads = async { first.standing().wait_for(|now| now.role == Role::Leader).await.map(drop) };
    timeout(PATIENCE, leads).await.expect("the first one does not lead").unwrap();
    // It goes on for as long as the link does.
    tokio::spawn(async move { second.standing().wait_for(|now| now.role == Role::Stopped).await.map(drop) });
    let (host, cluster) = ("h1".parse().unwrap(), "blue".parse().unwrap());
    let members = Members::open(dir.join("peers.json"));
    (Link::new(host, "h1.run".to_owned(), cluster, first, one, members, Channels::default()), away)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_was_not_committed_is_made_again_although_nothing_has_changed() {
    let dir = tempfile::TempDir::new().unwrap();
    let (link, away) = two(dir.path()).await;
    let web: ServiceName = "web".parse().unwrap();
    let declared = Declaration { port: 8100, probe: None, balancer: None };
    let enrolment = Enrolment {
        host: link.host().clone(),
        state: "1".to_owned(),
        address: link.me(),
        zone: None,
        declares: BTreeMap::from([(web.clone(), declared)]),
        level: SUPPORTED_LEVEL,
    };
    link.propose(Act::Enrol(enrolment), PATIENCE).await.unwrap();

    // The host says nothing, so that its silence is to be proposed; by then nobody is there to commit it.
    away.store(true, Ordering::Release);
    let refused = async {
        while link
            .offer_here(&link.command(Act::RaiseLevel { level: 1 }), Duration::from_secs(2))
            .await
            .is_ok_and(|_| true)
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, refused).await.expect("the other one is not missed");
    let reign = Reign::default();
    let sightings = Sightings::new(Duration::from_millis(1), clock::now());
    *reign.lock() = Some(Now { sightings, holds: Vec::new(), seen: BTreeMap::new() });
    let (planning, with) = (reign.clone(), link.clone());
    let planning = tokio::spawn(async move { plan(&with, &planning).await });
    // Planned at least once, in vain.
    tokio::time::sleep(LOST_PAUSE).await;
    away.store(false, Ordering::Release);

    let mut state = link.node().state();
    let told = state.wait_for(|fleet| {
        let here = fleet.hosts.get(link.host()).and_then(|host| host.services.get(&web));
        here.is_some_and(|here| here.availability == Availability::Unknown)
    });
    timeout(PATIENCE, told).await.expect("what was not committed was never proposed again").unwrap();
    planning.abort();
    link.node().halt().await;
}
