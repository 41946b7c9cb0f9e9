//! Asks agents what they hold of a cluster's log.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use api::v1::{HeldVoter, HoldsRequest, HoldsResponse, VoterSet, agent_client::AgentClient};
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
        node: standing.node.to_string(),
        quorums: standing
            .quorums
            .iter()
            .map(|set| VoterSet { nodes: set.iter().map(ToString::to_string).collect() })
            .collect(),
    }
}

/// The first of those that answer who could be elected by the others that answer, as Raft would: by a majority of each set of voters that it
/// knows of, of nodes that hold no more than it does. Names are no evidence: a host that lost its disk has another node.
#[must_use]
pub fn electable(heard: &[HoldsResponse]) -> Option<&HoldsResponse> {
    let held = |it: &HoldsResponse| (it.term, it.revision);
    let votes = |for_whom: &HoldsResponse, set: &VoterSet| {
        let would = |node: &&String| {
            heard.iter().any(|it| it.holds && it.node == **node && held(it) <= held(for_whom))
        };
        set.nodes.len() < 2 * set.nodes.iter().filter(would).count()
    };
    heard.iter().find(|it| {
        let is_voter = it.quorums.iter().any(|set| set.nodes.contains(&it.node));
        it.holds && is_voter && it.quorums.iter().all(|set| votes(it, set))
    })
}

/// The host of a node.
#[must_use]
pub fn host_of(node: &str) -> Option<HostId> {
    node.rsplit_once('.')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that holds so much and knows these sets of voters.
    fn holds(node: &str, revision: u64, sets: &[&str]) -> HoldsResponse {
        let set = |nodes: &&str| VoterSet { nodes: nodes.split_whitespace().map(str::to_owned).collect() };
        let quorums = sets.iter().map(set).collect();
        HoldsResponse { node: node.into(), holds: true, revision, quorums, ..Default::default() }
    }

    #[test]
    fn a_quorum_lives_when_somebody_could_be_elected_by_those_that_answer() {
        let elected = |heard: &[HoldsResponse]| electable(heard).map(|it| it.node.clone());
        let three = ["a b c"];
        assert_eq!(elected(&[holds("a", 5, &three), holds("b", 4, &three)]).as_deref(), Some("a"));
        assert_eq!(elected(&[holds("a", 5, &three)]), None);
        assert_eq!(elected(&[]), None);
        // While the voters change, both sets count: half of all that are named are enough of them here,
        let joint = ["a b c", "a b d"];
        assert_eq!(elected(&[holds("a", 5, &joint), holds("b", 5, &joint)]).as_deref(), Some("a"));
        // and most of all that are named are not enough there.
        let apart = ["a b c", "c d e"];
        assert_eq!(elected(&[holds("a", 5, &apart), holds("b", 5, &apart), holds("d", 5, &apart)]), None);
        // What only one holds of a change binds nobody who has not seen it.
        let begun = ["a b c", "a d e"];
        let rest = [holds("a", 6, &begun), holds("b", 5, &three), holds("c", 5, &three)];
        assert_eq!(elected(&rest).as_deref(), Some("b"));
        // Who is far behind knows of voters that are none any more: they hold more, and do not elect it.
        let behind = [holds("a", 1, &three), holds("b", 9, &["b d e"]), holds("c", 9, &["b d e"])];
        assert_eq!(elected(&behind), None);
        // Another disk under the same name is another node, and who holds nothing elects nobody.
        let empty = HoldsResponse { holds: false, ..holds("b", 0, &three) };
        assert_eq!(elected(&[holds("a", 5, &three), empty]), None);
    }
}
