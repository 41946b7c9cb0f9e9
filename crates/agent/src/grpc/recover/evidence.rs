//! What stands against a recovery: what the agents that answer hold, and who does not answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use api::{
    refusal,
    v1::{self, HoldsResponse},
};
use model::{
    ClusterId, HostId,
    forming::{Kinship, Succession},
};
use tonic::Status;

use crate::{
    core::Core,
    grpc::public::Public,
    recovery::{
        News,
        survey::{self, Said},
    },
};

/// What the agents that answer hold of a cluster; this one among them.
pub(super) async fn heard(
    public: &Public,
    core: Option<&Core>,
    cluster: &ClusterId,
    mut addresses: BTreeSet<SocketAddr>,
) -> Result<BTreeMap<SocketAddr, HoldsResponse>, Status> {
    let parts = public.backend().cell.parts();
    let me = parts.settings.agent.advertise;
    let own = core.map(Core::succession);
    addresses.remove(&me);
    let mut heard = BTreeMap::new();
    for said in survey::ask(parts, cluster, addresses).await {
        match said {
            Said::Holds { address, holds } => {
                heard.insert(address, holds);
            }
            // That one is looked at for itself.
            Said::Succeeded(news) if is_own(&news, own.as_ref()) => {}
            Said::Succeeded(News { succession, .. }) => {
                let text = format!("rebuild {cluster}: it was rebuilt already, as {}", succession.cluster);
                let next = "this agent goes over to it by itself; `deployinator cluster show` tells when";
                return Err(refusal::rejected(text, Some(next)));
            }
        }
    }
    if let Some(core) = core.filter(|core| core.link.cluster() == cluster) {
        heard.insert(me, survey::here(core));
    }
    Ok(heard)
}

/// Whether this agent knows of that cluster itself: it is in it, or in one that took its place.
fn is_own(news: &News, own: Option<&Succession>) -> bool {
    own.is_some_and(|own| matches!(news.succession.kinship(own), Kinship::Same | Kinship::Predecessor))
}

/// One row for each host, of rows for nodes. Of a host that was removed and came back as another node, both vote while the voters change: what
/// counts is whether the node answers that the host is now (`true`), not whether the machine still runs that was removed. Where nobody knows which
/// one that is, the host is there if either answers: it cannot be named as lost.
pub(super) fn by_host(rows: impl IntoIterator<Item = (bool, v1::RecoveredVoter)>) -> Vec<v1::RecoveredVoter> {
    let mut hosts: BTreeMap<String, (bool, v1::RecoveredVoter)> = BTreeMap::new();
    for (is_now, row) in rows {
        let known = hosts.get(&row.host);
        if known.is_none_or(|(was_now, known)| (*was_now, known.answers) < (is_now, row.answers)) {
            hosts.insert(row.host.clone(), (is_now, row));
        }
    }
    hosts.into_values().map(|(_, row)| row).collect()
}

/// Who is to be named and is not, or is named and is not to be. The voters named as lost are exactly those that do not answer. There is one row
/// for each host ([`by_host`]): none is there and silent at once.
pub(super) fn check_lost(
    cluster: &ClusterId,
    voters: &[v1::RecoveredVoter],
    lost: &BTreeSet<HostId>,
) -> Result<(), Status> {
    let hosts = |answers: bool| -> BTreeSet<&str> {
        voters.iter().filter(|voter| voter.answers == answers).map(|voter| voter.host.as_str()).collect()
    };
    let (there, silent) = (hosts(true), hosts(false));
    let lost: BTreeSet<&str> = lost.iter().map(HostId::as_str).collect();
    let alive: BTreeSet<&str> = lost.intersection(&there).copied().collect();
    if !alive.is_empty() {
        let text = format!("rebuild {cluster}: {} named as lost, and answers", names(&alive));
        return Err(refusal::rejected(text, Some("leave it out of --lost")));
    }
    let strangers: BTreeSet<&str> = lost.difference(&silent).copied().collect();
    if !strangers.is_empty() {
        let text = format!("rebuild {cluster}: {} did not vote in it", names(&strangers));
        let next = "name only voters; `deployinator hosts remove HOST --reason WHY` is for other hosts, once there is a majority";
        return Err(refusal::rejected(text, Some(next)));
    }
    let unnamed: BTreeSet<&str> = silent.difference(&lost).copied().collect();
    if !unnamed.is_empty() {
        let text = format!("rebuild {cluster}: no answer from {}, not named as lost", names(&unnamed));
        let next = "bring it back, or name it with --lost if it is gone for good";
        return Err(refusal::rejected(text, Some(next)));
    }
    Ok(())
}

