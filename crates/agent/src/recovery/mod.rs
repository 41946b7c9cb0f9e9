//! What is done about a cluster whose majority is lost: backups, the cluster that takes its place, and how everybody learns of that.
//!
//! Promise: a host is in one cluster at a time. It goes over in one step, written down before anything follows from it; then the agent begins
//! again, as after a crash, and the services run on (P8). A host that went over never goes back.
//!
//! Absent on purpose: evidence that the lost voters are gone. That is the word of the operator who asks.

pub mod backup;
pub mod found;
pub mod spread;
pub mod survey;

use std::net::SocketAddr;

use model::{ClusterId, forming::Succession};
use tonic::{Status, metadata::AsciiMetadataValue};

use crate::{core::Core, link::MEMBERS_KEY};

/// Metadata key with the succession of the answering agent, as JSON: the asker's cluster was rebuilt as this one.
const SUCCESSOR_KEY: &str = "deployinator-successor";

/// A cluster that was rebuilt, and where it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The cluster, and whose place it took.
    pub succession: Succession,
    /// Addresses of its members.
    pub members: Vec<SocketAddr>,
}

impl News {
    /// What a refusal tells.
    #[must_use]
    pub fn of(refusal: &Status) -> Option<Self> {
        let said = refusal.metadata().get(SUCCESSOR_KEY)?;
        let succession = serde_json::from_slice(said.as_bytes()).ok()?;
        let members = refusal.metadata().get(MEMBERS_KEY).and_then(|named| named.to_str().ok());
        let members = members.into_iter().flat_map(|named| named.split(','));
        Some(Self { succession, members: members.filter_map(|address| address.parse().ok()).collect() })
    }
}

impl Core {
    /// The cluster, and those that it was rebuilt from: as the replica has it, or as this host learned when it went over.
    #[must_use]
    pub fn succession(&self) -> Succession {
        let mut predecessors = self.predecessors.clone();
        let fleet = self.link.node().state().borrow().clone();
        for known in &fleet.predecessors {
            if !predecessors.contains(&known.cluster) {
                predecessors.push(known.cluster.clone());
            }
        }
        Succession { cluster: self.link.cluster().clone(), predecessors }
    }

    /// The addresses of the group's members, this agent's among them if it is one.
    #[must_use]
    pub fn members(&self) -> Vec<SocketAddr> {
        let group = crate::core::member_addresses(self.link.node());
        if group.is_empty() { self.link.members().members().into_iter().collect() } else { group }
    }

    /// The answer to an agent of another cluster.
    #[must_use]
    pub fn stranger(&self, theirs: &str) -> Status {
        let ours = self.link.cluster();
        let succession = self.succession();
        if !succession.predecessors.iter().any(|cluster| cluster.as_str() == theirs) {
            return Status::permission_denied(format!("this agent is of cluster {ours}, not of {theirs}"));
        }
        let mut status = Status::permission_denied(format!("cluster {theirs} was rebuilt as {ours}"));
        let members = self.members().iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let said =
            serde_json::to_string(&succession).ok().and_then(|said| AsciiMetadataValue::try_from(said).ok());
        if let (Some(said), Ok(members)) = (said, members.parse()) {
            status.metadata_mut().insert(SUCCESSOR_KEY, said);
            status.metadata_mut().insert(MEMBERS_KEY, members);
        }
        status
    }
}

/// One after the other, each once.
fn chain(clusters: impl IntoIterator<Item = ClusterId>) -> Vec<ClusterId> {
    let mut chain = Vec::new();
    for cluster in clusters {
        if !chain.contains(&cluster) {
            chain.push(cluster);
        }
    }
    chain
}
