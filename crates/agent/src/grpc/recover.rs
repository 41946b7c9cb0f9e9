//! `cluster recover`: what would be lost, who is to answer for it, and then the recovery.
//!
//! Whatever an agent can still find out stands against it here: a majority that answers, a lost voter that answers, a voter that does not answer
//! and was not named, a disk that survived. Only what nobody can find out is left to the operator's word.

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
use model::{
    ClusterId, HostId,
    fleet::{Act, Fleet, Operator},
    forming::Record,
};
use ports::fault::Chain;
use tokio::sync::oneshot;
use tonic::{Request, Status, Streaming};

use super::{passed::Passed, public::Public};
use crate::{
    core::Core,
    durable,
    forming::Knock,
    node_id,
    recovery::{
        News, backup,
        found::{FoundError, Founded, Founding},
        survey::{self, Said},
    },
};

/// What is asked for.
struct Asked {
    lost: BTreeSet<HostId>,
    by: Operator,
    dry_run: bool,
    backup: Option<Vec<u8>>,
}

pub(super) async fn recover(
    public: &Public,
    request: Request<Streaming<ClusterRecoverRequest>>,
) -> Result<ClusterRecoverResponse, Status> {
    let passed = Passed::of(&request);
    let asked = read(request.into_inner()).await?;
    let (answer, founding) = match &asked.backup {
        Some(file) => from_backup(public, &asked, file).await?,
        None => match from_survivor(public, &asked, passed).await? {
            Survivor::Here(here) => *here,
            Survivor::At(address) => return pass_on(public, &asked, address).await,
        },
    };
    let record = durable::read::<Record>(&public.backend().cell.parts().state.forming());
    let record = record.map_err(|error| Status::internal(Chain(&error).to_string()))?.unwrap_or_default();
    founding.check(&record).map_err(|error| not_founded(&error))?;
    if asked.dry_run {
        return Ok(answer);
    }
    if founding.closes {
        // Whatever is pushed there from now on is refused; what was pushed before is found by this.
        public.propose(Act::GiveWay { to: founding.from.clone(), by: founding.by.clone() }).await?;
    }
    let (reply, founded) = oneshot::channel();
    let stopping = || Status::unavailable("this agent is stopping");
    public.backend().knocks.send(Knock::Found(Box::new(founding), reply)).await.map_err(|_| stopping())?;
    let founded = founded.await.map_err(|_| stopping())?;
    let Founded { cluster, last } = founded.map_err(|error| not_founded(&error))?;
    Ok(ClusterRecoverResponse { cluster: cluster.to_string(), revision: last.0, ..answer })
}

fn not_founded(error: &FoundError) -> Status {
    let text = Chain(error).to_string();
    match error.next() {
        Some(next) => refusal::rejected(text, Some(next)),
        None => Status::internal(text),
    }
}

async fn read(mut parts: Streaming<ClusterRecoverRequest>) -> Result<Asked, Status> {
    let first = parts.message().await?.ok_or_else(|| Status::invalid_argument("nothing was asked"))?;
    let ClusterRecoverRequest { lost, by, dry_run, from_backup, backup } = first;
    let by = api::asker(by)?;
    if by.reason.trim().is_empty() {
        return Err(refusal::rejected("rebuild the cluster: a reason is needed", Some("add --reason")));
    }
    let named =
        |host: &String| host.parse::<HostId>().map_err(|error| refusal::rejected(error.to_string(), None));
    let lost = lost.iter().map(named).collect::<Result<_, _>>()?;
    let mut file = backup;
    while let Some(part) = parts.message().await? {
        file.extend(part.backup);
        if api::BACKUP_LIMIT_BYTES < file.len() {
            // The rest of it is not waited for.
            let (bytes, limit) = (file.len(), api::BACKUP_LIMIT_BYTES);
            return Err(unusable(&backup::Unusable::TooLarge { bytes, limit }));
        }
    }
    Ok(Asked { lost, by, dry_run, backup: from_backup.then_some(file) })
}

fn unusable(error: &backup::Unusable) -> Status {
    refusal::rejected(Chain(error).to_string(), None)
}

