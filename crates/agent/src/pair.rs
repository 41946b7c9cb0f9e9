//! Two nodes for this crate's own tests, one of which can be away.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use api::v1::peer_server::PeerServer;
use model::fleet::Fleet;
use raft::{Node, NodeId, Options, Role, Timers};
use tokio::time::timeout;
use tonic::{
    Status,
    transport::{Server, server::TcpIncoming},
};

use crate::{
    channels::Channels,
    link::{Link, Ways},
    members::Members,
};

/// Longest wait for anything, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

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
pub(crate) async fn two(dir: &Path) -> (Link, Arc<AtomicBool>) {
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
    // Before the other one has answered, a leader does not know whether it has a part in a group.
    let heard = |now: &raft::Standing| now.role == Role::Leader && now.quorum_contact.is_some();
    let leads = async { first.standing().wait_for(heard).await.map(drop) };
    timeout(PATIENCE, leads).await.expect("the first one does not lead").unwrap();
    // It goes on for as long as the link does.
    tokio::spawn(async move { second.standing().wait_for(|now| now.role == Role::Stopped).await.map(drop) });
    let (host, cluster) = ("h1".parse().unwrap(), "blue".parse().unwrap());
    let members = Members::open(dir.join("peers.json"));
    let (knocks, _) = tokio::sync::mpsc::channel(1);
    let ways = Ways { me: one, members, channels: Channels::default(), knocks };
    (Link::new(host, "h1.run".to_owned(), cluster, first, ways), away)
}
