//! Who makes up the cluster.

use std::net::SocketAddr;

use api::{
    v1::{self, deployinator_client::DeployinatorClient},
    view,
};
use model::{HostId, fleet::Host};
use raft::NodeId;
use tokio::time::timeout;
use tonic::Status;

use super::{
    passed::Passed,
    public::Public,
    status::{self, LEADER},
};
use crate::leader::View;

pub(super) async fn cluster(public: &Public, passed: Passed) -> Result<v1::ClusterShowResponse, Status> {
    let core = public.core()?;
    let view = status::reign(public, &core).await;
    if view.is_none()
        && passed == Passed::Not
        && let Some(leader) = core.link.leader().filter(|leader| *leader != core.link.me())
    {
        let mut client = DeployinatorClient::new(core.link.channels().to(leader));
        if let Ok(Ok(answer)) =
            timeout(LEADER, client.cluster_show(Passed::ToMember.mark(v1::ClusterShowRequest {}))).await
        {
            return Ok(answer.into_inner());
        }
    }
    let standing = core.link.node().standing().borrow().clone();
    let fleet = core.link.node().state().borrow().clone();
    let is_silent = |host: &HostId| view.as_ref().is_some_and(|view| view.silent.contains_key(host));
    let silent = fleet.present().map(|(host, _)| host).filter(|host| is_silent(host)).cloned().collect();
    let shown = view::ClusterView {
        cluster: core.link.cluster().to_string(),
        leader: standing.leader.as_ref().and_then(status::host_of),
        revision: fleet.revision,
        answered_by: core.link.host().clone(),
        // Who is on the way out votes until that is committed: whoever ended it before would end the group with it.
        voters: members(standing.voters.iter().chain(&standing.leaving)),
        learners: members(standing.learners.iter().filter(|(node, _)| !standing.leaving.contains_key(node))),
        silent,
        hosts: fleet.present().map(|(host, known)| fleet_host(host, known, view.as_ref())).collect(),
        fleet_level: fleet.level,
        stale: if view.is_some() { None } else { Some(status::stale(&core).await) },
    };
    Ok(shown.into())
}

fn members<'a>(nodes: impl Iterator<Item = (&'a NodeId, &'a SocketAddr)>) -> Vec<view::Member> {
    let member = |(node, address): (&NodeId, &SocketAddr)| {
        Some(view::Member {
            host: status::host_of(node)?,
            node: node.to_string(),
            address: address.to_string(),
        })
    };
    nodes.filter_map(member).collect()
}

fn fleet_host(host: &HostId, known: &Host, view: Option<&View>) -> view::FleetHost {
    let heard = view.and_then(|view| view.hosts.get(host).map(|(quiet, _)| quiet).or(view.silent.get(host)));
    view::FleetHost {
        host: host.clone(),
        address: known.address.to_string(),
        zone: known.zone.clone(),
        level: known.level,
        quiet: heard.copied(),
    }
}
