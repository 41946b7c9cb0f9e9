//! Hosts outside of rollouts: joiners (P7), hosts that come back, and maintenance.

use super::{Desk, Why};
use crate::fleet::{PartState, Step};

impl Desk<'_> {
    /// Takes hosts out of service that an operator asked to drain.
    pub(super) fn maintain(&mut self) {
        let asked = self
            .fleet
            .declaring(self.name)
            .filter(|(_, here)| here.parked.is_some() && here.change.is_none());
        let slots = self.service.policy.max_unavailable.get();
        for (host, here) in asked {
            if self.is_silent(host) {
                self.hold(None, Why::HostSilent { host: host.clone(), holds_slot: false });
            } else if let Some(left) = self.sightings.retry_in(self.name, host, self.now) {
                let reason = here.abandoned_reason.clone().unwrap_or_default();
                self.hold_until(None, Why::RetryLater { host: host.clone(), reason }, Some(left));
            } else if self.take_room(None, host, slots) {
                self.steps.push(Step::Park { host: host.clone() });
            }
        }
    }

    /// Moves hosts that no rollout cares for to the last completed release, or lets them take part in the new one once its canary wave
    /// has soaked.
    pub(super) fn join(&mut self) {
        for (host, here) in self.fleet.declaring(self.name) {
            let free = here.change.is_none() && here.excluded.is_none() && here.parked.is_none();
            if !free || self.is_silent(host) || self.takes_part(host) {
                continue;
            }
            let adopts =
                self.service.active().filter(|active| active.paused.is_none() && active.takes_joiners());
            if let Some(active) = adopts {
                self.steps.push(Step::Adopt { rollout: active.id, host: host.clone() });
                continue;
            }
            let left_alone = self.service.mixed && here.counted;
            let Some(wanted) = self.service.last_completed().filter(|_| !left_alone) else {
                if let Some(behind) = self.service.active.filter(|_| here.current.is_none()) {
                    self.hold(None, Why::Queued { behind });
                }
                continue;
            };
            if here.current_id() == Some(&wanted.id) {
                continue;
            }
            if let Some((_, failure)) = here.failed.as_ref().filter(|(failed, _)| *failed == wanted.id) {
                self.hold(None, Why::HostFailed { host: host.clone(), reason: failure.reason.clone() });
                continue;
            }
            if let Some(left) = self.sightings.retry_in(self.name, host, self.now) {
                let reason = here.abandoned_reason.clone().unwrap_or_default();
                self.hold_until(None, Why::RetryLater { host: host.clone(), reason }, Some(left));
            } else if !self.is_staged(host, wanted) {
                let trouble = self.stage_trouble(host, wanted);
                self.hold(None, Why::Staging { host: host.clone(), trouble });
            } else if self.migrate_on(None, host, wanted)
                && self.take_room(None, host, self.service.policy.max_unavailable.get())
            {
                self.steps.push(Step::Converge { host: host.clone() });
            }
        }
    }

    fn takes_part(&self, host: &crate::HostId) -> bool {
        let part = self.service.active().and_then(|active| active.parts.get(host));
        part.is_some_and(|part| part.state != PartState::Dropped)
    }
}