/// Who is to rebuild the cluster.
enum Survivor {
    Here(Box<(ClusterRecoverResponse, Founding)>),
    /// Another agent, which holds more.
    At(SocketAddr),
}

/// From what the voters hold that are left.
async fn from_survivor(public: &Public, asked: &Asked, passed: Passed) -> Result<Survivor, Status> {
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

/// What the agents that answer hold of a cluster; this one among them.
async fn heard(
    public: &Public,
    core: Option<&Core>,
    cluster: &ClusterId,
    mut addresses: BTreeSet<SocketAddr>,
) -> Result<BTreeMap<SocketAddr, HoldsResponse>, Status> {
    let parts = public.backend().cell.parts();
    let me = parts.settings.agent.advertise;
    addresses.remove(&me);
    let mut heard = BTreeMap::new();
    for said in survey::ask(parts, cluster, addresses).await {
        match said {
            Said::Holds { address, holds } => {
                heard.insert(address, holds);
            }
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

/// The voters, and whether each is there with its disk.
fn voters(best: &HoldsResponse, heard: &BTreeMap<SocketAddr, HoldsResponse>) -> Vec<v1::RecoveredVoter> {
    let voter = |voter: &v1::HeldVoter| {
        let host = survey::host_of(voter)?.to_string();
        let holds = heard.values().find(|holds| holds.holds && holds.node == voter.node);
        Some(v1::RecoveredVoter {
            address: voter.address.clone(),
            answers: holds.is_some(),
            revision: holds.map(|holds| holds.revision).unwrap_or_default(),
            host,
        })
    };
    best.voters.iter().filter_map(voter).collect()
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

/// What stands against a recovery. The voters named as lost are exactly those that do not answer.
fn check_lost(
    cluster: &ClusterId,
    voters: &[v1::RecoveredVoter],
    lost: &BTreeSet<HostId>,
) -> Result<(), Status> {
    let there: BTreeSet<&str> =
        voters.iter().filter(|voter| voter.answers).map(|voter| voter.host.as_str()).collect();
    let silent: BTreeSet<&str> =
        voters.iter().filter(|voter| !voter.answers).map(|voter| voter.host.as_str()).collect();
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

fn names(hosts: &BTreeSet<&str>) -> String {
    hosts.iter().copied().collect::<Vec<_>>().join(", ")
}

fn under_way(fleet: &Fleet) -> Vec<v1::PausedRollout> {
    let active = |(service, known): (&model::ServiceName, &model::fleet::Service)| {
        Some(v1::PausedRollout { service: service.to_string(), rollout: known.active?.0 })
    };
    fleet.services.iter().filter_map(active).collect()
}

/// Whoever holds more of the log is asked. What comes from a backup is rebuilt where it was asked for.
async fn pass_on(public: &Public, asked: &Asked, to: SocketAddr) -> Result<ClusterRecoverResponse, Status> {
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

/// From a backup, where no voter's disk is left.
async fn from_backup(
    public: &Public,
    asked: &Asked,
    file: &[u8],
) -> Result<(ClusterRecoverResponse, Founding), Status> {
    let parts = public.backend().cell.parts();
    let backup = backup::read(file).map_err(|error| unusable(&error))?;
    let (about, ours) = (&backup.about, &parts.settings.cluster.name);
    let cluster = about.cluster.clone();
    if about.name != ours.as_str() {
        let text = format!(
            "rebuild {cluster}: the backup is of a cluster named {}, this agent's is named {ours}",
            about.name
        );
        return Err(refusal::rejected(text, Some("use the backup of this cluster")));
    }
    let core = public.backend().cell.get();
    let other = match core.as_deref() {
        Some(core) => gives_way(public, core, &cluster).await?,
        None => None,
    };
    let mut addresses: BTreeSet<SocketAddr> = parts.members.all().into_iter().collect();
    addresses.extend(about.voters.iter().map(|voter| voter.address));
    let heard = heard(public, core.as_deref(), &cluster, addresses).await?;
    if let Some(holder) = heard.values().find(|holds| holds.holds) {
        let text = format!(
            "rebuild {cluster}: {} holds its log as it was at revision {}, which is better than any backup",
            holder.host, holder.revision
        );
        return Err(refusal::rejected(text, Some("leave --from out")));
    }
    let mine = node_id(&parts.settings.agent.host, &parts.state.state().simple().to_string());
    let mine = mine.map_err(|error| Status::internal(error.to_string()))?;
    let voted = |node: &raft::NodeId| node.as_str().rsplit_once('.').map(|(host, _)| host.to_owned());
    // One that is alive without what it held of the log is no lost host: it keeps its name, and what it does.
    let alive = |node: &raft::NodeId| {
        let said = heard.values().chain(other.iter().flat_map(|other| &other.heard));
        *node == mine || said.into_iter().any(|said| said.node == node.as_str())
    };
    let voters: Vec<v1::RecoveredVoter> = about
        .voters
        .iter()
        .filter_map(|voter| {
            let (host, address) = (voted(&voter.node)?, voter.address.to_string());
            Some(v1::RecoveredVoter { host, address, answers: alive(&voter.node), revision: 0 })
        })
        .collect();
    check_lost(&cluster, &voters, &asked.lost)?;
    let answer = ClusterRecoverResponse {
        lost_cluster: cluster.to_string(),
        host: parts.settings.agent.host.to_string(),
        address: parts.settings.agent.advertise.to_string(),
        revision: about.revision.0,
        acknowledged: about.revision.0,
        voters,
        taken_at_ms: Some(about.taken_at.0),
        paused: under_way(&backup.fleet),
        replaces: other.as_ref().map(|other| other.cluster.to_string()).unwrap_or_default(),
        ..ClusterRecoverResponse::default()
    };
    let (gone, by) = (asked.lost.clone(), asked.by.clone());
    let closes = other.as_ref().is_some_and(|other| !other.is_lost);
    let gives_way = other.map(|other| other.cluster);
    Ok((answer, Founding { from: cluster, backup: Some(backup), gives_way, closes, gone, by }))
}

/// Another cluster that this agent is in.
struct Other {
    cluster: ClusterId,
    /// Nobody who answers holds anything of its log.
    is_lost: bool,
    /// Who is in it.
    heard: Vec<HoldsResponse>,
}

/// The cluster that this agent is in, if it is another one. It gives way when it is lost as well, or when nothing was ever done in it, as after
/// all disks were lost.
async fn gives_way(public: &Public, core: &Core, lost: &ClusterId) -> Result<Option<Other>, Status> {
    let ours = core.link.cluster();
    if ours == lost {
        return Ok(None);
    }
    let fleet = core.link.node().state().borrow().clone();
    let succeeds = core.succession().predecessors.contains(lost);
    if succeeds || !survey::here(core).holds {
        let heard = heard(public, Some(core), ours, core.link.members().all().into_iter().collect()).await?;
        let heard: Vec<HoldsResponse> = heard.into_values().collect();
        match heard.iter().find(|said| said.holds) {
            None => return Ok(Some(Other { cluster: ours.clone(), is_lost: true, heard })),
            Some(holder) if succeeds => {
                let text = format!(
                    "rebuild {lost}: it was rebuilt already, as {ours}, and {} holds the log of that",
                    holder.host
                );
                let next = "if a majority of that one is lost: `deployinator cluster recover --lost HOST --reason WHY`, without --from";
                return Err(refusal::rejected(text, Some(next)));
            }
            Some(_) => {}
        }
    }
    if !core.link.is_member() {
        let text = format!(
            "rebuild {lost}: this agent follows in another cluster, {ours}, and does not know what was done there"
        );
        return Err(refusal::rejected(
            text,
            Some("ask one of its voters: `deployinator cluster show` names them"),
        ));
    }
    if let Some((service, _)) = fleet.services.iter().find(|(_, known)| !known.rollouts.is_empty()) {
        let text = format!(
            "rebuild {lost}: this agent is in another cluster, {ours}, in which {service} was rolled out"
        );
        let next = "push to that cluster, or ask an agent of the lost one";
        return Err(refusal::rejected(text, Some(next)));
    }
    Ok(Some(Other { cluster: ours.clone(), is_lost: false, heard: Vec::new() }))
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
}
