//! The leader of a cluster that was rebuilt tells everybody who was in the old one.
//!
//! A host that asks is told as well, but a majority that was not lost after all asks nobody.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use api::v1::{SucceedRequest, agent_client::AgentClient};
use futures_util::{StreamExt as _, stream};
use model::forming::Succession;
use tokio::time::timeout;
use tracing::info;

use crate::{
    core::{Parts, member_addresses},
    link::{Link, VERSION},
};

/// Time between two rounds.
const INTERVAL: Duration = Duration::from_secs(2);
/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_millis(1200);
/// Agents that are told at a time.
const AT_A_TIME: usize = 32;

/// Tells whoever has not been heard of since this agent leads, for as long as it does.
pub async fn run(parts: Arc<Parts>, link: Link) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let fleet = link.node().state().borrow().clone();
        if fleet.predecessors.is_empty() {
            continue;
        }
        let Some(view) = parts.reign.view() else { continue };
        let heard = |host| view.hosts.contains_key(host) && !view.silent.contains_key(host);
        let known: BTreeSet<SocketAddr> =
            fleet.present().filter(|(host, _)| heard(host)).map(|(_, record)| record.address).collect();
        let all = fleet.hosts.values().map(|record| record.address).chain(parts.members.all());
        let others: BTreeSet<SocketAddr> =
            all.filter(|address| !known.contains(address) && *address != link.me()).collect();
        let Some(news) = news(&parts, &link) else { continue };
        stream::iter(others).for_each_concurrent(AT_A_TIME, |address| tell(&parts, &news, address)).await;
    }
}

fn news(parts: &Parts, link: &Link) -> Option<SucceedRequest> {
    let fleet = link.node().state().borrow().clone();
    let succession = Succession {
        cluster: link.cluster().clone(),
        predecessors: fleet.predecessors.iter().map(|known| known.cluster.clone()).collect(),
    };
    let members = member_addresses(link.node());
    Some(SucceedRequest {
        version: VERSION,
        name: parts.settings.cluster.name.to_string(),
        succession: serde_json::to_vec(&succession).ok()?,
        members: members.iter().map(ToString::to_string).collect(),
    })
}

async fn tell(parts: &Parts, news: &SucceedRequest, address: SocketAddr) {
    let mut client = AgentClient::new(parts.channels.to(address));
    match timeout(ANSWER, client.succeed(news.clone())).await {
        Ok(Ok(answer)) if answer.get_ref().follows => info!(%address, "was told of this cluster"),
        Ok(Ok(_)) => (),
        Ok(Err(status)) => tracing::debug!(%address, status = status.message(), "tell of this cluster"),
        Err(_) => tracing::debug!(%address, "no answer"),
    }
}
