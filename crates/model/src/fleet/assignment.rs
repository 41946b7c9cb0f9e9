//! What one host is to do: its own view of the fleet, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    Fleet,
    host::{Availability, PhaseKind},
    migration::MigrationState,
};
use crate::{Fence, HostId, Policy, Release, ReleaseId, Revision, RolloutId, ServiceName};

/// What one host is to do.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Assignment {
    /// The revision it was made from. A host refuses one that is older than the newest it has seen.
    pub revision: Revision,
    /// Whether the fleet knows the host; otherwise it enrols (again).
    pub enrolled: bool,
    /// The run of its agent that enrolled it last; empty where who tells this does not know. If it is not the present run, the word of another one came
    /// late and took its place: the host enrols again.
    #[serde(default)]
    pub introduced_by: String,
    /// The state directory that it is for: another one under the same name is another host, and not meant.
    #[serde(default)]
    pub state: Option<String>,
    /// One for each service that it declares.
    pub services: BTreeMap<ServiceName, ServiceAssignment>,
}

/// What one host is to do for one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceAssignment {
    /// Releases to have staged.
    pub stage: Vec<Release>,
    /// Releases that must not be collected.
    pub keep: BTreeSet<ReleaseId>,
    /// The migration to run, if this host has the lock for it.
    pub migrate: Option<MigrationGrant>,
    /// The change to make, if this host has a slot.
    pub change: Option<ChangeGrant>,
    /// The release that the fleet believes in soaked service here.
    pub current: Option<Release>,
    /// An operator wants it out of service for maintenance, with a slot or while it waits for one.
    #[serde(default)]
    pub parked: bool,
    /// What the fleet believes of its availability.
    pub availability: Availability,
    /// Releases that the fleet believes staged here.
    pub staged: BTreeSet<ReleaseId>,
    /// How to wait.
    pub policy: Policy,
}

/// The right to run a release's migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationGrant {
    /// Number of the grant.
    pub fence: Fence,
    /// The release.
    pub release: Release,
    /// Whether this host has reported that it was started.
    pub started: bool,
}

/// The right to be out of service, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeGrant {
    /// Number of the grant.
    pub fence: Fence,
    /// The rollout it is for.
    pub rollout: Option<RolloutId>,
    /// The release wanted; none takes the service away.
    pub to: Option<Release>,
    /// What to go back to when it fails; none leaves the service down.
    pub from: Option<Release>,
    /// Whether `from` may be started again: not when it is quarantined.
    pub fallback: bool,
    /// Leave service and stay out until told otherwise.
    pub park: bool,
    /// Go back now, if something was changed already.
    pub revert: bool,
    /// The phase that the fleet was told last.
    pub phase: PhaseKind,
}

impl Assignment {
    /// Whether the host has to say again who it is, whose agent's run `by` did so in the entry of `since`: the fleet does not know it, or goes by
    /// what an earlier run said, whose word has come late. What is older than `since` says nothing about it.
    #[must_use]
    pub fn asks_who(&self, by: &str, since: Revision) -> bool {
        let late = !self.introduced_by.is_empty() && self.introduced_by != by;
        since <= self.revision && (!self.enrolled || late)
    }
}

impl Fleet {
    /// What `host` is to do now.
    #[must_use]
    pub fn assignment(&self, host: &HostId) -> Assignment {
        let Some(record) = self.hosts.get(host).filter(|record| record.departed.is_none()) else {
            return Assignment { revision: self.revision, ..Assignment::default() };
        };
        let services =
            record.services.keys().filter_map(|name| Some((name.clone(), self.for_service(host, name)?)));
        Assignment {
            revision: self.revision,
            enrolled: true,
            introduced_by: record.introduced_by.clone(),
            state: Some(record.state.clone()),
            services: services.collect(),
        }
    }

    fn for_service(&self, host: &HostId, name: &ServiceName) -> Option<ServiceAssignment> {
        let here = self.hosts.get(host)?.services.get(name)?;
        let service = self.services.get(name)?;
        let wanted = service.wanted();
        let migrate = service.migration_lock.as_ref().filter(|lock| lock.host == *host).and_then(|lock| {
            let state = service.migrations.get(&lock.release.id)?.of(host);
            let started = matches!(state, MigrationState::Running { started: true, .. });
            Some(MigrationGrant { fence: lock.fence, release: lock.release.clone(), started })
        });
        let change = here.change.as_ref().map(|change| ChangeGrant {
            fence: change.fence,
            rollout: change.purpose.rollout(),
            to: change.to.clone(),
            from: change.from.clone(),
            fallback: change.from.as_ref().is_some_and(|from| !service.quarantine.contains_key(&from.id)),
            park: change.purpose == super::host::Purpose::Park,
            revert: change.revert,
            phase: change.phase,
        });
        let changing = here.change.iter().flat_map(|change| [&change.to, &change.from]).flatten();
        let keep =
            wanted.iter().chain(changing).chain(&here.current).map(|release| release.id.clone()).collect();
        Some(ServiceAssignment {
            keep,
            stage: wanted,
            migrate,
            change,
            current: here.current.clone(),
            parked: here.parked.is_some(),
            availability: here.availability,
            staged: here.staged.clone(),
            policy: service.policy.clone(),
        })
    }
}
