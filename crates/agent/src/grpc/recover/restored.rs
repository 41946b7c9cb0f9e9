//! A cluster is rebuilt from a backup, where nobody who answers holds anything of its log.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use api::{
    refusal,
    v1::{self, ClusterRecoverResponse, HoldsResponse},
};
use model::ClusterId;
use tonic::Status;

use super::{
    Asked,
    evidence::{by_host, check_lost, heard},
    under_way,
    unheard::unheard,
    unusable,
};
use crate::{
    core::{Core, Parts},
    grpc::public::Public,
    node_id,
    recovery::{
        backup::{self, Backup, Voter},
        found::Founding,
        survey,
    },
};

/// From a backup, where no voter's disk is left.
pub(super) async fn from_backup(
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
    let closes = other.as_ref().is_some_and(|other| !other.is_lost);
    // Who is still in the lost cluster has not gone over to the other one, and votes in neither.
    let heard: BTreeMap<SocketAddr, HoldsResponse> =
        heard.into_iter().chain(other.iter().flat_map(|other| other.heard.clone())).collect();
    let mut voters = voters(parts, &backup, &heard)?;
    // Whoever is closed first needs its own majority for that. Any other may have one that is not heard from here, also of voters that the
    // backup does not know.
    if let Some(core) = core.as_deref().filter(|_| !closes) {
        let unheard = unheard(parts, core, &backup, &heard).await?;
        voters.extend(unheard.into_iter().map(|row| (false, row)));
    }
    let voters = by_host(voters);
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
    let gives_way = other.map(|other| other.cluster);
    Ok((answer, Founding { from: cluster, backup: Some(backup), gives_way, closes, gone, by }))
}

/// The voters of the backup, and whether each is there with its disk. Before each: whether its host was that node when the backup was taken.
fn voters(
    parts: &Parts,
    backup: &Backup,
    heard: &BTreeMap<SocketAddr, HoldsResponse>,
) -> Result<Vec<(bool, v1::RecoveredVoter)>, Status> {
    let mine = node_id(&parts.settings.agent.host, &parts.state.state().simple().to_string());
    let mine = mine.map_err(|error| Status::internal(error.to_string()))?;
    // One that is alive without what it held of the log is no lost host: it keeps its name, and what it does.
    let alive: BTreeSet<&str> =
        heard.values().map(|said| said.node.as_str()).chain([mine.as_str()]).collect();
    let voter = |voter: &Voter| {
        let node = voter.node.as_str();
        let host = survey::host_of(node)?;
        let known = backup.fleet.hosts.get(&host).and_then(|known| node_id(&host, &known.state).ok());
        let is_now = known.as_ref() == Some(&voter.node);
        let (address, answers) = (voter.address.to_string(), alive.contains(node));
        Some((is_now, v1::RecoveredVoter { host: host.to_string(), address, answers, revision: 0 }))
    };
    Ok(backup.about.voters.iter().filter_map(voter).collect())
}

/// Another cluster that this agent is in.
struct Other {
    cluster: ClusterId,
    /// Nobody who answers holds anything of its log. Those that do not are the operator's to name.
    is_lost: bool,
    /// Who is in it, and has said so.
    heard: BTreeMap<SocketAddr, HoldsResponse>,
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
        match heard.values().find(|said| said.holds) {
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
    Ok(Some(Other { cluster: ours.clone(), is_lost: false, heard: BTreeMap::new() }))
}
