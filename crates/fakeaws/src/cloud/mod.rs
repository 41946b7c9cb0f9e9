//! What there is in the account: the one state behind all doors.
//!
//! Promise: pure. Time comes in as the time since the server was started, and whatever only time changes (an instance
//! that is pending, a target that drains) is worked out when somebody asks, so that a copy of the state can be asked
//! about its own time.

mod balancers;
mod groups;
mod instances;
mod objects;
mod targets;
#[cfg(test)]
mod tests;

use std::{
    fmt::Write,
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};

pub(crate) use self::{
    balancers::{Balancer, Listener, no_balancer},
    groups::{Check, Group, Plan, no_group},
    instances::{Instance, is_instance_id, malformed, unknown_instances},
    objects::Objects,
    targets::{Failure, Health, Member, Stay, Target, TargetState},
};
use crate::wire::Settings;

/// Time since the server was started.
pub(crate) type Now = Duration;

#[derive(Debug, Clone)]
pub(crate) struct Cloud {
    pub(crate) settings: Settings,
    /// When the server was started.
    pub(crate) began: SystemTime,
    /// In the order in which they were launched.
    pub(crate) instances: Vec<Instance>,
    pub(crate) groups: Vec<Group>,
    pub(crate) balancers: Vec<Balancer>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) objects: Objects,
    numbers: u64,
}

impl Cloud {
    pub(crate) fn new(settings: Settings, began: SystemTime) -> Self {
        Self {
            settings,
            began,
            instances: Vec::new(),
            groups: Vec::new(),
            balancers: Vec::new(),
            listeners: Vec::new(),
            objects: Objects::default(),
            numbers: 0,
        }
    }

    /// Whether [`Cloud::advance`] has something to do.
    pub(crate) fn is_due(&self, now: Now) -> bool {
        let mut targets = self.groups.iter().flat_map(|group| &group.targets);
        targets.any(|target| {
            target.is_gone(now) || target.leaving.is_none() && has_ended(&self.instances, target, now)
        })
    }

    /// Removes what has drained to its end, and lets the targets of terminated instances drain. Returns those that are
    /// gone.
    pub(crate) fn advance(&mut self, now: Now) -> Vec<Member> {
        let instances = &self.instances;
        let mut gone = Vec::new();
        for group in &mut self.groups {
            group.leave_where(now, |target| has_ended(instances, target, now));
            gone.extend(group.expire(now));
        }
        gone
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Sixteen hex digits that nobody else has: the last part of an ARN.
    fn digits(&mut self) -> String {
        let number = self.number();
        hex(format!("{}/{number}", self.settings.account).as_bytes(), 8)
    }
}

/// Whether a target is an instance whose life is over.
fn has_ended(instances: &[Instance], target: &Target, now: Now) -> bool {
    instances.iter().any(|instance| instance.id == target.id && instance.is_ending(now))
}

/// So many bytes of a hash, as hex digits.
pub(crate) fn hex(of: &[u8], bytes: usize) -> String {
    Sha256::digest(of).iter().take(bytes).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
