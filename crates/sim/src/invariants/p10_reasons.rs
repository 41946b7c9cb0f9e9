//! P10 every wait has a deadline and a reason: a leader that plans nothing for a rollout under way says why it waits; nobody is called silent
//! who was heard; and no deadline of a rollout passes early, or while it is paused.

use std::collections::BTreeMap;

use model::{
    RolloutId, ServiceName,
    fleet::{Act, EventKind, Fleet, Halt, Halting, PartState, Rollout, RolloutPhase, Service},
    planner::Hold,
};

use super::{Applied, Verdict};
use crate::{
    At,
    scenario::{Item, ms},
    world::{Leader, SILENT_AFTER, World},
};

/// What it remembers.
#[derive(Default)]
pub(crate) struct Waits {
    staging: BTreeMap<RolloutId, Stopwatch>,
    soaking: BTreeMap<(RolloutId, u32), Stopwatch>,
}

/// How long something has lasted in truth, without pauses.
#[derive(Clone, Copy)]
struct Stopwatch {
    lasted: At,
    since: At,
    paused: bool,
}

impl Stopwatch {
    fn new(at: At) -> Self {
        Self { lasted: 0, since: at, paused: false }
    }

    fn look(&mut self, at: At, paused: bool) {
        if !self.paused {
            self.lasted += at - self.since;
        }
        (self.since, self.paused) = (at, paused);
    }
}

pub(crate) fn planned(world: &World, leader: &Leader, fleet: &Fleet) -> Verdict {
    if leader.leads() {
        silenced(world, leader)?;
    }
    if leader.is_busy() {
        return Ok(());
    }
    for (name, service) in &fleet.services {
        for rollout in [service.active(), service.next()].into_iter().flatten() {
            let told = leader.holds.iter().any(|hold| hold.service == *name && is_about(hold, rollout));
            if !told {
                return Err((
                    "P10",
                    format!("{} of {name} is {}, and nobody says why", rollout.id, rollout.phase),
                ));
            }
        }
    }
    Ok(())
}

/// Whether a hold speaks of this rollout, or of no rollout and of nobody but its hosts.
fn is_about(hold: &Hold, rollout: &Rollout) -> bool {
    match (hold.rollout, hold.why.host()) {
        (Some(of), _) => of == rollout.id,
        (None, host) => host.is_none_or(|host| rollout.parts.contains_key(host)),
    }
}

/// Clocks run a little fast.
fn nearly(length: std::time::Duration) -> At {
    ms(length) * 9 / 10
}

impl Waits {
    pub(crate) fn applied(&mut self, world: &World, applied: &Applied<'_>) -> Verdict {
        let revision = applied.after.revision;
        for (name, service) in &applied.after.services {
            let Some(before) = applied.before.services.get(name) else { continue };
            for rollout in [service.active(), service.next()].into_iter().flatten() {
                self.look(world, before, service, rollout)?;
            }
        }
        for event in applied.after.events.iter().rev().take_while(|event| event.revision == revision) {
            let (EventKind::WaveSoaked { wave }, Some(id), Some(name)) =
                (&event.kind, event.rollout, &event.service)
            else {
                continue;
            };
            let service = &applied.after.services[name];
            let canary = service.rollouts.get(&id).is_some_and(|rollout| rollout.has_canary());
            let lasted = self.soaking.remove(&(id, *wave)).map_or(0, |mut watch| {
                watch.look(world.at, true);
                watch.lasted
            });
            if canary && lasted < nearly(service.policy.wave_soak) && !changes_policy(world, name) {
                return Err(("P10", format!("wave {wave} of {id} has soaked for {lasted} ms only")));
            }
        }
        Ok(())
    }

    fn look(&mut self, world: &World, before: &Service, service: &Service, rollout: &Rollout) -> Verdict {
        let (at, paused, id) = (world.at, rollout.paused.is_some(), rollout.id);
        let then = before.rollouts.get(&id).map(|then| &then.phase);
        if rollout.phase == RolloutPhase::Staging {
            if then != Some(&RolloutPhase::Staging) {
                self.staging.insert(id, Stopwatch::new(at));
            }
            self.staging.entry(id).or_insert_with(|| Stopwatch::new(at)).look(at, paused);
        }
        let expired = matches!(
            &rollout.phase,
            RolloutPhase::Halted { during: Halting::Staging, why: Halt::NotStaged { .. } }
        );
        if expired
            && then == Some(&RolloutPhase::Staging)
            && let Some(mut watch) = self.staging.remove(&id)
        {
            watch.look(at, true);
            if watch.lasted < nearly(service.policy.deadlines.stage)
                && !changes_policy(world, &rollout.service)
            {
                return Err(("P10", format!("{id} is halted after {} ms of staging", watch.lasted)));
            }
        }
        let wave = rollout.waves.saturating_sub(1);
        if rollout.phase == RolloutPhase::Rolling && !rollout.wave_soaked {
            if !wave_is_done(rollout) {
                // Somebody came into it again: it soaks from its end on.
                self.soaking.remove(&(id, wave));
                return Ok(());
            }
            self.soaking.entry((id, wave)).or_insert_with(|| Stopwatch::new(at)).look(at, paused);
        }
        Ok(())
    }
}

/// Whether every host of the present wave is through.
fn wave_is_done(rollout: &Rollout) -> bool {
    let wave = rollout.waves.checked_sub(1);
    let mut parts = rollout.parts.values().filter(|part| part.wave == wave);
    wave.is_some() && !parts.any(|part| matches!(part.state, PartState::Pending | PartState::Changing))
}

/// Deadlines are those of the policy that counts when they pass.
fn changes_policy(world: &World, name: &ServiceName) -> bool {
    let of = world.service_number(name);
    world.scenario.items.iter().any(|(at, item)| {
        *at <= world.at && matches!(item, Item::SetPolicy { service, .. } if Some(*service) == of)
    })
}

fn silenced(world: &World, leader: &Leader) -> Verdict {
    for act in leader.todo() {
        let Act::Silent { host } = act else { continue };
        let heard = world.number(host).and_then(|host| world.hosts[host].heard);
        if let Some(heard) = heard.filter(|heard| world.at < heard + nearly(SILENT_AFTER)) {
            let ago = world.at - heard;
            return Err(("P10", format!("{host} is called silent, and was heard {ago} ms ago")));
        }
    }
    Ok(())
}
