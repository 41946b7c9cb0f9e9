//! Stands in for the next behaviour of `apply`, so that the way in which one is switched on can be proven on real agents of two builds.
//! Only in builds with the feature `next-level`, which are for tests and are never shipped.
//!
//! What it does at its level: an enrolment is told once more for each service that the host declares.

use super::{Fleet, event::EventKind, scene::Scribe};
use crate::HostId;

/// One more than the build without the feature.
pub const SUPPORTED_LEVEL: u32 = 2;

impl Fleet {
    /// Tells of an enrolment in each service of the host, where that is switched on.
    pub(super) fn tell_services_of(&self, host: &HostId, scribe: &mut Scribe) {
        if self.level < SUPPORTED_LEVEL {
            return;
        }
        for service in self.hosts.get(host).into_iter().flat_map(|record| record.services.keys()) {
            scribe.note(Some(service), None, Some(host), EventKind::Enrolled);
        }
    }
}
