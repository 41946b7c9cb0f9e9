//! Who may be out of service: every grant is checked against P1, P3, P6 and P9 here, whoever proposes it.

use super::{
    command::Refusal,
    event::EventKind,
    host::{Availability, Change, PhaseKind, Purpose},
    migration::MigrationState,
    rollout::{PartState, RolloutPhase},
    scene::{Scene, count},
};
use crate::{HostId, Release, RolloutId};

impl Scene<'_> {
    /// A slot for the host's part of a rollout.
    pub(super) fn grant(&mut self, id: RolloutId, host: &HostId) -> Result<(), Refusal> {
        let rollout = self.rollout(id)?;
        let wave = rollout.waves.checked_sub(1);
        let part = rollout.parts.get(host).map(|part| (part.wave, part.state));
        let in_turn = part == Some((wave, PartState::Pending)) && wave.is_some();
        if rollout.phase != RolloutPhase::Rolling
            || self.service.active != Some(id)
            || rollout.paused.is_some()
            || !in_turn
        {
            return Err(Refusal::Outdated {
                assumed: format!("{id} rolls and it is the turn of {host}"),
                actual: format!("{}, wave {wave:?}, part {part:?}", rollout.phase),
            });
        }
        let to = rollout.target.clone();
        let slots = rollout.slots(&self.service.policy);
        self.give_slot(host, Purpose::Rollout(id), to, slots)?;
        self.set_part(id, host, PartState::Changing);
        Ok(())
    }

    /// A slot for a host outside any rollout to reach the last completed release (P7).
    pub(super) fn converge(&mut self, host: &HostId) -> Result<(), Refusal> {
        let to = self.service.last_completed().cloned().ok_or(Refusal::NothingBefore)?;
        let part = self.service.active.and_then(|active| self.part(active, host));
        if matches!(part, Some(PartState::Pending | PartState::Changing | PartState::Changed)) {
            return Err(Refusal::HostNotFree {
                host: host.clone(),
                state: "part of the rollout under way".into(),
            });
        }
        self.give_slot(host, Purpose::Converge, Some(to), self.service.policy.max_unavailable.get())
    }

    /// A slot to leave service for maintenance.
    pub(super) fn park(&mut self, host: &HostId) -> Result<(), Refusal> {
        let here = self.host(host)?;
        if here.parked.is_none() {
            return Err(Refusal::NotNow(format!("nobody asked to drain {host}")));
        }
        let to = here.current.clone();
        self.give_slot(host, Purpose::Park, to, self.service.policy.max_unavailable.get())
    }

    fn give_slot(
        &mut self,
        host: &HostId,
        purpose: Purpose,
        to: Option<Release>,
        limit: u32,
    ) -> Result<(), Refusal> {
        self.check_free(host, purpose)?;
        self.check_budget(host, limit)?;
        if let Some(to) = to.as_ref().filter(|_| purpose != Purpose::Park) {
            self.check_release(host, to)?;
        }
        let fence = self.scribe.fence();
        let here = self.host_mut(host)?;
        let from = here.current.clone();
        let release = to.as_ref().map(|release| release.id.clone());
        here.change = Some(Change { fence, purpose, to, from, phase: PhaseKind::Granted, revert: false });
        self.note(purpose.rollout(), Some(host), EventKind::Granted { fence, to: release });
        Ok(())
    }

    fn check_free(&self, host: &HostId, purpose: Purpose) -> Result<(), Refusal> {
        let here = self.host(host)?;
        let state = match (&here.change, &here.excluded, &here.parked) {
            (Some(change), _, _) => format!("{} already", change.phase),
            (None, Some(_), _) if purpose != Purpose::Park => "excluded".into(),
            (None, _, Some(_)) if purpose != Purpose::Park => "drained for maintenance".into(),
            _ => return Ok(()),
        };
        Err(Refusal::HostNotFree { host: host.clone(), state })
    }

    /// P1. A host that is out already takes a slot, but none of the budget, so that a sick fleet can be repaired. One that nobody has
    /// heard from counts as out, but may well be in service: it is changed only if the others leave room for it.
    fn check_budget(&self, host: &HostId, slots: u32) -> Result<(), Refusal> {
        let here = self.host(host)?;
        if !here.sums() {
            return Ok(());
        }
        if slots <= self.slots_taken() {
            return Err(Refusal::NoFreeSlot { limit: slots });
        }
        let limit = self.service.policy.max_unavailable.get();
        let others = self.members().filter(|(other, here)| *other != host && here.sums() && here.is_out());
        let out = count(others);
        if here.availability != Availability::Out && limit <= out {
            return Err(Refusal::Budget { out, limit });
        }
        Ok(())
    }

    /// P3, P6 and P9: migrated, not condemned, and here.
    fn check_release(&self, host: &HostId, release: &Release) -> Result<(), Refusal> {
        if let Some(quarantine) = self.service.quarantine.get(&release.id) {
            return Err(Refusal::Quarantined {
                release: release.id.clone(),
                reason: quarantine.reason.clone(),
            });
        }
        match self.service.migration(release, host) {
            MigrationState::NotNeeded | MigrationState::Succeeded => (),
            state => {
                return Err(Refusal::NotMigrated { release: release.id.clone(), state: state.word().into() });
            }
        }
        if !self.host(host)?.staged.contains(&release.id) {
            return Err(Refusal::NotStaged { host: host.clone(), release: release.id.clone() });
        }
        Ok(())
    }
}
