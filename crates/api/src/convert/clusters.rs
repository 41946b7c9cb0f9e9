//! Who makes up the cluster.

use std::time::Duration;

use model::Revision;

use super::{Invalid, all, all_named, each, maybe_named, millis, named};
use crate::{
    v1,
    view::{ClusterView, FleetHost, Member, Stale},
};

impl From<ClusterView> for v1::ClusterShowResponse {
    fn from(view: ClusterView) -> Self {
        Self {
            cluster: view.cluster,
            leader: view.leader.map(Into::into),
            revision: view.revision.0,
            answered_by: view.answered_by.into(),
            voters: each(view.voters),
            learners: each(view.learners),
            silent: each(view.silent),
            stale: view.stale.is_some(),
            missing: view.stale.iter().flat_map(|stale| &stale.missing).map(ToString::to_string).collect(),
            stale_reason: view.stale.map(|stale| stale.reason).unwrap_or_default(),
            hosts: each(view.hosts),
            fleet_level: view.fleet_level,
        }
    }
}

impl TryFrom<v1::ClusterShowResponse> for ClusterView {
    type Error = Invalid;
    fn try_from(wire: v1::ClusterShowResponse) -> Result<Self, Invalid> {
        let missing = all_named("missing", &wire.missing)?;
        Ok(Self {
            cluster: wire.cluster,
            leader: maybe_named("leader", wire.leader.as_deref())?,
            revision: Revision(wire.revision),
            answered_by: named("answered_by", &wire.answered_by)?,
            voters: all("voters", wire.voters)?,
            learners: all("learners", wire.learners)?,
            silent: all_named("silent", &wire.silent)?,
            stale: wire.stale.then_some(Stale { reason: wire.stale_reason, missing }),
            hosts: all("hosts", wire.hosts)?,
            fleet_level: wire.fleet_level,
        })
    }
}

impl From<Member> for v1::Member {
    fn from(member: Member) -> Self {
        Self { host: member.host.into(), node: member.node, address: member.address }
    }
}

impl TryFrom<v1::Member> for Member {
    type Error = Invalid;
    fn try_from(wire: v1::Member) -> Result<Self, Invalid> {
        Ok(Self { host: named("host", &wire.host)?, node: wire.node, address: wire.address })
    }
}

impl From<FleetHost> for v1::FleetHost {
    fn from(host: FleetHost) -> Self {
        Self {
            host: host.host.into(),
            address: host.address,
            zone: host.zone,
            level: host.level,
            quiet_ms: host.quiet.map(millis),
        }
    }
}

impl TryFrom<v1::FleetHost> for FleetHost {
    type Error = Invalid;
    fn try_from(wire: v1::FleetHost) -> Result<Self, Invalid> {
        Ok(Self {
            host: named("host", &wire.host)?,
            address: wire.address,
            zone: wire.zone,
            level: wire.level,
            quiet: wire.quiet_ms.map(Duration::from_millis),
        })
    }
}
