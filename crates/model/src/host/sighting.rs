//! What a host looks like from outside: sent to the leader every so often, never replicated.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    Fence, ReleaseId, Revision,
    fleet::host::{Availability, PhaseKind},
};

/// One service on one host as its host machine sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    /// The newest assignment that it has seen.
    pub revision: Option<Revision>,
    /// How far its change is.
    pub phase: PhaseKind,
    /// The change's grant.
    pub fence: Option<Fence>,
    /// The release it runs or is about to run.
    pub release: Option<ReleaseId>,
    /// How long it has been in this phase.
    pub since: Duration,
    /// Whether it is in service, as far as it can tell; unknown until it has looked.
    pub availability: Availability,
    /// What went wrong last and when it is tried again. Nothing, while all goes well.
    pub trouble: Option<String>,
    /// What it waits for, and what would end that.
    pub waits_for: Option<String>,
    /// What the balancer said last, in its words; none for a headless service or before the first answer.
    pub standing: Option<String>,
    /// The process.
    pub pid: Option<u32>,
    /// How often the keeper restarted it.
    pub restarts: u32,
    /// Releases that are staged here.
    pub staged: BTreeSet<ReleaseId>,
    /// The release that is being staged now.
    pub staging: Option<ReleaseId>,
    /// Reports that the fleet has not answered yet.
    pub unanswered: usize,
}
