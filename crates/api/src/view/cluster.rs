//! Who makes up the cluster.

use std::time::Duration;

use model::{HostId, Revision};

use super::Stale;

/// Who makes up the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterView {
    /// Name of the cluster; empty before it has formed.
    pub cluster: String,
    /// Host of the leader, where one is known.
    pub leader: Option<HostId>,
    /// Revision applied by whoever answers.
    pub revision: Revision,
    /// Who answers.
    pub answered_by: HostId,
    /// Who carries the log.
    pub voters: Vec<Member>,
    /// Who receives the log without a vote.
    pub learners: Vec<Member>,
    /// Hosts that the leader has not heard from for too long.
    pub silent: Vec<HostId>,
    /// Why the answer may be old.
    pub stale: Option<Stale>,
    /// Every host of the fleet, by name.
    pub hosts: Vec<FleetHost>,
    /// Behaviour of the replicated state that is switched on.
    pub fleet_level: u32,
}

impl ClusterView {
    /// What a host is to the log: leader, voter, learner or follower.
    #[must_use]
    pub fn role_of(&self, host: &HostId) -> &'static str {
        let among = |members: &[Member]| members.iter().any(|member| member.host == *host);
        if self.leader.as_ref() == Some(host) {
            "leader"
        } else if among(&self.voters) {
            "voter"
        } else if among(&self.learners) {
            "learner"
        } else {
            "follower"
        }
    }
}

/// One node of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its host.
    pub host: HostId,
    /// Node id; used once, ever.
    pub node: String,
    /// Where its agent listens.
    pub address: String,
}

/// One host of the fleet, whatever it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetHost {
    /// The host.
    pub host: HostId,
    /// Where its agent listens.
    pub address: String,
    /// Its failure domain.
    pub zone: Option<String>,
    /// The fleet level that its agent supports.
    pub level: u32,
    /// How long the leader has not heard from it; none when it has not at all, or nobody leads.
    pub quiet: Option<Duration>,
}
