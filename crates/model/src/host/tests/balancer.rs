//! The host's place behind the world's balancer.

use super::world::World;
use crate::{
    Timestamp,
    host::{FaultSeen, FaultWord, ProcessSeen, StandingSeen},
};

/// The balancer's record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Place {
    Absent,
    Joined(Timestamp),
    Left(Timestamp),
}

impl World {
    pub(super) fn standing(&self) -> StandingSeen {
        let patience = match &self.process {
            ProcessSeen::Running { release, .. } => self.behaviour(release).in_service,
            _ => None,
        };
        match self.place {
            Place::Absent => StandingSeen::Absent,
            Place::Left(at) if at + self.drain <= self.now => StandingSeen::Absent,
            Place::Left(_) => StandingSeen::Draining,
            Place::Joined(_) if !self.is_healthy() || self.now < self.unhealthy_until => {
                StandingSeen::Unhealthy { reason: "timeout".into() }
            }
            Place::Joined(at) => match patience {
                Some(patience) if at + patience <= self.now => StandingSeen::InService,
                Some(_) => StandingSeen::Initial,
                None => StandingSeen::Unhealthy { reason: "status 500".into() },
            },
        }
    }

    pub(super) fn balancer_says(&self) -> Result<(), FaultSeen> {
        if self.now < self.api_down_until {
            return Err(FaultSeen { kind: FaultWord::Throttled, text: "ask the balancer: slow down".into() });
        }
        Ok(())
    }
}
