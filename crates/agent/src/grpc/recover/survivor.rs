//! A cluster is rebuilt by the voter that holds most of its log, of those that are left.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use api::{
    refusal,
    v1::{
        self, ClusterRecoverRequest, ClusterRecoverResponse, HoldsResponse,
        deployinator_client::DeployinatorClient,
    },
};
use model::ClusterId;
use tonic::Status;

use super::{
    Asked,
    evidence::{by_host, check_lost, heard, names},
    under_way,
};
use crate::{
    grpc::{passed::Passed, public::Public},
    recovery::{found::Founding, survey},
};

/// Who is to rebuild the cluster.
pub(super) enum Survivor {
    Here(Box<(ClusterRecoverResponse, Founding)>),
    /// Another agent, which holds more.
    At(SocketAddr),
}

/// From what the voters hold that are left.
pub(super) async fn from_survivor(
    public: &Public,
    asked: &Asked,
    passed: Passed,
) -> Result<Survivor, Status> {
    let core = public.core()?;
    let cluster = core.link.cluster().clone();
    let standing = core.link.node().standing().borrow().clone();
    let mut addresses: BTreeSet<SocketAddr> = core.link.members().all().into_iter().collect();
    addresses.extend(standing.members().into_values());
    let heard = heard(public, Some(&core), &cluster, addresses).await?;
    let best = heard.iter().filter(|(_, holds)| holds.holds);
    let best = best.max_by_key(|(_, holds)| (holds.term, holds.revision, &holds.host));
    let Some((address, best)) = best else {
        let text = format!("rebuild {cluster}: no agent answers that holds anything of its log");
        let next = "start the agents whose disks are left, or add --from with a backup of it, or of a cluster that it was rebuilt from";
        return Err(refusal::rejected(text, Some(next)));
    };
    let voters = voters(best, &heard);
    check_majority(&cluster, &heard)?;
    check_lost(&cluster, &voters, &asked.lost)?;
    if *address != core.link.me() {
        return match passed {
            Passed::Not => Ok(Survivor::At(*address)),
            _ => {
                Err(Status::unavailable(format!("{} holds more of the log meanwhile; ask again", best.host)))
            }
        };
    }
    let fleet = core.link.node().state().borrow().clone();
    let acknowledged = heard.values().map(|holds| holds.acknowledged).max().unwrap_or_default();
    let answer = ClusterRecoverResponse {
        lost_cluster: cluster.to_string(),
        host: core.link.host().to_string(),
        address: core.link.me().to_string(),
        revision: best.revision,
        acknowledged,
        voters,
        paused: under_way(&fleet),
        ..ClusterRecoverResponse::default()
    };
    let by = asked.by.clone();
    let founding =
        Founding { from: cluster, backup: None, gives_way: None, closes: false, gone: BTreeSet::new(), by };
    Ok(Survivor::Here(Box::new((answer, founding))))
}

/// The hosts that vote, and whether each is there with its disk.
fn voters(best: &HoldsResponse, heard: &BTreeMap<SocketAddr, HoldsResponse>) -> Vec<v1::RecoveredVoter> {
    let voter = |voter: &v1::HeldVoter| {
        let host = survey::host_of(&voter.node)?.to_string();
        let holds = heard.values().find(|holds| holds.holds && holds.node == voter.node);
        // While the voters change, the last set is the one that is to be: whoever was removed is not in it.
        let is_now = best.quorums.last().is_some_and(|set| set.nodes.contains(&voter.node));
        let row = v1::RecoveredVoter {
            address: voter.address.clone(),
            answers: holds.is_some(),
            revision: holds.map(|holds| holds.revision).unwrap_or_default(),
            host,
        };
        Some((is_now, row))
    };
    by_host(best.voters.iter().filter_map(voter))
}

/// Nothing is lost while those that answer can elect a leader.
fn check_majority(cluster: &ClusterId, heard: &BTreeMap<SocketAddr, HoldsResponse>) -> Result<(), Status> {
    let all: Vec<HoldsResponse> = heard.values().cloned().collect();
    let Some(leader) = survey::electable(&all) else { return Ok(()) };
    let there = all.iter().filter(|holds| holds.holds).map(|holds| holds.host.as_str()).collect();
    let text = format!(
        "rebuild {cluster}: a majority of its voters answers and can elect {} ({} are there); nothing is lost",
        leader.host,
        names(&there)
    );
    let next = "wait for them to elect a leader; `deployinator cluster show` tells when";
    Err(refusal::rejected(text, Some(next)))
}

/// Whoever holds more of the log is asked. What comes from a backup is rebuilt where it was asked for.
pub(super) async fn pass_on(
    public: &Public,
    asked: &Asked,
    to: SocketAddr,
) -> Result<ClusterRecoverResponse, Status> {
    let first = ClusterRecoverRequest {
        lost: asked.lost.iter().map(ToString::to_string).collect(),
        by: Some(asked.by.clone().into()),
        dry_run: asked.dry_run,
        from_backup: false,
        backup: Vec::new(),
    };
    let channel = public.backend().cell.parts().channels.to(to);
    let request = Passed::ToMember.mark(tokio_stream::once(first));
    Ok(DeployinatorClient::new(channel).cluster_recover(request).await?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a node says, and where it says it.
    fn holds(port: u16, node: &str, sets: &[&str]) -> (SocketAddr, HoldsResponse) {
        let set = |nodes: &&str| v1::VoterSet { nodes: nodes.split(' ').map(str::to_owned).collect() };
        let quorums: Vec<_> = sets.iter().map(set).collect();
        let nodes: BTreeSet<&str> = sets.iter().flat_map(|nodes| nodes.split(' ')).collect();
        let voters = nodes.into_iter().map(|node| v1::HeldVoter { node: node.into(), ..Default::default() });
        let voters = voters.collect();
        let holds = HoldsResponse { node: node.into(), holds: true, quorums, voters, ..Default::default() };
        (SocketAddr::from(([127, 0, 0, 1], port)), holds)
    }

    #[test]
    fn while_a_host_votes_as_two_nodes_the_one_counts_that_it_is_to_be() {
        let joint = ["a.1 b.1 c.1", "a.2 b.1 c.1"];
        let silent = |answers: &[&str]| {
            let heard: BTreeMap<_, _> =
                (1..).zip(answers).map(|(port, node)| holds(port, node, &joint)).collect();
            let rows = voters(&holds(9, "b.1", &joint).1, &heard);
            assert_eq!(rows.len(), 3, "a row for each host: {rows:?}");
            rows.into_iter().filter(|row| !row.answers).map(|row| row.host).collect::<Vec<_>>()
        };
        assert_eq!(silent(&["a.2", "b.1"]), ["c"]);
        // The machine that was removed runs on. It is not the host any more, which is silent.
        assert_eq!(silent(&["a.1", "b.1"]), ["a", "c"]);
        assert_eq!(silent(&["a.1", "a.2", "b.1"]), ["c"]);
    }
}