pub(super) fn names(hosts: &BTreeSet<&str>) -> String {
    hosts.iter().copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voter(host: &str, answers: bool) -> v1::RecoveredVoter {
        v1::RecoveredVoter { host: host.into(), answers, ..Default::default() }
    }

    fn said(there: &str, silent: &str, lost: &str) -> Result<(), String> {
        let there = there.split_whitespace().map(|host| voter(host, true));
        let silent = silent.split_whitespace().map(|host| voter(host, false));
        let voters: Vec<_> = there.chain(silent).collect();
        let lost = lost.split_whitespace().map(|host| host.parse().unwrap()).collect();
        check_lost(&"c1-x".parse().unwrap(), &voters, &lost).map_err(|status| status.message().to_owned())
    }

    #[test]
    fn the_voters_named_as_lost_are_exactly_those_that_do_not_answer() {
        assert_eq!(said("a b", "c d e", "c d e"), Ok(()));
        assert_eq!(said("", "a b c", "a b c"), Ok(()));
        for (there, silent, lost, expected) in [
            ("a b", "c d e", "b c d e", "b named as lost, and answers"),
            ("a b", "c d e", "c d e f", "f did not vote in it"),
            ("a b", "c d e", "c d", "no answer from e, not named as lost"),
        ] {
            let no = said(there, silent, lost).unwrap_err();
            assert!(no.contains(expected), "{no}");
        }
    }

    #[test]
    fn a_host_that_came_back_as_another_node_is_there_or_lost_as_that_one() {
        // Each node: whether the host is that one now, and whether it answers.
        let is_there = |nodes: [(bool, bool); 2]| {
            let rows = by_host(nodes.map(|(is_now, answers)| (is_now, voter("a", answers))));
            assert_eq!(rows.len(), 1, "{nodes:?}");
            rows[0].answers
        };
        for [one, other] in [[0, 1], [1, 0]] {
            let nodes = |nodes: [(bool, bool); 2]| [nodes[one], nodes[other]];
            assert!(
                is_there(nodes([(false, false), (true, true)])),
                "its disk of before is gone, as is known"
            );
            assert!(
                !is_there(nodes([(false, true), (true, false)])),
                "only the machine runs that was removed"
            );
            // Nobody knows which one it is.
            assert!(is_there(nodes([(false, true), (false, false)])));
            assert!(!is_there(nodes([(false, false), (false, false)])));
        }
        let rows = by_host([(true, voter("b", true)), (true, voter("a", false))]);
        let rows: Vec<_> = rows.iter().map(|row| (row.host.as_str(), row.answers)).collect();
        assert_eq!(rows, [("a", false), ("b", true)]);
    }

    #[test]
    fn a_cluster_that_this_agent_is_in_or_that_was_lost_since_is_no_news() {
        let succession = |cluster: &str, predecessors: &[&str]| Succession {
            cluster: cluster.parse().unwrap(),
            predecessors: predecessors.iter().map(|cluster| cluster.parse().unwrap()).collect(),
        };
        let news = |succession| News { succession, members: Vec::new() };
        let own = succession("r3-z", &["c1-x", "r2-y"]);
        for (told, known) in [
            (succession("r3-z", &["c1-x", "r2-y"]), true),
            (succession("r2-y", &["c1-x"]), true),
            (succession("r4-w", &["c1-x", "r2-y", "r3-z"]), false),
            (succession("r2-v", &["c1-x"]), false),
        ] {
            assert_eq!(is_own(&news(told.clone()), Some(&own)), known, "{told:?}");
            assert!(!is_own(&news(told), None));
        }
    }
}
