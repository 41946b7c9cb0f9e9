//! What operators and CI ask of a service.

use std::sync::Arc;

use super::{
    command::{Operator, Refusal, Reply, Request},
    event::EventKind,
    host::{Change, Purpose},
    migration::{MigrationState, Verdict},
    provenance::Provenance,
    rollout::{Halt, Halting, Outcome, PartState, Rollout, RolloutKind, RolloutPhase},
    scene::Scene,
};
use crate::{HostId, Policy, Release, ReleaseId, RolloutId};

impl Scene<'_> {
    pub(super) fn ask(&mut self, by: &Operator, request: &Request) -> Result<Reply, Refusal> {
        if request.overrides_a_promise() && by.reason.trim().is_empty() {
            return Err(Refusal::ReasonMissing);
        }
        match request {
            Request::Push { release, policy, provenance } => {
                self.push(release, policy.as_ref(), provenance, by)
            }
            Request::Follow(word) => self.follow(word, by),
            Request::Rollback => self.go_back(by),
            Request::Restart => self.restart(by),
            Request::Pause => self.pause(by),
            Request::Resume => self.resume(by),
            Request::Abort { leave } => self.abort(*leave, by),
            Request::SetPolicy { policy } => self.set_policy(policy, by),
            Request::ResolveMigration { release, verdict } => self.resolve_migration(release, *verdict, by),
            Request::ReleaseQuarantine { release } => self.release_quarantine(release, by),
            Request::BreakSlot { host } => self.break_slot(host, by),
            Request::BreakMigrationLock => self.break_migration_lock(by),
            Request::BreakGrant { lock, fence } => self.break_grant(lock, *fence, by),
            Request::Exclude { host } => self.exclude(host, by),
            Request::Include { host } => self.include(host, by),
            Request::Drain { host } => self.drain(host, by),
            Request::Admit { host } => self.admit(host, by),
        }
    }

    pub(super) fn push(
        &mut self,
        release: &Release,
        policy: Option<&Policy>,
        provenance: &Provenance,
        by: &Operator,
    ) -> Result<Reply, Refusal> {
        if self.members().next().is_none() {
            return Err(Refusal::UnknownService { service: self.name.clone(), declared: Vec::new() });
        }
        if let Some(quarantine) = self.service.quarantine.get(&release.id) {
            return Err(Refusal::Quarantined {
                release: release.id.clone(),
                reason: quarantine.reason.clone(),
            });
        }
        if let Some(policy) = policy {
            self.set_policy(policy, by)?;
        }
        if let Some(rollout) = self.already_moving_to(release) {
            return Ok(Reply::Joined(rollout));
        }
        let id = self.enqueue(release.clone(), RolloutKind::Push, by);
        // Who joins a rollout adds nothing to it.
        self.rollout_mut(id)?.provenance = provenance.clone();
        Ok(Reply::Accepted(id))
    }

    /// The rollout that has this release as its target: under way, waiting, or completed with nothing left to do.
    fn already_moving_to(&self, release: &Release) -> Option<RolloutId> {
        let same = |other: Option<&Release>| other.is_some_and(|other| other.id == release.id);
        let waiting = self.service.next().filter(|next| same(next.target.as_ref()));
        if let Some(next) = waiting {
            return Some(next.id);
        }
        let Some(active) = self.service.active() else {
            let all_there =
                self.members().all(|(_, here)| same(here.current.as_ref()) || here.excluded.is_some());
            let mut completed = self.service.rollouts.values().rev();
            let last = completed.find(|rollout| rollout.outcome() == Some(&Outcome::Completed))?;
            return (all_there && same(last.target.as_ref())).then_some(last.id);
        };
        let moving = !active.is_rollback() && self.service.next.is_none();
        (moving && same(active.target.as_ref())).then_some(active.id)
    }

    /// Begins a rollout: at once, staging behind one that it may supersede, or waiting. The queue has one place, for the newest.
    fn enqueue(&mut self, release: Release, kind: RolloutKind, by: &Operator) -> RolloutId {
        let stages = self.service.may_be_superseded();
        let phase = if stages { RolloutPhase::Staging } else { RolloutPhase::Queued };
        let id = self.begin(Some(release), kind, by, phase);
        if self.service.active.is_none() {
            self.service.active = Some(id);
        } else if let Some(older) = self.service.next.replace(id) {
            self.finish(older, &Outcome::Superseded { by: id });
        }
        id
    }

    fn go_back(&mut self, by: &Operator) -> Result<Reply, Refusal> {
        if let Some(active) = self.service.active() {
            let id = active.id;
            if active.is_rollback() {
                return Ok(Reply::Joined(id));
            }
            // The newest word counts: what was pushed before it and waits is not begun after it.
            if let Some(next) = self.service.next {
                self.finish(next, &Outcome::Aborted);
            }
            self.abort(false, by)?;
            return Ok(Reply::Accepted(self.service.active.unwrap_or(id)));
        }
        let present = self.service.last_completed().map(|release| release.id.clone());
        let mut earlier = self.service.completed.iter().rev();
        let fits = |release: &&Release| {
            Some(&release.id) != present.as_ref() && !self.service.quarantine.contains_key(&release.id)
        };
        let release = earlier.find(fits).cloned().ok_or(Refusal::NothingBefore)?;
        Ok(Reply::Accepted(self.enqueue(release, RolloutKind::Rollback, by)))
    }

    fn restart(&mut self, by: &Operator) -> Result<Reply, Refusal> {
        if let Some(active) = self.service.active() {
            return Err(Refusal::Busy { rollout: active.id, phase: active.phase.word().into() });
        }
        let release = self.service.last_completed().cloned();
        let release = release.ok_or_else(|| Refusal::NotNow("no release has completed yet".into()))?;
        Ok(Reply::Accepted(self.enqueue(release, RolloutKind::Restart, by)))
    }

    fn active_id(&self) -> Result<RolloutId, Refusal> {
        self.service
            .active()
            .filter(|active| active.outcome().is_none())
            .map(|active| active.id)
            .ok_or(Refusal::NoRollout)
    }

    fn pause(&mut self, by: &Operator) -> Result<Reply, Refusal> {
        let id = self.active_id()?;
        self.revoke_unbegun(id);
        self.rollout_mut(id)?.paused = Some(by.clone());
        self.note(Some(id), None, EventKind::Paused { by: by.clone() });
        Ok(Reply::Done)
    }

    /// What `resume` is about: the rollout under way, or the one behind it when only that one is halted.
    fn resumable(&self) -> Result<RolloutId, Refusal> {
        let halted = |rollout: &&Rollout| matches!(rollout.phase, RolloutPhase::Halted { .. });
        let waits = |rollout: &&Rollout| rollout.paused.is_some() || halted(rollout);
        let active = self.service.active().filter(waits);
        let found = active.or_else(|| self.service.next().filter(halted));
        found.map_or_else(|| self.active_id(), |rollout| Ok(rollout.id))
    }

    fn resume(&mut self, by: &Operator) -> Result<Reply, Refusal> {
        let id = self.resumable()?;
        let rollout = self.rollout(id)?;
        let goes_on = match rollout.phase {
            RolloutPhase::Halted { during: Halting::Migrating, .. } => {
                let release = rollout.target.as_ref().map_or("RELEASE", |target| target.id.as_str());
                let of = self.name;
                return Err(Refusal::NotNow(format!(
                    "the end of the migration is unknown; say how it ended: \
                     `deployinator migration resolve {release} succeeded|failed|retry --service {of} --reason WHY`"
                )));
            }
            RolloutPhase::Halted { during: Halting::Rolling, .. } => {
                let target = rollout.target.as_ref().map(|target| &target.id);
                if let Some(release) = target.filter(|target| self.service.quarantine.contains_key(*target)) {
                    let of = self.name;
                    return Err(Refusal::NotNow(format!(
                        "the release is quarantined; `deployinator abort --service {of}` rolls back, or release it first: \
                         `deployinator quarantine release {release} --service {of} --reason WHY`"
                    )));
                }
                Some(RolloutPhase::Rolling)
            }
            RolloutPhase::Halted { during: Halting::Staging, .. } => Some(RolloutPhase::Staging),
            _ if rollout.paused.is_none() => {
                return Err(Refusal::NotNow("it is neither paused nor halted".into()));
            }
            _ => None,
        };
        // Nothing was touched yet: who is there now takes part.
        let anew = (goes_on == Some(RolloutPhase::Staging))
            .then(|| self.parts(rollout.target.as_ref(), rollout.kind));
        let rollout = self.rollout_mut(id)?;
        rollout.paused = None;
        if goes_on.is_some() {
            rollout.elapsed.clear();
            rollout.failures.clear();
        }
        if let Some(parts) = anew {
            rollout.parts = parts;
        }
        let failed = rollout.parts.iter().filter(|(_, part)| part.state == PartState::Failed);
        let failed: Vec<HostId> = failed.map(|(host, _)| host.clone()).collect();
        for host in failed.iter().filter(|_| goes_on.is_some()) {
            self.set_part(id, host, PartState::Changing);
            // Who still goes back has its turn afterwards.
            let busy = |change: &Change| change.purpose.rollout() == Some(id);
            if !self.host(host).is_ok_and(|here| here.change.as_ref().is_some_and(busy)) {
                self.turn_again(id, host);
            }
        }
        self.note(Some(id), None, EventKind::Resumed { by: by.clone() });
        if let Some(phase) = goes_on {
            self.set_phase(id, phase);
        }
        Ok(Reply::Done)
    }

    fn abort(&mut self, leave: bool, by: &Operator) -> Result<Reply, Refusal> {
        let id = self.active_id()?;
        let rollout = self.rollout(id)?;
        if rollout.is_rollback() {
            return Err(Refusal::Busy { rollout: id, phase: "a roll back, which cannot be aborted".into() });
        }
        let restarts = rollout.kind == RolloutKind::Restart;
        let touched = self.has_touched(id);
        self.note(Some(id), None, EventKind::Asked { what: "abort".into(), by: by.clone() });
        if touched && !leave {
            self.roll_back(id, true, by);
        } else {
            // A restart leaves every host on the release that it had.
            self.service.mixed |= touched && !restarts;
            self.finish(id, &Outcome::Aborted);
        }
        Ok(Reply::Done)
    }

    fn set_policy(&mut self, policy: &Policy, by: &Operator) -> Result<Reply, Refusal> {
        if self.service.policy != *policy {
            self.service.policy = policy.clone();
            self.note(None, None, EventKind::Asked { what: "new policy".into(), by: by.clone() });
            self.recall_unaffordable();
        }
        Ok(Reply::Done)
    }

    fn resolve_migration(
        &mut self,
        release: &ReleaseId,
        verdict: Verdict,
        by: &Operator,
    ) -> Result<Reply, Refusal> {
        let known = self.service.migrations.get_mut(release).map(Arc::make_mut);
        let known =
            known.ok_or_else(|| Refusal::NotNow(format!("no migration of {release} was ever started")))?;
        let open = |state: &MigrationState| match state {
            MigrationState::Unknown { .. } => true,
            MigrationState::Failed { .. } => verdict == Verdict::Retry,
            _ => false,
        };
        let new = match verdict {
            Verdict::Succeeded => MigrationState::Succeeded,
            Verdict::Failed => {
                MigrationState::Failed { reason: format!("{} said so", by.name), tail: "".into() }
            }
            Verdict::Retry => MigrationState::Never,
        };
        let states = std::iter::once(&mut known.fleet).chain(known.hosts.values_mut());
        let mut hosts = Vec::new();
        let mut resolved = false;
        for state in states.filter(|state| open(state)) {
            if let MigrationState::Unknown { host, .. } = std::mem::replace(state, new.clone()) {
                hosts.push(host);
            }
            resolved = true;
        }
        if !resolved {
            return Err(Refusal::NotNow(format!("no migration of {release} waits for a word")));
        }
        let id = self.rollout_to(release).map(|rollout| rollout.id);
        self.note(id, None, EventKind::Migration { release: release.clone(), state: new });
        let what = format!("resolve the migration as {verdict:?}").to_lowercase();
        self.note(id, None, EventKind::Asked { what, by: by.clone() });
        if verdict == Verdict::Failed {
            for host in &hosts {
                self.migration_failed(release, host, &format!("{} said so", by.name));
            }
        }
        self.goes_on_migrating(release);
        Ok(Reply::Done)
    }

    /// A rollout that waits for a word on a migration of this release waits no longer, if nothing of it is unknown.
    pub(super) fn goes_on_migrating(&mut self, release: &ReleaseId) {
        let unknown = |(_, state): (_, &MigrationState)| matches!(state, MigrationState::Unknown { .. });
        if self.service.migrations.get(release).is_some_and(|known| known.states().any(unknown)) {
            return;
        }
        let waits = |rollout: &&Rollout| {
            matches!(rollout.phase, RolloutPhase::Halted { why: Halt::MigrationUnknown { .. }, .. })
        };
        if let Some(id) = self.rollout_to(release).filter(waits).map(|rollout| rollout.id) {
            self.set_phase(id, RolloutPhase::Migrating);
        }
    }

    /// The release may be used again, which includes another try of a migration that failed.
    fn release_quarantine(&mut self, release: &ReleaseId, by: &Operator) -> Result<Reply, Refusal> {
        if self.service.quarantine.remove(release).is_none() {
            return Err(Refusal::NotNow(format!("{release} is not quarantined")));
        }
        if let Some(known) = self.service.migrations.get_mut(release).map(Arc::make_mut) {
            let states = std::iter::once(&mut known.fleet).chain(known.hosts.values_mut());
            for state in states.filter(|state| matches!(state, MigrationState::Failed { .. })) {
                *state = MigrationState::Never;
            }
        }
        let hosts: Vec<HostId> = self.members().map(|(host, _)| host.clone()).collect();
        for host in hosts {
            let here = self.host_mut(&host)?;
            here.failed.take_if(|(failed, _)| failed == release);
        }
        self.note(None, None, EventKind::QuarantineReleased { release: release.clone(), by: by.clone() });
        Ok(Reply::Done)
    }

    fn exclude(&mut self, host: &HostId, by: &Operator) -> Result<Reply, Refusal> {
        self.host_mut(host)?.excluded = Some(by.clone());
        self.revoke(host);
        for id in [self.service.active, self.service.next].into_iter().flatten() {
            if self.part(id, host).is_some_and(|part| part != PartState::Changed) {
                self.set_part(id, host, PartState::Dropped);
            }
        }
        self.note(None, Some(host), EventKind::Asked { what: "exclude".into(), by: by.clone() });
        Ok(Reply::Done)
    }

    fn include(&mut self, host: &HostId, by: &Operator) -> Result<Reply, Refusal> {
        self.host_mut(host)?.excluded = None;
        self.goes_back_too(host);
        self.recall_unaffordable();
        self.note(None, Some(host), EventKind::Asked { what: "include".into(), by: by.clone() });
        Ok(Reply::Done)
    }

    fn drain(&mut self, host: &HostId, by: &Operator) -> Result<Reply, Refusal> {
        self.host_mut(host)?.parked = Some(by.clone());
        self.revoke(host);
        // A host in mid-step finishes first; one whose turn has not come gets none.
        for id in [self.service.active, self.service.next].into_iter().flatten() {
            if self.part(id, host) == Some(PartState::Pending) {
                self.set_part(id, host, PartState::Dropped);
            }
        }
        self.note(None, Some(host), EventKind::Asked { what: "drain".into(), by: by.clone() });
        Ok(Reply::Done)
    }

    /// Who is let in again during a roll back takes part in it, if it serves what is taken back: else that would be said to be
    /// rolled back (P12) while it serves. So does who is in mid-step: it may end there. And so does who turns out to serve it, as its slot
    /// was broken in mid-step.
    pub(super) fn goes_back_too(&mut self, host: &HostId) {
        let Some(rollout) = self.service.active() else { return };
        let takes_part = rollout.parts.get(host).is_some_and(|part| part.state != PartState::Dropped);
        if takes_part || !matches!(rollout.kind, RolloutKind::RollbackOf { .. }) {
            return;
        }
        let (id, kind, target) = (rollout.id, rollout.kind, rollout.target.clone());
        let part = self.parts(target.as_ref(), kind).remove(host);
        if let (Some(part), Ok(rollout)) = (part, self.rollout_mut(id)) {
            rollout.parts.insert(host.clone(), part);
        }
    }

    fn admit(&mut self, host: &HostId, by: &Operator) -> Result<Reply, Refusal> {
        let here = self.host_mut(host)?;
        here.parked = None;
        if here.change.as_ref().is_some_and(|change| change.purpose == Purpose::Park) {
            self.revoke(host);
        }
        let to = self.host(host)?.change.as_ref().and_then(|change| change.to.as_ref());
        let condemned = to.is_some_and(|to| self.service.quarantine.contains_key(&to.id));
        let back = self.service.active().filter(|active| active.is_rollback());
        let taken_back = back.is_some_and(|back| back.target.as_ref() != to);
        let here = self.host_mut(host)?;
        if let Some(change) = here.change.as_mut().filter(|change| change.purpose == Purpose::Park) {
            change.purpose = Purpose::Converge;
            // What was condemned is not started again (P6), nor what is just being taken back everywhere (P12). From nothing the host gets
            // what has completed, under a slot of its own.
            change.to.take_if(|_| condemned || taken_back);
        }
        self.goes_back_too(host);
        self.note(None, Some(host), EventKind::Asked { what: "admit".into(), by: by.clone() });
        Ok(Reply::Done)
    }
}
