//! Waves and turns.

use super::{Desk, Why, room::Full};
use crate::{
    HostId,
    fleet::{Availability, HostService, PartState, PhaseKind, Rollout, RolloutKind, Step, Timer},
};

/// Whether every host of the present wave is through, one way or the other.
pub(super) fn wave_is_done(rollout: &Rollout) -> bool {
    let wave = rollout.waves.checked_sub(1);
    let mut parts = rollout.parts.values().filter(|part| part.wave == wave);
    wave.is_some() && !parts.any(|part| matches!(part.state, PartState::Pending | PartState::Changing))
}

impl Desk<'_> {
    pub(super) fn roll(&mut self, rollout: &Rollout) {
        self.changing(Some(rollout));
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
            let turn = self.in_order(rollout, pending(true).collect());
            let blocked = self.grant_each(rollout, &turn);
            self.give_up_if_spent(rollout, blocked);
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

    /// Sick hosts first: they have nothing to lose, and a release that heals them shows it before the others are touched. In a roll
    /// back those on the failed release go before them. Who is still busy with an older change waits anyway.
    fn in_order<'h>(&self, rollout: &Rollout, mut hosts: Vec<&'h HostId>) -> Vec<&'h HostId> {
        let failed = match rollout.kind {
            RolloutKind::RollbackOf { rollout, .. } => self.service.rollouts.get(&rollout),
            _ => None,
        };
        let failed = failed.and_then(|failed| failed.target.as_ref());
        hosts.sort_by_cached_key(|host| {
            let here = self.here(host);
            let serves = here.is_some_and(|here| here.availability == Availability::In);
            let good = failed.is_some() && here.is_none_or(|here| here.current.as_ref() != failed);
            let busy = here.is_some_and(|here| here.change.is_some());
            (self.is_silent(host), busy, good, serves, *host)
        });
        hosts
    }

    fn next_wave(&mut self, rollout: &Rollout, later: Vec<&HostId>) {
        if later.is_empty() {
            self.finish(rollout);
            return;
        }
        let responsive: Vec<&HostId> =
            self.in_order(rollout, later.clone()).into_iter().filter(|host| !self.is_silent(host)).collect();
        if responsive.is_empty() {
            for host in later {
                self.hold(Some(rollout), Why::HostSilent { host: host.clone(), holds_slot: false });
            }
            return;
        }
        let size = match rollout.waves {
            // A canary wave that no host came through has shown nothing: the next one is a canary again.
            waves if rollout.has_canary() && (waves == 0 || !rollout.is_proven()) => {
                Some(self.service.policy.canary)
            }
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

    /// Grants as many slots as there is room for. Returns whether room is all that the others wait for.
    fn grant_each(&mut self, rollout: &Rollout, hosts: &[&HostId]) -> bool {
        let slots = rollout.slots(&self.service.policy);
        let mut blocked = true;
        for host in hosts {
            if !self.is_ready(rollout, host) {
                blocked = false;
            } else if self.take_room(Some(rollout), host, slots) {
                self.steps.push(Step::Grant { rollout: rollout.id, host: (*host).clone() });
                blocked = false;
            }
        }
        blocked
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
        let Err(full) = self.room.take(host, here, slots) else { return true };
        if !self.room.is_news(rollout.map(|rollout| rollout.id), full) {
            return false;
        }
        let why = match full {
            Full::Slots => {
                let holders = self.room.holders.clone();
                let rest = holders.iter().filter(|(_, phase)| *phase == PhaseKind::Parked);
                let drained = rest.map(|(host, _)| host.clone()).collect();
                Why::NoFreeSlot { limit: slots, holders, drained }
            }
            Full::Budget => {
                let limit = self.service.policy.max_unavailable.get();
                Why::BudgetSpent { out: self.room.out.clone(), limit }
            }
        };
        self.hold(rollout, why);
        false
    }

    fn finish(&mut self, rollout: &Rollout) {
        let any = |state| rollout.parts.values().any(|part| part.state == state);
        if any(PartState::Changing) {
            return;
        }
        let step = match (rollout.is_rollback(), any(PartState::Failed)) {
            (true, true) => Step::GiveUp { rollout: rollout.id },
            (true, false) => Step::Complete { rollout: rollout.id },
            (false, _) if rollout.is_proven() => Step::Complete { rollout: rollout.id },
            (false, true) => Step::GiveUp { rollout: rollout.id },
            (false, false) => return self.hold(Some(rollout), Why::NoHosts),
        };
        self.steps.push(step);
    }

    /// A roll back whose stuck hosts hold all that it may take ends with the truth instead of waiting for ever.
    fn give_up_if_spent(&mut self, rollout: &Rollout, blocked: bool) {
        let any = |state| rollout.parts.values().any(|part| part.state == state);
        let stuck = any(PartState::Failed) && !any(PartState::Changing);
        let is_stuck =
            |here: &HostService| here.change.as_ref().is_some_and(|change| change.phase == PhaseKind::Stuck);
        let waits = |host: &HostId, here: &HostService| {
            let part = rollout.parts.get(host).map(|part| part.state);
            here.change.is_none() && part == Some(PartState::Pending)
        };
        let out = self.fleet.declaring(self.name).filter(|(_, here)| here.sums() && here.is_out());
        let mut in_the_way = out.filter(|(host, here)| !waits(host, here));
        if rollout.is_rollback() && stuck && blocked && in_the_way.all(|(_, here)| is_stuck(here)) {
            self.steps.push(Step::GiveUp { rollout: rollout.id });
        }
    }
}
