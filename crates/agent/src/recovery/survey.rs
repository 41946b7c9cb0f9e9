//! Asks agents what they hold of a cluster's log.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use api::v1::{HeldVoter, HoldsRequest, HoldsResponse, agent_client::AgentClient};
use futures_util::{StreamExt as _, stream};
use model::{ClusterId, HostId};
use raft::Role;
use tokio::time::timeout;

use super::News;
use crate::{
    core::{Core, Parts},
    forming::Knock,
    link::VERSION,
};

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_millis(1200);
/// Agents that are asked at a time.
const AT_A_TIME: usize = 64;
/// Most agents that one that starts asks whether its cluster was rebuilt.
const ASKED_AT_START: usize = 16;

/// What an agent said.
#[derive(Debug, Clone)]
pub enum Said {
    /// What it holds.
    Holds {
        /// Where it listens.
        address: SocketAddr,
        /// What it holds.
        holds: HoldsResponse,
    },
    /// The cluster was rebuilt already.
    Succeeded(News),
}

/// Asks all of these agents what they hold of `cluster`. Who does not answer, or is of another cluster, is not among the answers. Whoever knows
/// that this agent's own cluster was rebuilt is believed.
pub async fn ask(parts: &Parts, cluster: &ClusterId, addresses: BTreeSet<SocketAddr>) -> Vec<Said> {
    let question = HoldsRequest {
        version: VERSION,
        cluster: cluster.to_string(),
        name: parts.settings.cluster.name.to_string(),
    };
    let asked = stream::iter(addresses).map(|address| {
        let (channel, question) = (parts.channels.to(address), question.clone());
        async move {
            match timeout(ANSWER, AgentClient::new(channel).holds(question)).await.ok()? {
                Ok(holds) => Some(Said::Holds { address, holds: holds.into_inner() }),
                Err(refusal) => News::of(&refusal).map(Said::Succeeded),
            }
        }
    });
    let said: Vec<Said> = asked.buffer_unordered(AT_A_TIME).filter_map(async |said| said).collect().await;
    for said in &said {
        if let Said::Succeeded(news) = said {
            // One that is not heard now is heard again.
            let _ = parts.knocks.try_send(Knock::Succeeded(news.clone(), None));
        }
    }
    said
}

/// Asks some of the others whether this agent's cluster was rebuilt while it was away.
pub async fn at_start(parts: &Parts, cluster: &ClusterId) {
    let me = parts.settings.agent.advertise;
    let others = parts.members.all().into_iter().filter(|address| *address != me).take(ASKED_AT_START);
    ask(parts, cluster, others.collect()).await;
}

/// What this agent holds itself.
#[must_use]
pub fn here(core: &Core) -> HoldsResponse {
    let node = core.link.node();
    let standing = node.standing().borrow().clone();
    let held = node.held().filter(|_| standing.role != Role::Stopped && core.link.has_replica());
    HoldsResponse {
        host: core.link.host().to_string(),
        cluster: core.link.cluster().to_string(),
        holds: held.is_some(),
        term: held.map(|held| held.term).unwrap_or_default(),
        revision: held.map(|held| held.revision.0).unwrap_or_default(),
        acknowledged: standing.last_applied.map(|revision| revision.0).unwrap_or_default(),
        voters: standing
            .voters
            .iter()
            .map(|(node, address)| HeldVoter { node: node.to_string(), address: address.to_string() })
            .collect(),
    }
}

/// The host of a voter.
#[must_use]
pub fn host_of(voter: &HeldVoter) -> Option<HostId> {
    voter.node.rsplit_once('.')?.0.parse().ok()
}
