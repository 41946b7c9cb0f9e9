//! How rollouts begin, fail and end.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    command::{Failure, Operator},
    event::EventKind,
    host::{Availability, Host, HostService, PhaseKind},
    provenance::Provenance,
    rollout::{Halt, Halting, Outcome, Part, PartState, Rollout, RolloutKind, RolloutPhase},
    scene::Scene,
    service::{COMPLETED_KEPT, Quarantine, ROLLOUTS_KEPT},
};
use crate::{HostId, Release, ReleaseId, RolloutId, policy::OnFailure};

impl Scene<'_> {
    /// Writes down a new rollout in `phase`. Hosts that have nothing to do in it are done already.
    pub(super) fn begin(
        &mut self,
        target: Option<Release>,
        kind: RolloutKind,
        by: &Operator,
        phase: RolloutPhase,
    ) -> RolloutId {
        let id = RolloutId(self.scribe.revision.0);
        let rollout = Rollout {
            id,
            service: self.name.clone(),
            before: self.service.last_completed().cloned(),
            kind,
            by: by.clone(),
            provenance: Provenance::default(),
            phase,
            paused: None,
            parts: self.parts(target.as_ref(), kind),
            waves: 0,
            wave_soaked: true,
            failures: Vec::new(),
            elapsed: Vec::new(),
            began: self.scribe.at,
            ended: None,
            target,
        };
        let release = rollout.target.as_ref().map(|release| release.id.clone());
        self.service.rollouts.insert(id, Arc::new(rollout));
        self.note(Some(id), None, EventKind::RolloutBegan { release, why: kind, by: by.clone() });
        self.forget_old();
        id
    }

    /// The part of every host that is there, not excluded and not drained.
    pub(super) fn parts(&self, target: Option<&Release>, kind: RolloutKind) -> BTreeMap<HostId, Part> {
        let members = self.members().filter(|(_, here)| here.excluded.is_none() && here.parked.is_none());
        let back = matches!(kind, RolloutKind::RollbackOf { .. });
        let state = |here: &HostService| {
            let there =
                here.change.is_none() && here.current.as_ref() == target && kind != RolloutKind::Restart;
            let serves = target.is_none() || here.availability == Availability::In;
            match &here.change {
                _ if there && serves => Some(PartState::Changed),
                Some(change) if back && change.phase == PhaseKind::Stuck => Some(PartState::Failed),
                // A roll back owes nothing to hosts that its cause did not disturb: they stay as sick, or as new, as they were.
                None if back && (there || here.current.is_none()) => None,
                _ => Some(PartState::Pending),
            }
        };
        members
            .filter_map(|(host, here)| Some((host.clone(), Part { wave: None, state: state(here)? })))
            .collect()
    }

    fn forget_old(&mut self) {
        while ROLLOUTS_KEPT < self.service.rollouts.len() {
            let ended = self.service.rollouts.values().find(|rollout| rollout.outcome().is_some());
            let Some(oldest) = ended.map(|rollout| rollout.id) else { return };
            let gone = self.service.rollouts.remove(&oldest).and_then(|rollout| rollout.target.clone());
            let Some(gone) = gone else { continue };
            // A release has an outcome for good; sixteen KiB of output for each would grow without end.
            let kept = self.service.rollouts.values().any(|rollout| rollout.target.as_ref() == Some(&gone));
            if let Some(migrations) = self.service.migrations.get_mut(&gone.id).filter(|_| !kept) {
                Arc::make_mut(migrations).forget_output();
            }
        }
    }

    pub(super) fn set_phase(&mut self, id: RolloutId, phase: RolloutPhase) {
        if let Ok(rollout) = self.rollout_mut(id) {
            rollout.phase = phase.clone();
            self.note(Some(id), None, EventKind::RolloutMoved { phase });
        }
        self.let_next_stage();
    }

    /// A push that waits may stage as soon as it may take the active rollout's place.
    pub(super) fn let_next_stage(&mut self) {
        let queued =
            self.service.next().filter(|next| next.phase == RolloutPhase::Queued).map(|next| next.id);
        if let Some(next) = queued.filter(|_| self.service.may_be_superseded())
            && let Ok(rollout) = self.rollout_mut(next)
        {
            rollout.phase = RolloutPhase::Staging;
            // How long it had tried before it was queued is past: who has to fetch it now has the whole time.
            rollout.elapsed.clear();
            self.note(Some(next), None, EventKind::RolloutMoved { phase: RolloutPhase::Staging });
        }
    }

    pub(super) fn halt(&mut self, id: RolloutId, during: Halting, why: Halt) {
        self.revoke_unbegun(id);
        self.set_phase(id, RolloutPhase::Halted { during, why });
    }

    /// Ends a rollout, and with a roll back also the one that it took back; then the next one has its turn.
    pub(super) fn finish(&mut self, id: RolloutId, outcome: &Outcome) {
        self.revoke_unbegun(id);
        let at = self.scribe.at;
        let Ok(rollout) = self.rollout_mut(id) else { return };
        rollout.phase = RolloutPhase::Ended { outcome: outcome.clone() };
        rollout.ended = Some(at);
        let (kind, target) = (rollout.kind, rollout.target.clone());
        self.note(Some(id), None, EventKind::RolloutEnded { outcome: outcome.clone() });
        if *outcome == Outcome::Completed {
            self.completed(kind, target);
        }
        if let RolloutKind::RollbackOf { rollout: cause, aborted } = kind {
            let first = self.service.rollouts.get(&cause).is_some_and(|cause| cause.before.is_none());
            self.finish(cause, &what_became_of_the_cause(outcome, aborted, first));
        }
        if self.service.active == Some(id) {
            self.service.active = None;
            self.forget_setbacks();
            self.promote_next();
        } else if self.service.next == Some(id) {
            self.service.next = None;
        }
        self.forget_staged();
    }

    /// How often a host was set back counts within one rollout, however often what waits behind it is replaced.
    pub(super) fn forget_setbacks(&mut self) {
        let name = self.name;
        let had = |record: &Arc<Host>| record.services.get(name).is_some_and(|here| here.setbacks != 0);
        for record in self.hosts.values_mut().filter(|record| had(record)) {
            if let Some(here) = Arc::make_mut(record).services.get_mut(name) {
                here.setbacks = 0;
            }
        }
    }

    fn completed(&mut self, kind: RolloutKind, target: Option<Release>) {
        let Some(target) = target else { return };
        self.service.mixed = false;
        if matches!(kind, RolloutKind::Push | RolloutKind::Rollback | RolloutKind::Restart) {
            self.service.completed.retain(|release| release.id != target.id);
            self.service.completed.push(target);
            let surplus = self.service.completed.len().saturating_sub(COMPLETED_KEPT);
            self.service.completed.drain(..surplus);
        }
    }

    /// The rollout that waited has its turn. What it found when it was pushed is looked up again.
    pub(super) fn promote_next(&mut self) {
        let Some(id) = self.service.next.take() else { return };
        self.service.active = Some(id);
        let before = self.service.last_completed().cloned();
        let Ok(rollout) = self.rollout(id) else { return };
        let (target, kind, queued) =
            (rollout.target.clone(), rollout.kind, rollout.phase == RolloutPhase::Queued);
        let parts = self.parts(target.as_ref(), kind);
        if let Ok(rollout) = self.rollout_mut(id) {
            rollout.before = before;
            rollout.parts = parts;
            if queued {
                rollout.elapsed.clear();
            }
        }
        if queued {
            self.set_phase(id, RolloutPhase::Staging);
        }
        self.touch();
    }

    pub(super) fn quarantine(&mut self, release: &ReleaseId, rollout: Option<RolloutId>, reason: &str) {
        if self.service.quarantine.contains_key(release) {
            return;
        }
        self.service.quarantine.insert(release.clone(), Quarantine { rollout, reason: reason.to_owned() });
        self.note(
            rollout,
            None,
            EventKind::Quarantined { release: release.clone(), reason: reason.to_owned() },
        );
        let waits =
            self.service.next().filter(|next| next.target.as_ref().is_some_and(|it| it.id == *release));
        if let Some(next) = waits.map(|next| next.id) {
            self.finish(next, &Outcome::Failed);
        }
    }

    /// Whether the release is what hosts get and go back to: it has completed, so that a failure on one host does not condemn it.
    pub(super) fn is_good(&self, release: &ReleaseId) -> bool {
        self.service.last_completed().is_some_and(|good| good.id == *release)
    }

    /// A host failed on the release of a rollout: the rollout fails with it, once that is more than the policy tolerates, or when it
    /// can succeed nowhere else.
    pub(super) fn count_failure(&mut self, id: RolloutId, host: &HostId, failure: &Failure) {
        self.set_part(id, host, PartState::Failed);
        let tolerance = self.service.policy.failure_tolerance as usize;
        let Some(rollout) = self.service.rollouts.get_mut(&id).map(Arc::make_mut) else { return };
        rollout.failures.push((host.clone(), failure.clone()));
        let hope = [PartState::Pending, PartState::Changing, PartState::Changed];
        let hopeless = !rollout.parts.values().any(|part| hope.contains(&part.state));
        if tolerance < rollout.failures.len() || hopeless {
            self.fail(id, host, &failure.reason);
        }
    }

    /// A rollout has failed by its release.
    pub(super) fn fail(&mut self, id: RolloutId, host: &HostId, reason: &str) {
        let Some(rollout) = self.service.rollouts.get(&id) else { return };
        let (kind, target, phase) = (rollout.kind, rollout.target.clone(), rollout.phase.clone());
        // A superseded push condemns its release all the same; a roll back or a restart runs what was good before.
        let condemned = target.filter(|target| {
            matches!(kind, RolloutKind::Push | RolloutKind::Rollback) && !self.is_good(&target.id)
        });
        let Some(condemned) = condemned else {
            let open = matches!(
                phase,
                RolloutPhase::Rolling | RolloutPhase::Halted { why: Halt::SetBack { .. }, .. }
            );
            if open && !matches!(kind, RolloutKind::RollbackOf { .. }) {
                self.finish(id, &Outcome::Failed);
            }
            return;
        };
        self.quarantine(&condemned.id, Some(id), &format!("failed on {host}: {reason}"));
        // When it was superseded by a new push of the same release, that one fails with it.
        let Some(active) = self.rollout_to(&condemned.id) else { return };
        let (id, phase) = (active.id, active.phase.clone());
        match phase {
            RolloutPhase::Halted { during: Halting::Rolling, why: Halt::Failed { .. } } => (),
            RolloutPhase::Rolling => self.undo(id, host),
            _ if self.has_touched(id) => self.undo(id, host),
            _ => self.finish(id, &Outcome::Failed),
        }
    }

    /// Whether there is something to take back. Where a release has completed, hosts that an older rollout left elsewhere go to it by
    /// themselves; where none has, only a roll back takes them away.
    pub(super) fn has_touched(&self, id: RolloutId) -> bool {
        let Ok(rollout) = self.rollout(id) else { return false };
        let left_over = |here: &HostService| {
            let changing = here.change.as_ref().is_some_and(|change| change.purpose.rollout().is_some());
            here.current.is_some() || changing
        };
        let first = rollout.before.is_none() && !self.service.mixed;
        0 < rollout.waves || (first && self.members().any(|(_, here)| left_over(here)))
    }

    /// What the policy says is done about a mixed fleet.
    pub(super) fn undo(&mut self, id: RolloutId, host: &HostId) {
        match self.service.policy.on_failure {
            OnFailure::Rollback => self.roll_back(id, false, &Operator::default()),
            OnFailure::Pause => self.halt(id, Halting::Rolling, Halt::Failed { host: host.clone() }),
        }
    }

    /// Starts the roll back that a failed or aborted rollout causes. It needs no staging: what it goes back to is pinned.
    pub(super) fn roll_back(&mut self, id: RolloutId, aborted: bool, by: &Operator) {
        self.revoke_unbegun(id);
        let Ok(rollout) = self.rollout(id) else { return };
        let before = rollout.before.clone();
        self.turn_back(id);
        let kind = RolloutKind::RollbackOf { rollout: id, aborted };
        let rollback = self.begin(before, kind, by, RolloutPhase::Rolling);
        self.set_phase(id, RolloutPhase::RollingBack { by: rollback });
        self.service.active = Some(rollback);
        if let Some(next) = self.service.next {
            // A roll back is never superseded; the push waits until it is over.
            self.set_phase(next, RolloutPhase::Queued);
        }
    }

    /// Tells the hosts in mid-step of a rollout to go back instead of finishing.
    fn turn_back(&mut self, id: RolloutId) {
        let name = self.name;
        let busy = |record: &&mut Arc<Host>| {
            let change = record.services.get(name).and_then(|here| here.change.as_ref());
            change.is_some_and(|change| change.purpose.rollout() == Some(id))
        };
        for record in self.hosts.values_mut().filter(busy) {
            let change = Arc::make_mut(record).services.get_mut(name).and_then(|here| here.change.as_mut());
            if let Some(change) = change {
                change.revert =
                    !matches!(change.phase, PhaseKind::Reverting | PhaseKind::Stuck | PhaseKind::Aborting);
            }
        }
    }
}

fn what_became_of_the_cause(rollback: &Outcome, aborted: bool, first: bool) -> Outcome {
    match rollback {
        Outcome::Completed if aborted => Outcome::Aborted,
        Outcome::Completed if first => Outcome::Failed,
        Outcome::Completed => Outcome::RolledBack,
        _ => Outcome::RollbackFailed,
    }
}
