//! Chooses what to do next. The leader calls [`plan`] after every change of the fleet and when its wake-up time has come.
//!
//! Promise: policy and order. Canary wave, waves, sick hosts first, joiners, and for every wait a [`Hold`] that says why (P10).
//! Absent on purpose: safety (the fleet machine checks every step again), I/O, clocks, memory: what outlives a call is in [`Sightings`].

pub mod hold;
mod joining;
mod migrating;
pub mod preview;
mod rolling;
mod room;
pub mod sightings;
mod staging;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, time::Duration};

use self::room::Room;
pub use self::{
    hold::{Hold, TimedHold, Why},
    preview::{Ahead, Preview, preview},
    sightings::Sightings,
};
use crate::{
    HostId, Release, ServiceName, Timestamp,
    fleet::{
        Act, Availability, Fleet, HostService, PhaseKind, Rollout, RolloutPhase, SUPPORTED_LEVEL, Service,
        Step, Timer,
    },
};

/// What to propose, why to wait, and when to look again.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// To be proposed, in this order.
    pub acts: Vec<Act>,
    /// Every wait, with the time until it ends by itself, if it does.
    pub holds: Vec<(Hold, Option<Duration>)>,
    /// When to plan again, even if nothing changes.
    pub wake: Option<Timestamp>,
}

/// Chooses what to do next, given what is committed, what was heard, and the time.
#[must_use]
pub fn plan(fleet: &Fleet, sightings: &Sightings, now: Timestamp) -> Plan {
    let mut plan = Plan { wake: sightings.next_silence(fleet, now), ..Plan::default() };
    let silent: BTreeSet<HostId> = sightings.silent(fleet, now);
    for host in &silent {
        let known = fleet.hosts.get(host).into_iter().flat_map(|host| host.services.values());
        if known.into_iter().any(|here| here.availability != Availability::Unknown) {
            plan.acts.push(Act::Silent { host: host.clone() });
        }
    }
    if let Some(level) = fleet.present().map(|(_, host)| host.level.min(SUPPORTED_LEVEL)).min()
        && fleet.level < level
    {
        plan.acts.push(Act::RaiseLevel { level });
    }
    for (name, service) in &fleet.services {
        let mut desk = Desk::new(fleet, name, service, sightings, &silent, now);
        desk.decide();
        plan.wake = earliest(plan.wake, desk.wake);
        plan.holds.append(&mut desk.holds);
        if !desk.steps.is_empty() {
            plan.acts.push(Act::Plan {
                service: name.clone(),
                planned_at: service.changed,
                steps: desk.steps,
            });
        }
    }
    plan
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

/// The planning of one service.
struct Desk<'a> {
    fleet: &'a Fleet,
    name: &'a ServiceName,
    service: &'a Service,
    sightings: &'a Sightings,
    silent: &'a BTreeSet<HostId>,
    now: Timestamp,
    room: Room,
    steps: Vec<Step>,
    holds: Vec<(Hold, Option<Duration>)>,
    /// The same, to be found at once: a large fleet has many.
    told: BTreeSet<Hold>,
    wake: Option<Timestamp>,
}

impl<'a> Desk<'a> {
    fn new(
        fleet: &'a Fleet,
        name: &'a ServiceName,
        service: &'a Service,
        sightings: &'a Sightings,
        silent: &'a BTreeSet<HostId>,
        now: Timestamp,
    ) -> Self {
        let room = Room::new(fleet, name, service);
        Self {
            fleet,
            name,
            service,
            sightings,
            silent,
            now,
            room,
            steps: Vec::new(),
            holds: Vec::new(),
            told: BTreeSet::new(),
            wake: None,
        }
    }

    fn decide(&mut self) {
        self.learning();
        if let Some(active) = self.service.active() {
            self.checkpoint(active);
            self.advance(active);
        }
        if let Some(next) = self.service.next() {
            self.checkpoint(next);
            self.advance_next(next);
        }
        self.maintain();
        self.join();
        self.changing(self.service.active());
    }

    fn advance(&mut self, rollout: &Rollout) {
        if let Some(by) = &rollout.paused {
            self.hold(Some(rollout), Why::Paused { by: by.name.clone() });
            return;
        }
        match &rollout.phase {
            RolloutPhase::Staging => self.stage(rollout, true),
            RolloutPhase::Migrating => self.migrate(rollout),
            RolloutPhase::Rolling => self.roll(rollout),
            RolloutPhase::Halted { why, .. } => {
                if !self.unknown_migration(rollout) {
                    let hold = Hold::of_halt(self.name, self.service, rollout, why);
                    self.hold(Some(rollout), hold.why);
                }
            }
            RolloutPhase::Queued | RolloutPhase::RollingBack { .. } | RolloutPhase::Ended { .. } => (),
        }
    }

