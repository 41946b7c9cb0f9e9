//! A host as the fleet machine knows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
};

use serde::{Deserialize, Serialize};

use super::command::{Evidence, Failure, Operator};
use crate::{Fence, Release, ReleaseId, Revision, RolloutId, ServiceName};

/// What a host's configuration says of a service, so that differences between hosts can be named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    /// Port of the service.
    pub port: u16,
    /// The probe, in words; none when a process that is up is enough.
    pub probe: Option<String>,
    /// The balancer, in words; none for a headless service.
    pub balancer: Option<String>,
    /// The address of the channel that it follows; none when it is pushed to only. Hosts may differ in it for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
}

/// A host of the fleet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Identity of its state directory.
    pub state: String,
    /// Where its agent listens.
    pub address: SocketAddr,
    /// Its failure domain.
    pub zone: Option<String>,
    /// When it enrolled first; lower is older.
    pub enrolled: Revision,
    /// The run of its agent that said last who it is and what it declares.
    #[serde(default)]
    pub introduced_by: String,
    /// The `fleet_level` that its agent supports.
    pub level: u32,
    /// Why it is no more; kept, so that it stays a fact.
    pub departed: Option<Evidence>,
    /// The services it declares.
    pub services: BTreeMap<ServiceName, HostService>,
}

/// One service on one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostService {
    /// What the host's configuration says of it.
    pub declaration: Declaration,
    /// The release in soaked service; none before the first.
    pub current: Option<Release>,
    /// The change under way. Its presence is the slot.
    pub change: Option<Change>,
    /// Whether it is in service, as last reported.
    pub availability: Availability,
    /// Whether it has ever been in service: only then it is part of P1's sum.
    pub counted: bool,
    /// Taken out of P1's sum by an operator.
    pub excluded: Option<Operator>,
    /// Asked out of service for maintenance by an operator.
    pub parked: Option<Operator>,
    /// Releases that are staged here.
    pub staged: BTreeSet<ReleaseId>,
    /// Why the last attempt to stage a release failed.
    pub stage_trouble: BTreeMap<ReleaseId, String>,
    /// The last release that failed here; it is not tried again by itself.
    pub failed: Option<(ReleaseId, Failure)>,
    /// How often a change was given up in a row for reasons outside the release.
    pub abandoned: u32,
    /// Why it was given up last.
    pub abandoned_reason: Option<String>,
    /// Why it is not in service.
    pub out_reason: Option<String>,
    /// How often in a row it went back for reasons outside the release, its service stopped and started each time.
    #[serde(default)]
    pub setbacks: u32,
}

impl HostService {
    /// A service that was just declared.
    #[must_use]
    pub fn new(declaration: Declaration) -> Self {
        Self {
            declaration,
            current: None,
            change: None,
            availability: Availability::Out,
            counted: false,
            excluded: None,
            parked: None,
            staged: BTreeSet::new(),
            stage_trouble: BTreeMap::new(),
            failed: None,
            abandoned: 0,
            abandoned_reason: None,
            out_reason: None,
            setbacks: 0,
        }
    }

    /// The id of the release in soaked service.
    #[must_use]
    pub fn current_id(&self) -> Option<&ReleaseId> {
        self.current.as_ref().map(|release| &release.id)
    }

    /// Whether the host is part of P1's sum.
    #[must_use]
    pub fn sums(&self) -> bool {
        self.counted && self.excluded.is_none()
    }

    /// Whether P1 takes it as out: anything but in service, or granted leave to go.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.availability != Availability::In || self.change.is_some()
    }
}

/// Whether a host is in service. Silent and unknown count as out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// In service.
    In,
    /// Not in service.
    Out,
    /// Nobody knows: the host is silent.
    Unknown,
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Unknown => "unknown",
        })
    }
}

/// A change of one host under a grant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Number of the grant.
    pub fence: Fence,
    /// Why it is made.
    pub purpose: Purpose,
    /// The release wanted; none takes the service away.
    pub to: Option<Release>,
    /// What the host had, and goes back to when it may.
    pub from: Option<Release>,
    /// How far it is.
    pub phase: PhaseKind,
    /// The rollout failed or was given up: go back, if there is something to go back from.
    pub revert: bool,
}

/// Why a host is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Its part of a rollout.
    Rollout(RolloutId),
    /// To reach the last completed release, outside a rollout.
    Converge,
    /// Maintenance, asked for by an operator.
    Park,
}

impl Purpose {
    /// The rollout, if it is for one.
    #[must_use]
    pub fn rollout(self) -> Option<RolloutId> {
        match self {
            Self::Rollout(rollout) => Some(rollout),
            Self::Converge | Self::Park => None,
        }
    }
}

/// How far a change is, without the data of the host's own phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseKind {
    /// No change is under way.
    Steady,
    /// Granted; the host has not begun.
    Granted,
    /// Deregistered; in-flight work ends.
    Draining,
    /// The old process is being stopped.
    Stopping,
    /// The new process is being started.
    Starting,
    /// Probed until healthy.
    Probing,
    /// Registered; waits until the balancer says in service.
    Joining,
    /// In service; must stay so for a while.
    Soaking,
    /// On the way back to what it had.
    Reverting,
    /// It could not go back.
    Stuck,
    /// Gave up before anything was stopped; joins again.
    Aborting,
    /// Out of service for maintenance.
    Parked,
}

impl PhaseKind {
    /// Every kind, in the order of a change.
    pub const ALL: [Self; 12] = [
        Self::Steady,
        Self::Granted,
        Self::Draining,
        Self::Stopping,
        Self::Starting,
        Self::Probing,
        Self::Joining,
        Self::Soaking,
        Self::Reverting,
        Self::Stuck,
        Self::Aborting,
        Self::Parked,
    ];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Granted => "granted",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Starting => "starting",
            Self::Probing => "probing",
            Self::Joining => "joining",
            Self::Soaking => "soaking",
            Self::Reverting => "reverting",
            Self::Stuck => "stuck",
            Self::Aborting => "aborting",
            Self::Parked => "parked",
        }
    }
}

impl fmt::Display for PhaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
