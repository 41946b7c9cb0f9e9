//! Which behaviour of `apply` is switched on, and who may take part in it.
//!
//! Promise: no two replicas apply the same entry under different rules. A new rule applies from the entry on that raised the level, which
//! is refused while any host present runs an agent that does not know it; whoever comes later without knowing it is refused too, and a
//! replica that finds itself past what it knows stops.

use super::{
    Fleet,
    command::{Refusal, Reply},
    event::EventKind,
    scene::Scribe,
};
use crate::HostId;

/// The `fleet_level` that this build supports. Raised by one with every release that brings new behaviour of `apply`.
#[cfg(not(feature = "next-level"))]
pub const SUPPORTED_LEVEL: u32 = 1;
#[cfg(feature = "next-level")]
pub use super::next::SUPPORTED_LEVEL;

/// The fleet has moved on to rules that this build does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this agent knows fleet level {knows}, the cluster is at {at}: install the release of deployinatord that the other hosts run, or a newer one"
)]
pub struct Outgrown {
    /// What this build knows.
    pub knows: u32,
    /// What is switched on.
    pub at: u32,
}

impl Fleet {
    /// Whether this build knows the rules under which this fleet goes on.
    ///
    /// # Errors
    /// It does not, and must apply nothing more.
    pub fn is_known(&self) -> Result<(), Outgrown> {
        if SUPPORTED_LEVEL < self.level {
            return Err(Outgrown { knows: SUPPORTED_LEVEL, at: self.level });
        }
        Ok(())
    }

    /// A host whose agent does not know what is switched on would be the next leader's replica, or hold the next level off for ever.
    pub(super) fn check_level(&self, host: &HostId, knows: u32) -> Result<(), Refusal> {
        if knows < self.level {
            return Err(Refusal::AgentTooOld { host: host.clone(), knows, at: self.level });
        }
        Ok(())
    }

    pub(super) fn raise_level(&mut self, level: u32, scribe: &mut Scribe) -> Result<Reply, Refusal> {
        if level <= self.level {
            return Ok(Reply::Done);
        }
        let present = self.hosts.iter().filter(|(_, host)| host.departed.is_none());
        if let Some((host, behind)) = present.clone().find(|(_, host)| host.level < level) {
            return Err(Refusal::NotNow(format!("host {host} supports level {} only", behind.level)));
        }
        self.level = level;
        scribe.note(None, None, None, EventKind::LevelRaised { level });
        Ok(Reply::Done)
    }
}
