//! What is known of a release's migration: a replicated fact.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{Fence, HostId, Release, policy::MigratePer};

/// The migrations of one release. Where they are run is settled by the first grant, whatever the policy says later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Migrations {
    /// Once in the fleet or once on each host.
    pub per: MigratePer,
    /// For `per = fleet`.
    pub fleet: MigrationState,
    /// For `per = host`.
    pub hosts: BTreeMap<HostId, MigrationState>,
}

impl Migrations {
    /// Nothing was run yet.
    #[must_use]
    pub fn new(per: MigratePer) -> Self {
        Self { per, fleet: MigrationState::Never, hosts: BTreeMap::new() }
    }

    /// What counts for this host.
    #[must_use]
    pub fn of(&self, host: &HostId) -> &MigrationState {
        match self.per {
            MigratePer::Fleet => &self.fleet,
            MigratePer::Host => self.hosts.get(host).unwrap_or(&MigrationState::Never),
        }
    }

    /// Sets what counts for this host.
    pub fn set(&mut self, host: &HostId, state: MigrationState) {
        match self.per {
            MigratePer::Fleet => self.fleet = state,
            MigratePer::Host => drop(self.hosts.insert(host.clone(), state)),
        }
    }

    /// Lets go of what failed migrations wrote. How they ended is kept for good, and an end that nobody saw with all that is known of it.
    pub fn forget_output(&mut self) {
        for state in std::iter::once(&mut self.fleet).chain(self.hosts.values_mut()) {
            if let MigrationState::Failed { tail, .. } = state {
                *tail = "".into();
            }
        }
    }

    /// Every state, with the host for `per = host`.
    pub fn states(&self) -> impl Iterator<Item = (Option<&HostId>, &MigrationState)> {
        let fleet = (self.per == MigratePer::Fleet).then_some((None, &self.fleet));
        fleet.into_iter().chain(self.hosts.iter().map(|(host, state)| (Some(host), state)))
    }
}

/// What is known of one migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MigrationState {
    /// It was never started.
    Never,
    /// The release brings none.
    NotNeeded,
    /// A host has the lock for it.
    Running {
        /// The holder.
        host: HostId,
        /// Whether the holder said that it was started.
        started: bool,
    },
    /// It ended with exit code 0, or an operator said so.
    Succeeded,
    /// It ended otherwise.
    Failed {
        /// How.
        reason: String,
        /// The end of its output.
        tail: Arc<str>,
    },
    /// It was started, and nobody saw its end. Held for an operator.
    Unknown {
        /// The host it was started on.
        host: HostId,
        /// How that came.
        reason: String,
        /// The end of its output, as far as it is known.
        tail: Arc<str>,
    },
}

impl MigrationState {
    /// P3: whether a host may start the release.
    #[must_use]
    pub fn lets_start(&self) -> bool {
        matches!(self, Self::NotNeeded | Self::Succeeded)
    }

    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::NotNeeded => "not needed",
            Self::Running { .. } => "running",
            Self::Succeeded => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Unknown { .. } => "unknown",
        }
    }
}

impl fmt::Display for MigrationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The right to run `bin/migrate` of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationLock {
    /// The holder.
    pub host: HostId,
    /// Number of the grant.
    pub fence: Fence,
    /// The release whose migration is run.
    pub release: Release,
}

/// An operator's word on a migration whose end nobody saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It did all it should.
    Succeeded,
    /// It did not; the release is quarantined.
    Failed,
    /// It may be started again.
    Retry,
}
