//! Keeps the group's voters right: enough of them, spread over zones, and never fewer than a majority needs.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use model::{
    HostId,
    fleet::{Act, Evidence, Fleet, Host},
    forming::{Candidate, relieve_voters},
};
use ports::{Inventory, ListedState, fault::Chain};
use raft::{ChangeError, NodeId, Standing};
use tracing::{info, warn};

use super::Reign;
use crate::{link::Link, node_id};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// Only who was heard of within this time becomes a voter.
const RESPONSIVE: Duration = Duration::from_secs(3);
/// How long a host that did not catch up is passed over, so that another one takes the place.
const PASSED_OVER: Duration = Duration::from_secs(120);
/// Longest wait for one change of the group.
const CHANGE: Duration = Duration::from_secs(20);

/// Looks after the voters, for as long as this node leads.
pub(super) async fn keep<I: Inventory>(link: &Link, inventory: &I, reign: &Reign) {
    let mut behind = BTreeMap::new();
    loop {
        bury(link, inventory).await;
        let fleet = link.node().state().borrow().clone();
        let standing = link.node().standing().borrow().clone();
        link.members().are(standing.members().into_values().collect());
        behind.retain(|_, since: &mut Instant| since.elapsed() < PASSED_OVER);
        if let Err(error) = adjust(link, &fleet, &standing, reign, &behind).await {
            if let ChangeError::NotCaughtUp { node, .. } = &error {
                behind.insert(node.clone(), Instant::now());
            }
            warn!(error = %Chain(&error), "the voters are not as they should be");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Takes note of hosts that the inventory says are terminated. Whatever else it says, or does not say, removes nobody.
async fn bury<I: Inventory>(link: &Link, inventory: &I) {
    let listed = match inventory.list().await {
        Ok(listed) => listed,
        Err(error) => {
            tracing::debug!(error = %Chain(&error), "list the inventory");
            return;
        }
    };
    let fleet = link.node().state().borrow().clone();
    let known: BTreeSet<&HostId> = listed.iter().map(|listed| &listed.host).collect();
    let unlisted = fleet.present().map(|(host, _)| host).filter(|host| !known.contains(host));
    // The inventory may forget whose host is gone before it forgets that it is.
    let unlisted = inventory.terminated(&unlisted.cloned().collect()).await.unwrap_or_else(|error| {
        tracing::debug!(error = %Chain(&error), "ask the inventory about hosts that it does not list");
        BTreeSet::new()
    });
    let gone = listed.into_iter().filter(|listed| listed.state == ListedState::Terminated);
    for host in gone.map(|listed| listed.host).chain(unlisted) {
        if fleet.hosts.get(&host).is_some_and(|record| record.departed.is_none()) {
            let command = link.command(Act::Depart { host, evidence: Evidence::Terminated });
            if let Err(elsewhere) = link.offer_here(&command, CHANGE).await {
                tracing::debug!(why = elsewhere.why, "depart");
            }
        }
    }
}

/// Hosts that did not catch up when they were to vote, and since when.
type Behind = BTreeMap<NodeId, Instant>;

async fn adjust(
    link: &Link,
    fleet: &Fleet,
    standing: &Standing,
    reign: &Reign,
    behind: &Behind,
) -> Result<(), ChangeError> {
    let nodes: BTreeMap<NodeId, (&HostId, SocketAddr)> = fleet
        .present()
        .filter_map(|(host, record)| Some((node_id(host, &record.state).ok()?, (host, record.address))))
        .collect();
    let by_host: BTreeMap<&HostId, &NodeId> = nodes.iter().map(|(node, (host, _))| (*host, node)).collect();
    let current: BTreeSet<HostId> =
        standing.voters.keys().filter_map(|voter| Some(nodes.get(voter)?.0.clone())).collect();
    // A voter that the fleet does not know has not enrolled yet, which is no evidence that it is gone: it stays.
    let strangers: BTreeSet<NodeId> = standing
        .voters
        .keys()
        .filter(|voter| !nodes.contains_key(*voter) && !departed(fleet, voter))
        .cloned()
        .collect();
    if nodes.is_empty() {
        return Ok(());
    }
    readdress(link, &nodes, standing).await?;
    let responsive = reign.view().map(|view| view.hosts).unwrap_or_default();
    let candidates: Vec<Candidate> = fleet
        .present()
        .filter(|(host, _)| {
            let answers = responsive.get(*host).is_some_and(|(quiet, _)| *quiet < RESPONSIVE);
            let is_behind = by_host.get(host).is_some_and(|node| behind.contains_key(*node));
            current.contains(*host) || answers && !is_behind
        })
        .map(|(host, record)| Candidate {
            host: host.clone(),
            zone: record.zone.clone(),
            launched: record.enrolled.0,
        })
        .collect();
    let leaving = fleet.present().filter(|(_, record)| is_drained(record)).map(|(host, _)| host.clone());
    let chosen = relieve_voters(&candidates, &current, &leaving.collect());
    let mut wanted: BTreeSet<NodeId> =
        chosen.iter().filter_map(|host| by_host.get(host).map(|node| (*node).clone())).collect();
    wanted.extend(strangers);
    let voters: BTreeSet<NodeId> = standing.voters.keys().cloned().collect();
    if wanted == voters && !standing.changing {
        return forget_learners(link, standing).await;
    }
    for node in wanted.difference(&voters) {
        if let Some((host, address)) = nodes.get(node) {
            info!(%host, "joins the voters");
            link.node().add_learner(node.clone(), *address, CHANGE).await?;
        }
    }
    link.node().set_voters(wanted, CHANGE).await?;
    Ok(())
}

/// Whether an operator asked all that runs on the host out of service: then the machine is likely to go as well.
fn is_drained(host: &Host) -> bool {
    !host.services.is_empty() && host.services.values().all(|here| here.parked.is_some())
}

/// Whether the fleet knows that this node's host departed, or came back as another one.
fn departed(fleet: &Fleet, node: &NodeId) -> bool {
    fleet.hosts.iter().any(|(host, record)| {
        let same_host = node.as_str().rsplit_once('.').is_some_and(|(name, _)| name == host.as_str());
        let same_state = node_id(host, &record.state).ok().as_ref() == Some(node);
        same_host && (record.departed.is_some() || !same_state)
    })
}

/// Tells the group where a member listens now.
async fn readdress(
    link: &Link,
    nodes: &BTreeMap<NodeId, (&HostId, SocketAddr)>,
    standing: &Standing,
) -> Result<(), ChangeError> {
    for (node, (host, address)) in nodes {
        if standing.address(node).is_some_and(|known| known != *address) {
            info!(%host, %address, "has moved");
            link.node().add_learner(node.clone(), *address, CHANGE).await?;
        }
    }
    Ok(())
}

/// A learner is a voter in the making. One that is not wanted any more is let go; it follows like every other host.
async fn forget_learners(link: &Link, standing: &Standing) -> Result<(), ChangeError> {
    for node in standing.learners.keys() {
        link.node().remove_learner(node.clone(), CHANGE).await?;
    }
    Ok(())
}
