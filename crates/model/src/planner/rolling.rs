//! Waves and turns.

use super::{Desk, Why, room::Full};
use crate::{
    HostId,
    fleet::{Availability, PartState, Rollout, RolloutKind, Step, Timer},
};

/// Whether every host of the present wave is through, one way or the other.
pub(super) fn wave_is_done(rollout: &Rollout) -> bool {
    let wave = rollout.waves.checked_sub(1);
    let mut parts = rollout.parts.values().filter(|part| part.wave == wave);
    wave.is_some() && !parts.any(|part| matches!(part.state, PartState::Pending | PartState::Changing))
}

impl Desk<'_> {
    pub(super) fn roll(&mut self, rollout: &Rollout) {
        self.changing(rollout);
        let wave = rollout.waves.checked_sub(1);
        let pending = |in_wave: bool| {
            let open = rollout.parts.iter().filter(|(_, part)| part.state == PartState::Pending);
            open.filter(move |(_, part)| (part.wave == wave && wave.is_some()) == in_wave)
                .map(|(host, _)| host)
        };
        let later: Vec<&HostId> = pending(false).collect();
        if rollout.wave_soaked {
            self.next_wave(rollout, later);
        } else if !wave_is_done(rollout) {
            let turn = self.in_order(pending(true).collect());
            self.grant_each(rollout, &turn);
            self.give_up_if_spent(rollout);
        } else if later.is_empty() {
            // Nothing comes after the last wave, so it need not soak as a wave: each of its hosts has.
            self.finish(rollout);
        } else {
            let elapsed =
                self.sightings.elapsed(rollout.id, Timer::WaveSoak(wave.unwrap_or_default()), self.now);
            let soak =
                if rollout.has_canary() { self.service.policy.wave_soak } else { std::time::Duration::ZERO };
            let left = soak.saturating_sub(elapsed);
            if left.is_zero() {
                self.steps.push(Step::EndWave { rollout: rollout.id });
                self.next_wave(rollout, later);
            } else {
                self.hold_until(Some(rollout), Why::WaveSoak { wave: wave.unwrap_or_default() }, Some(left));
            }
        }
    }

    /// Sick hosts first: they have nothing to lose, and a release that heals them shows it before the others are touched.
    fn in_order<'h>(&self, mut hosts: Vec<&'h HostId>) -> Vec<&'h HostId> {
        hosts.sort_by_key(|host| {
            let here = self.here(host);
            let serves = here.is_some_and(|here| here.availability == Availability::In);
            (self.is_silent(host), serves, *host)
        });
        hosts
    }

    fn next_wave(&mut self, rollout: &Rollout, later: Vec<&HostId>) {
        if later.is_empty() {
            self.finish(rollout);
            return;
        }
        let responsive: Vec<&HostId> =
            self.in_order(later.clone()).into_iter().filter(|host| !self.is_silent(host)).collect();
        if responsive.is_empty() {
            for host in later {
                self.hold(Some(rollout), Why::HostSilent { host: host.clone(), holds_slot: false });
            }
            return;
        }
        let size = match rollout.waves {
            0 if rollout.has_canary() => Some(self.service.policy.canary),
            _ if rollout.has_canary() => self.service.policy.wave,
            _ => None,
        };
        let size = size.map_or(usize::MAX, |size| size.get() as usize);
        let hosts: Vec<&HostId> = responsive.into_iter().take(size).collect();
        self.steps.push(Step::StartWave {
            rollout: rollout.id,
            hosts: hosts.iter().map(|host| (*host).clone()).collect(),
        });
        self.grant_each(rollout, &hosts);
    }

    fn grant_each(&mut self, rollout: &Rollout, hosts: &[&HostId]) {
        let policy = &self.service.policy;
        let slots = match rollout.kind {
            RolloutKind::RollbackOf { .. } => policy.rollback_parallel.max(policy.max_unavailable).get(),
            _ => policy.max_unavailable.get(),
        };
        for host in hosts {
            if self.is_ready(rollout, host) && self.take_room(Some(rollout), host, slots) {
                self.steps.push(Step::Grant { rollout: rollout.id, host: (*host).clone() });
            }
        }
    }

    /// Whether a host could be changed now; otherwise says what it waits for.
    fn is_ready(&mut self, rollout: &Rollout, host: &HostId) -> bool {
        let Some(here) = self.here(host) else { return false };
        if here.change.is_some() {
            return false; // named already
        }
        if self.is_silent(host) {
            self.hold(Some(rollout), Why::HostSilent { host: host.clone(), holds_slot: false });
            return false;
        }
        if let Some(left) = self.sightings.retry_in(self.name, host, self.now) {
            let reason = here.abandoned_reason.clone().unwrap_or_default();
            self.hold_until(Some(rollout), Why::RetryLater { host: host.clone(), reason }, Some(left));
            return false;
        }
        let Some(target) = &rollout.target else { return true };
        if !self.is_staged(host, target) {
            let trouble = self.stage_trouble(host, target);
            self.hold(Some(rollout), Why::Staging { host: host.clone(), trouble });
            return false;
        }
        self.migrate_on(Some(rollout), host, target)
    }

    /// Takes room for the host, or says why there is none.
    pub(super) fn take_room(&mut self, rollout: Option<&Rollout>, host: &HostId, slots: u32) -> bool {
        let Some(here) = self.here(host) else { return false };
        let why = match self.room.take(host, here, slots) {
            Ok(()) => return true,
            Err(Full::Slots) => Why::NoFreeSlot { limit: slots, holders: self.room.holders.clone() },
            Err(Full::Budget) => {
                let limit = self.service.policy.max_unavailable.get();
                Why::BudgetSpent { out: self.room.out.clone(), limit }
            }
        };
        self.hold(rollout, why);
        false
    }

    fn finish(&mut self, rollout: &Rollout) {
        if rollout.parts.values().any(|part| part.state == PartState::Changing) {
            return;
        }
        let failed = rollout.parts.values().any(|part| part.state == PartState::Failed);
        if failed && rollout.is_rollback() {
            self.steps.push(Step::GiveUp { rollout: rollout.id });
        } else {
            self.steps.push(Step::Complete { rollout: rollout.id });
        }
    }

    /// A roll back whose stuck hosts hold all that it may take ends with the truth instead of waiting for ever.
    fn give_up_if_spent(&mut self, rollout: &Rollout) {
        let parts = || rollout.parts.values().map(|part| part.state);
        let grants = self.steps.iter().any(|step| matches!(step, Step::Grant { .. }));
        let stuck = parts().any(|state| state == PartState::Failed)
            && !parts().any(|state| state == PartState::Changing);
        let others_move = self.fleet.declaring(self.name).any(|(_, here)| {
            here.change.as_ref().is_some_and(|change| change.phase != crate::fleet::PhaseKind::Stuck)
        });
        if rollout.is_rollback() && stuck && !grants && !others_move {
            self.steps.push(Step::GiveUp { rollout: rollout.id });
        }
    }
}
