//! What hosts report of themselves.

use std::sync::Arc;

use super::{
    command::{Cause, Failure, Refusal, Reply, Report},
    event::{EventKind, Settled},
    host::{Availability, Change, PhaseKind, Purpose},
    rollout::{Halt, Halting, PartState, RolloutKind, RolloutPhase},
    scene::Scene,
};
use crate::{Fence, HostId, Release, ReleaseId, RolloutId};

/// So often in a row a host goes back for reasons outside the release before its rollout halts.
const SETBACKS: u32 = 5;

impl Scene<'_> {
    pub(super) fn report(&mut self, host: &HostId, report: &Report) -> Result<Reply, Refusal> {
        self.host(host)?;
        match report {
            Report::Staged { release } => self.staged(host, release)?,
            Report::NotStaged { release, reason } => self.not_staged(host, release, reason)?,
            Report::Runs { release } => self.runs(host, release.as_ref())?,
            Report::Moved { fence, from, to, reason } => {
                self.moved(host, *fence, *from, *to, reason.as_ref())?;
            }
            Report::Failed { fence, failure } => self.failed(host, *fence, failure)?,
            Report::Changed { fence } => self.changed(host, *fence)?,
            Report::Reverted { fence } => self.reverted(host, *fence)?,
            Report::Stuck { fence, failure } => self.stuck(host, *fence, failure)?,
            Report::Abandoned { fence, reason } => self.abandoned(host, *fence, reason)?,
            Report::Parked { fence } => self.parked(host, *fence)?,
            Report::Availability { availability, cause, reason, tail, of } => {
                self.availability(host, *availability, (*cause, of.as_ref()), reason, tail)?;
            }
            Report::MigrationStarted { fence } => self.migration_started(host, *fence)?,
            Report::MigrationEnded { fence, end, tail } => self.migration_ended(host, *fence, end, tail)?,
        }
        Ok(Reply::Done)
    }

    fn staged(&mut self, host: &HostId, release: &ReleaseId) -> Result<(), Refusal> {
        let here = self.host_mut(host)?;
        here.stage_trouble.remove(release);
        if here.staged.insert(release.clone()) {
            let rollout = self.rollout_with(release);
            self.note(rollout, Some(host), EventKind::Staged { release: release.clone() });
        }
        Ok(())
    }

    fn not_staged(&mut self, host: &HostId, release: &ReleaseId, reason: &str) -> Result<(), Refusal> {
        let here = self.host_mut(host)?;
        let was_staged = here.staged.remove(release);
        let before = here.stage_trouble.insert(release.clone(), reason.to_owned());
        // Troubles of releases that nobody wants any more would pile up.
        while 16 < here.stage_trouble.len() {
            here.stage_trouble.pop_first();
        }
        if was_staged || before.as_deref() != Some(reason) {
            let rollout = self.rollout_with(release);
            let kind = EventKind::NotStaged { release: release.clone(), reason: reason.to_owned() };
            self.note(rollout, Some(host), kind);
        }
        Ok(())
    }

    fn rollout_with(&self, release: &ReleaseId) -> Option<RolloutId> {
        let open = [self.service.next(), self.service.active()].into_iter().flatten();
        open.into_iter()
            .find(|rollout| rollout.target.as_ref().is_some_and(|target| target.id == *release))
            .map(|rollout| rollout.id)
    }

    fn runs(&mut self, host: &HostId, release: Option<&Release>) -> Result<(), Refusal> {
        let has_completed = self.service.last_completed().is_some();
        let here = self.host_mut(host)?;
        if let Some(change) = &here.change {
            let (assumed, actual) = ("no change is under way".into(), change.phase.to_string());
            return Err(Refusal::Outdated { assumed, actual });
        }
        here.current = release.cloned();
        // Before anything has completed, nothing is missed where nothing runs.
        here.counted &= release.is_some() || has_completed;
        self.touch();
        // A host that turns out not to run what it was thought to run has its part still to do.
        if let Some(active) = self.service.active
            && self.part(active, host) == Some(PartState::Changed)
            && self.rollout(active).is_ok_and(|rollout| rollout.target.as_ref() != release)
        {
            self.set_part(active, host, PartState::Changing);
            self.turn_again(active, host);
        }
        self.goes_back_too(host);
        self.already_there(host);
        Ok(())
    }

    fn change_of(&mut self, host: &HostId, fence: Fence) -> Result<&mut Change, Refusal> {
        let change = self.host_mut(host)?.change.as_mut();
        let actual = change
            .as_ref()
            .map_or("no change is under way".into(), |change| format!("fence {}", change.fence));
        change
            .filter(|change| change.fence == fence)
            .ok_or(Refusal::Outdated { assumed: format!("fence {fence}"), actual })
    }

    fn moved(
        &mut self,
        host: &HostId,
        fence: Fence,
        from: PhaseKind,
        to: PhaseKind,
        reason: Option<&String>,
    ) -> Result<(), Refusal> {
        let change = self.change_of(host, fence)?;
        if change.phase != from || !follows(from, to) {
            let (assumed, actual) = (format!("{from}, then {to}"), change.phase.to_string());
            return Err(Refusal::Outdated { assumed, actual });
        }
        change.phase = to;
        let rollout = change.purpose.rollout();
        let here = self.host_mut(host)?;
        here.availability = Availability::Out;
        here.out_reason = Some(format!("{to}"));
        // Asked again after a slow answer: the fleet knows it already.
        if from != to {
            self.note(rollout, Some(host), EventKind::HostMoved { from, to, reason: reason.cloned() });
        }
        Ok(())
    }

    fn failed(&mut self, host: &HostId, fence: Fence, failure: &Failure) -> Result<(), Refusal> {
        let change = self.change_of(host, fence)?;
        // An agent that was restarted may report the same failure again, which must not count twice.
        if matches!(change.phase, PhaseKind::Granted | PhaseKind::Reverting | PhaseKind::Stuck) {
            let (assumed, actual) = ("the change is going on".into(), change.phase.to_string());
            return Err(Refusal::Outdated { assumed, actual });
        }
        change.phase = PhaseKind::Reverting;
        let (to, purpose) = (change.to.clone(), change.purpose);
        let here = self.host_mut(host)?;
        here.availability = Availability::Out;
        here.out_reason = Some(failure.reason.clone());
        match (failure.cause, &to) {
            (Cause::Release, Some(to)) => here.failed = Some((to.id.clone(), failure.clone())),
            (Cause::Release, None) => (),
            (Cause::Surroundings, _) => here.abandoned_reason = Some(failure.reason.clone()),
        }
        let release = to.as_ref().map(|release| release.id.clone());
        self.note(purpose.rollout(), Some(host), EventKind::HostFailed { release, failure: failure.clone() });
        if let Purpose::Rollout(rollout) = purpose
            && failure.cause == Cause::Release
        {
            self.count_failure(rollout, host, failure);
        }
        Ok(())
    }

    /// Ends the change and frees the slot.
    fn settle(&mut self, host: &HostId, fence: Fence) -> Result<Change, Refusal> {
        self.change_of(host, fence)?;
        let here = self.host_mut(host)?;
        here.change.take().ok_or(Refusal::NoRollout)
    }

    fn changed(&mut self, host: &HostId, fence: Fence) -> Result<(), Refusal> {
        let change = self.settle(host, fence)?;
        let has_completed = self.service.last_completed().is_some();
        let here = self.host_mut(host)?;
        here.current.clone_from(&change.to);
        (here.abandoned, here.setbacks) = (0, 0);
        here.failed = None;
        // Where nothing is to run, nothing is out. Otherwise a first rollout that fails could never be taken back everywhere. A host that
        // has nothing to come back to after its maintenance is out all the same, and so is one that ends when another release has
        // completed meanwhile.
        here.counted &= here.current.is_some() || change.purpose.rollout().is_none() || has_completed;
        let release = change.to.map(|release| release.id);
        let availability = if release.is_some() { Availability::In } else { Availability::Out };
        self.set_availability(host, availability);
        if let Purpose::Rollout(rollout) = change.purpose {
            self.set_part(rollout, host, PartState::Changed);
        }
        self.note(
            change.purpose.rollout(),
            Some(host),
            EventKind::HostSettled { release, end: Settled::Changed },
        );
        self.already_there(host);
        Ok(())
    }

    fn reverted(&mut self, host: &HostId, fence: Fence) -> Result<(), Refusal> {
        let change = self.settle(host, fence)?;
        let here = self.host_mut(host)?;
        here.current.clone_from(&change.from);
        let release = change.from.map(|release| release.id);
        let availability = if release.is_some() { Availability::In } else { Availability::Out };
        self.set_availability(host, availability);
        self.note(
            change.purpose.rollout(),
            Some(host),
            EventKind::HostSettled { release, end: Settled::Reverted },
        );
        let again = u32::from(!change.revert);
        match change.purpose {
            // A host that went back for no fault of the release has its turn again; after a while, unless it was asked to go back.
            Purpose::Rollout(rollout) if self.part(rollout, host) == Some(PartState::Changing) => {
                self.turn_again(rollout, host);
                let here = self.host_mut(host)?;
                here.abandoned = here.abandoned.saturating_add(again);
                here.setbacks = here.setbacks.saturating_add(again);
                self.halt_after_setbacks(rollout, host)?;
            }
            Purpose::Converge => {
                let here = self.host_mut(host)?;
                here.abandoned = here.abandoned.saturating_add(again);
            }
            Purpose::Rollout(_) | Purpose::Park => (),
        }
        self.already_there(host);
        Ok(())
    }

    /// Each time costs the host its place in service: a person has to look at it. Not in a roll back, which has nothing better to do.
    fn halt_after_setbacks(&mut self, id: RolloutId, host: &HostId) -> Result<(), Refusal> {
        let rolls = self.service.active == Some(id)
            && self.rollout(id)?.phase == RolloutPhase::Rolling
            && !self.rollout(id)?.is_rollback();
        let here = self.host_mut(host)?;
        if !rolls || here.setbacks < SETBACKS {
            return Ok(());
        }
        let times = std::mem::take(&mut here.setbacks);
        let reason = here.abandoned_reason.clone().unwrap_or_default();
        self.halt(id, Halting::Rolling, Halt::SetBack { host: host.clone(), times, reason });
        Ok(())
    }

    fn stuck(&mut self, host: &HostId, fence: Fence, failure: &Failure) -> Result<(), Refusal> {
        let change = self.change_of(host, fence)?;
        if matches!(change.phase, PhaseKind::Granted | PhaseKind::Stuck) {
            let (assumed, actual) = ("the host goes back".into(), change.phase.to_string());
            return Err(Refusal::Outdated { assumed, actual });
        }
        change.phase = PhaseKind::Stuck;
        let (purpose, from) = (change.purpose, change.from.as_ref().map(|release| release.id.clone()));
        let here = self.host_mut(host)?;
        here.availability = Availability::Out;
        here.out_reason = Some(failure.reason.clone());
        self.note(
            purpose.rollout(),
            Some(host),
            EventKind::HostFailed { release: from, failure: failure.clone() },
        );
        // A roll back, its own or one that began meanwhile, has to do without it. Any other rollout holds: it may have failed on this host
        // before, and what went wrong on the way back is no fault of its release.
        for id in [purpose.rollout(), self.service.active].into_iter().flatten() {
            if self.rollout(id).is_ok_and(|rollout| rollout.is_rollback()) {
                self.set_part(id, host, PartState::Failed);
            }
        }
        Ok(())
    }

    fn abandoned(&mut self, host: &HostId, fence: Fence, reason: &str) -> Result<(), Refusal> {
        let change = self.settle(host, fence)?;
        let here = self.host_mut(host)?;
        here.abandoned = here.abandoned.saturating_add(1);
        here.abandoned_reason = Some(reason.to_owned());
        let release = change.from.map(|release| release.id);
        // A host that declined before it began is as it was; one that began has joined again. One that had not told since it fell silent, or
        // since the cluster was rebuilt, may have given up long ago: it tells by itself how it is now.
        let told = here.availability != Availability::Unknown;
        if release.is_some() && change.phase != PhaseKind::Granted && told {
            self.set_availability(host, Availability::In);
        }
        if let Purpose::Rollout(rollout) = change.purpose {
            self.turn_again(rollout, host);
        }
        let end = Settled::Abandoned { reason: reason.to_owned() };
        self.note(change.purpose.rollout(), Some(host), EventKind::HostSettled { release, end });
        self.already_there(host);
        Ok(())
    }

    fn parked(&mut self, host: &HostId, fence: Fence) -> Result<(), Refusal> {
        let change = self.change_of(host, fence)?;
        if change.purpose.rollout().is_some()
            || matches!(change.phase, PhaseKind::Granted | PhaseKind::Parked)
        {
            let (assumed, actual) = ("the host leaves for maintenance".into(), change.phase.to_string());
            return Err(Refusal::Outdated { assumed, actual });
        }
        change.phase = PhaseKind::Parked;
        let release = change.from.as_ref().map(|release| release.id.clone());
        let here = self.host_mut(host)?;
        here.availability = Availability::Out;
        here.out_reason = Some("out for maintenance".into());
        self.note(None, Some(host), EventKind::HostSettled { release, end: Settled::Parked });
        Ok(())
    }

    /// A rollout that was begun while this host changed may find that nothing is left to do on it.
    fn already_there(&mut self, host: &HostId) {
        let Ok(here) = self.host(host) else { return };
        let (current, serves) = (here.current.clone(), here.availability == Availability::In);
        let changing = here.change.is_some();
        for id in [self.service.active, self.service.next].into_iter().flatten() {
            let Ok(rollout) = self.rollout(id) else { continue };
            let open = match self.part(id, host) {
                Some(PartState::Pending) => true,
                // What a roll back gave up on has come back by itself.
                Some(PartState::Failed) => rollout.is_rollback() && !changing,
                _ => false,
            };
            let there = rollout.target == current && (serves || current.is_none());
            if open && there && rollout.kind != RolloutKind::Restart {
                self.set_part(id, host, PartState::Changed);
            }
        }
    }

    fn availability(
        &mut self,
        host: &HostId,
        availability: Availability,
        (cause, of): (Cause, Option<&ReleaseId>),
        reason: &str,
        tail: &Arc<str>,
    ) -> Result<(), Refusal> {
        let here = self.host(host)?;
        // In the middle of a change the phases speak; before it has begun the host may still fall out.
        if let Some(change) = here.change.as_ref().filter(|change| change.phase != PhaseKind::Granted) {
            let (assumed, actual) = ("no change is under way".into(), change.phase.to_string());
            return Err(Refusal::Outdated { assumed, actual });
        }
        let (current, known) = (here.current.clone(), here.availability == availability);
        let changed_by = self.service.active().filter(|active| {
            let part = active.parts.get(host).map(|part| part.state);
            part == Some(PartState::Changed)
                && active.target == current
                && active.phase == RolloutPhase::Rolling
        });
        let changed_by = changed_by.map(|active| active.id);
        // A host that is out already may find out later that its release is to blame. That counts once.
        let of_this = of.is_none() || of == current.as_ref().map(|current| &current.id);
        let condemns = availability == Availability::Out && cause == Cause::Release && of_this;
        if known && !(condemns && changed_by.is_some()) {
            return Ok(());
        }
        self.set_availability(host, availability);
        if availability != Availability::In {
            self.host_mut(host)?.out_reason = Some(reason.to_owned());
        }
        let kind = EventKind::Availability { availability, reason: reason.to_owned(), tail: tail.clone() };
        self.note(changed_by, Some(host), kind);
        if let Some(rollout) = changed_by.filter(|_| condemns) {
            let reason = format!("left service after its change: {reason}");
            let failure = Failure { phase: PhaseKind::Steady, cause, reason, tail: tail.clone() };
            self.count_failure(rollout, host, &failure);
        }
        self.already_there(host);
        self.recall_unaffordable();
        Ok(())
    }
}

/// Which phase may be reported after which. A report may skip phases that had nothing to do.
fn follows(from: PhaseKind, to: PhaseKind) -> bool {
    use PhaseKind::{
        Aborting, Draining, Granted, Joining, Parked, Probing, Reverting, Soaking, Starting, Stopping, Stuck,
    };
    matches!(
        (from, to),
        (Granted | Draining, Draining)
            | (Draining, Stopping | Aborting)
            | (Stopping, Starting)
            | (Starting, Probing | Soaking)
            | (Probing, Joining | Soaking)
            | (Joining, Soaking)
            | (Parked, Starting)
            | (Draining | Stopping | Starting | Probing | Joining | Soaking | Aborting | Stuck, Reverting)
    )
}