    fn advance_next(&mut self, next: &Rollout) {
        let behind = self.service.active.unwrap_or(next.id);
        let may = self.service.may_be_superseded();
        let paused = self.service.active().and_then(|active| active.paused.as_ref());
        match paused {
            _ if !may => self.hold(Some(next), Why::Queued { behind }),
            Some(by) => self.hold(Some(next), Why::Paused { by: by.name.clone() }),
            None => (),
        }
        match &next.phase {
            RolloutPhase::Staging => self.stage(next, may && paused.is_none()),
            RolloutPhase::Halted { why, .. } => {
                let hold = Hold::of_halt(self.name, self.service, next, why);
                self.hold(Some(next), hold.why);
            }
            _ => (),
        }
    }

    fn hold(&mut self, rollout: Option<&Rollout>, why: Why) {
        self.hold_until(rollout, why, None);
    }

    fn hold_until(&mut self, rollout: Option<&Rollout>, why: Why, ends_in: Option<Duration>) {
        let hold = Hold::of(self.name, self.service, rollout, why);
        if !self.told.insert(hold.clone()) {
            return;
        }
        if let Some(ends_in) = ends_in.filter(|ends_in| !ends_in.is_zero()) {
            self.wake_in(ends_in);
        }
        self.holds.push((hold, ends_in));
    }

    fn wake_in(&mut self, after: Duration) {
        self.wake = earliest(self.wake, Some(self.now + after.max(Duration::from_millis(1))));
    }

    /// A new leader waits one interval before it calls anyone silent.
    fn learning(&mut self) {
        let mut members = self.fleet.declaring(self.name).map(|(host, _)| host);
        let open = self.service.active.is_some();
        if open && members.any(|host| !self.sightings.heard(host)) && self.sightings.is_learning(self.now) {
            self.hold_until(None, Why::LeaderLearning, Some(self.sightings.learning_ends_in(self.now)));
        }
    }

    /// Commits from time to time how long a wait has lasted, so that the next leader goes on from there.
    fn checkpoint(&mut self, rollout: &Rollout) {
        const INTERVAL: Duration = Duration::from_secs(10);
        for timer in timers(rollout) {
            let elapsed = self.sightings.elapsed(rollout.id, timer, self.now);
            let untold = elapsed.saturating_sub(rollout.elapsed(timer));
            if rollout.paused.is_some() {
                continue;
            }
            if INTERVAL <= untold {
                let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
                self.steps.push(Step::Elapsed { rollout: rollout.id, timer, elapsed_ms });
            } else {
                self.wake_in(INTERVAL - untold);
            }
        }
    }

    fn here(&self, host: &HostId) -> Option<&'a HostService> {
        let record = self.fleet.hosts.get(host).filter(|record| record.departed.is_none())?;
        record.services.get(self.name)
    }

    fn is_silent(&self, host: &HostId) -> bool {
        self.silent.contains(host)
    }

    fn is_staged(&self, host: &HostId, release: &Release) -> bool {
        self.here(host).is_some_and(|here| here.staged.contains(&release.id))
    }

    fn stage_trouble(&self, host: &HostId, release: &Release) -> Option<String> {
        self.here(host)?.stage_trouble.get(&release.id).cloned()
    }

    /// Why a host that has a slot is not done.
    fn why_changing(&self, host: &HostId, here: &HostService) -> Why {
        let host = host.clone();
        if self.is_silent(&host) {
            return Why::HostSilent { host, holds_slot: true };
        }
        if here.change.as_ref().is_some_and(|change| change.phase == PhaseKind::Stuck) {
            return Why::HostStuck { host, reason: here.out_reason.clone().unwrap_or_default() };
        }
        let phase = here.change.as_ref().map_or(PhaseKind::Steady, |change| change.phase);
        Why::Changing { host, phase }
    }

    /// Names every host that is in the middle of a change.
    fn changing(&mut self, rollout: Option<&Rollout>) {
        for (host, here) in self.fleet.declaring(self.name) {
            let rests = |phase| phase == PhaseKind::Parked && here.parked.is_some();
            if here.change.as_ref().is_some_and(|change| !rests(change.phase)) {
                let why = self.why_changing(host, here);
                self.hold(rollout, why);
            }
        }
    }
}

/// The leader's waits in this phase of a rollout.
fn timers(rollout: &Rollout) -> Vec<Timer> {
    match rollout.phase {
        RolloutPhase::Staging => vec![Timer::Staging],
        RolloutPhase::Rolling if !rollout.wave_soaked && rolling::wave_is_done(rollout) => {
            vec![Timer::WaveSoak(rollout.waves.saturating_sub(1))]
        }
        _ => Vec::new(),
    }
}
