//! The planner's choices, each checked again.

use super::{
    command::{Refusal, Reply, Step},
    event::EventKind,
    host::Availability,
    rollout::{Halt, Halting, Outcome, Part, PartState, RolloutPhase, Timer},
    scene::Scene,
};
use crate::{HostId, Revision, RolloutId};

impl Scene<'_> {
    pub(super) fn plan(&mut self, planned_at: Revision, steps: &[Step]) -> Result<Reply, Refusal> {
        if planned_at != self.service.changed {
            return Err(Refusal::Outdated {
                assumed: format!("revision {planned_at} of the service"),
                actual: self.service.changed.to_string(),
            });
        }
        Ok(Reply::Planned(steps.iter().map(|step| self.step(step)).collect()))
    }

    fn step(&mut self, step: &Step) -> Result<(), Refusal> {
        match step {
            Step::EndStaging { rollout, dropped } => self.end_staging(*rollout, dropped),
            Step::Halt { rollout, why } => self.halt_staging(*rollout, why),
            Step::GrantMigration { host, release } => self.grant_migration(host, release),
            Step::EndMigrating { rollout } => self.end_migrating(*rollout),
            Step::StartWave { rollout, hosts } => self.start_wave(*rollout, hosts),
            Step::EndWave { rollout } => self.end_wave(*rollout),
            Step::Grant { rollout, host } => self.grant(*rollout, host),
            Step::Converge { host } => self.converge(host),
            Step::Park { host } => self.park(host),
            Step::Adopt { rollout, host } => self.adopt(*rollout, host),
            Step::Complete { rollout } => self.complete(*rollout),
            Step::GiveUp { rollout } => self.give_up(*rollout),
            Step::Elapsed { rollout, timer, elapsed_ms } => self.elapsed(*rollout, *timer, *elapsed_ms),
        }
    }

    fn in_phase(&self, id: RolloutId, phase: &RolloutPhase) -> Result<(), Refusal> {
        let actual = &self.rollout(id)?.phase;
        if actual == phase {
            return Ok(());
        }
        Err(Refusal::Outdated { assumed: format!("{id} is {phase}"), actual: actual.to_string() })
    }

    /// P9: every host that takes part has the release; only hosts whose silence is a fact may be left behind.
    fn end_staging(&mut self, id: RolloutId, dropped: &[HostId]) -> Result<(), Refusal> {
        self.in_phase(id, &RolloutPhase::Staging)?;
        let rollout = self.rollout(id)?;
        let target = rollout.target.clone();
        let mut left = false;
        for (host, part) in &rollout.parts {
            if part.state == PartState::Dropped {
                continue;
            }
            let here = self.host(host)?;
            if dropped.contains(host) {
                if here.availability != Availability::Unknown {
                    return Err(Refusal::HostNotFree { host: host.clone(), state: "not silent".into() });
                }
                continue;
            }
            left = true;
            if let Some(target) = target.as_ref().filter(|target| !here.staged.contains(&target.id)) {
                return Err(Refusal::NotStaged { host: host.clone(), release: target.id.clone() });
            }
        }
        if !left {
            return Err(Refusal::NotNow("no host is left in the rollout".into()));
        }
        if self.service.active != Some(id) {
            self.take_over(id)?;
        }
        for host in dropped {
            if self.part(id, host).is_none_or(|part| part == PartState::Dropped) {
                continue;
            }
            self.set_part(id, host, PartState::Dropped);
            self.note(
                Some(id),
                Some(host),
                EventKind::Dropped { reason: "silent until the staging deadline".into() },
            );
        }
        let migrates = target.is_some_and(|target| target.migrates);
        self.set_phase(id, if migrates { RolloutPhase::Migrating } else { RolloutPhase::Rolling });
        self.halt_on_unknown_migration(id);
        Ok(())
    }

    /// A newer push, staged everywhere, takes the place of the active rollout. Hosts in mid-step finish; no other starts.
    fn take_over(&mut self, id: RolloutId) -> Result<(), Refusal> {
        let active = self.service.active.ok_or(Refusal::NoRollout)?;
        if self.service.next != Some(id) || !self.service.may_be_superseded() {
            let phase = self.rollout(active)?.phase.to_string();
            return Err(Refusal::Busy { rollout: active, phase });
        }
        // A pause is an operator's word about the service: nobody else's push ends it.
        if self.rollout(active)?.paused.is_some() {
            return Err(Refusal::Busy { rollout: active, phase: "paused".into() });
        }
        // The hosts that take part stay the same, as staging was checked against them. How far they are is looked up again: the old
        // rollout has moved them since the push.
        self.service.next = None;
        self.service.active = Some(id);
        self.finish(active, &Outcome::Superseded { by: id });
        self.forget_setbacks();
        let rollout = self.rollout(id)?;
        let mut now = self.parts(rollout.target.as_ref(), rollout.kind);
        for (host, part) in &mut self.rollout_mut(id)?.parts {
            if let Some(now) = now.remove(host).filter(|_| part.state != PartState::Dropped) {
                *part = now;
            }
        }
        Ok(())
    }

    fn halt_staging(&mut self, id: RolloutId, why: &Halt) -> Result<(), Refusal> {
        self.in_phase(id, &RolloutPhase::Staging)?;
        self.halt(id, Halting::Staging, why.clone());
        Ok(())
    }

    fn end_migrating(&mut self, id: RolloutId) -> Result<(), Refusal> {
        self.in_phase(id, &RolloutPhase::Migrating)?;
        let rollout = self.rollout(id)?;
        if let Some(target) = &rollout.target {
            for (host, _) in rollout.parts.iter().filter(|(_, part)| part.state == PartState::Pending) {
                let state = self.service.migration(target, host);
                let silent = self.host(host)?.availability == Availability::Unknown;
                if !state.lets_start() && !silent {
                    return Err(Refusal::NotMigrated {
                        release: target.id.clone(),
                        state: state.word().into(),
                    });
                }
            }
        }
        self.set_phase(id, RolloutPhase::Rolling);
        Ok(())
    }

    fn start_wave(&mut self, id: RolloutId, hosts: &[HostId]) -> Result<(), Refusal> {
        self.in_phase(id, &RolloutPhase::Rolling)?;
        let rollout = self.rollout_mut(id)?;
        let free = |part: Option<&Part>| part == Some(&Part { wave: None, state: PartState::Pending });
        if !rollout.wave_soaked || hosts.is_empty() || !hosts.iter().all(|host| free(rollout.parts.get(host)))
        {
            let (assumed, actual) =
                ("the last wave has soaked, and these hosts wait".into(), "not so".into());
            return Err(Refusal::Outdated { assumed, actual });
        }
        let wave = rollout.waves;
        rollout.waves += 1;
        rollout.wave_soaked = false;
        for host in hosts {
            if let Some(part) = rollout.parts.get_mut(host) {
                part.wave = Some(wave);
            }
        }
        self.note(Some(id), None, EventKind::WaveStarted { wave, hosts: hosts.to_vec() });
        Ok(())
    }

    fn end_wave(&mut self, id: RolloutId) -> Result<(), Refusal> {
        self.in_phase(id, &RolloutPhase::Rolling)?;
        let rollout = self.rollout_mut(id)?;
        let wave = rollout.waves.checked_sub(1);
        let mut parts = rollout.parts.values().filter(|part| part.wave == wave);
        if wave.is_none()
            || rollout.wave_soaked
            || parts.any(|part| matches!(part.state, PartState::Pending | PartState::Changing))
        {
            let (assumed, actual) = ("the wave is done".into(), "not so".into());
            return Err(Refusal::Outdated { assumed, actual });
        }
        rollout.wave_soaked = true;
        self.note(Some(id), None, EventKind::WaveSoaked { wave: wave.unwrap_or_default() });
        Ok(())
    }

    /// P7: a host that joined late takes part once the canary wave has soaked.
    fn adopt(&mut self, id: RolloutId, host: &HostId) -> Result<(), Refusal> {
        let here = self.host(host)?;
        if here.excluded.is_some() || here.parked.is_some() || here.change.is_some() {
            return Err(Refusal::HostNotFree {
                host: host.clone(),
                state: "excluded, drained or changing".into(),
            });
        }
        let rollout = self.rollout_mut(id)?;
        let absent = rollout.parts.get(host).is_none_or(|part| part.state == PartState::Dropped);
        if !rollout.takes_joiners() || !absent {
            return Err(Refusal::NotNow(
                "the canary wave has not soaked, or the host takes part already".into(),
            ));
        }
        rollout.parts.insert(host.clone(), Part { wave: None, state: PartState::Pending });
        self.touch();
        Ok(())
    }

    fn complete(&mut self, id: RolloutId) -> Result<(), Refusal> {
        self.in_phase(id, &RolloutPhase::Rolling)?;
        let rollout = self.rollout(id)?;
        let open = rollout
            .parts
            .iter()
            .find(|(_, part)| matches!(part.state, PartState::Pending | PartState::Changing));
        if let Some((host, part)) = open {
            return Err(Refusal::HostNotFree { host: host.clone(), state: part.state.word().into() });
        }
        let failed = rollout.parts.values().any(|part| part.state == PartState::Failed);
        if failed && rollout.is_rollback() {
            return Err(Refusal::NotNow("not every host came back".into()));
        }
        // P7: what never ran anywhere must not become what joiners get.
        if !rollout.is_proven() && !rollout.is_rollback() {
            return Err(Refusal::NotNow("no host has changed".into()));
        }
        self.finish(id, &Outcome::Completed);
        Ok(())
    }

    fn give_up(&mut self, id: RolloutId) -> Result<(), Refusal> {
        self.in_phase(id, &RolloutPhase::Rolling)?;
        let rollout = self.rollout(id)?;
        let any = |state| rollout.parts.values().any(|part| part.state == state);
        let (failed, changing) = (any(PartState::Failed), any(PartState::Changing));
        if !failed || changing || (!rollout.is_rollback() && (any(PartState::Pending) || rollout.is_proven()))
        {
            return Err(Refusal::NotNow("it can go on".into()));
        }
        if rollout.is_rollback() {
            self.finish(id, &Outcome::RollbackFailed);
        } else if let Some((host, failure)) = rollout.failures.last().cloned() {
            self.fail(id, &host, &failure.reason);
        }
        Ok(())
    }

    fn elapsed(&mut self, id: RolloutId, timer: Timer, elapsed_ms: u64) -> Result<(), Refusal> {
        let rollout = self.rollout_mut(id)?;
        rollout.elapsed.retain(|(other, _)| *other != timer);
        rollout.elapsed.push((timer, elapsed_ms));
        self.touch();
        Ok(())
    }
}
