//! What a push would do, played ahead and changed nowhere.
//!
//! Promise: what is shown comes from the shipped [`Fleet::apply`] and the shipped [`plan`], on a copy of the fleet, so it cannot drift
//! from what is done. Only the hosts are imagined: whoever is heard fetches, migrates and changes at once, and nothing fails.
//! Absent on purpose: guesses of how long things take, and of what will go wrong.

mod ahead;
mod ideal;
mod words;

use std::{collections::BTreeSet, time::Duration};

pub use self::ahead::{Ahead, End, Going, MigrationAhead, Start, Turn, Wave};
use super::{Hold, Sightings, Why, plan};
use crate::{
    HostId, Policy, Release, Revision, RolloutId, ServiceName, Timestamp,
    fleet::{
        Act, Availability, Command, EventKind, Fleet, MigrationState, Operator, PartState, PhaseKind,
        Purpose, Refusal, Reply, Request, Rollout, Service, Step,
    },
    time::WallTime,
};

/// Looks at hosts before a preview is cut short: a second or two of work, and more than any fleet needs that rolls in a day.
const LOOKS_LIMIT: usize = 6_000_000;

/// What a push would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// How it would go.
    pub ahead: Ahead,
    /// What stands against it, in the order it is met, with the time until it ends by itself, if it does.
    pub holds: Vec<(Hold, Option<Duration>)>,
}

/// Says what pushing `release` to `service` would do now. The copy that it is played on is all that is changed.
///
/// # Errors
/// The push would be rejected, for this reason.
pub fn preview(
    fleet: &Fleet,
    sightings: &Sightings,
    now: Timestamp,
    service: &ServiceName,
    release: &Release,
    policy: Option<&Policy>,
) -> Result<Preview, Refusal> {
    let push = Push { service, release, policy };
    within(LOOKS_LIMIT, fleet, sightings, now, push)
}

/// What is asked about.
#[derive(Clone, Copy)]
pub(super) struct Push<'a> {
    pub(super) service: &'a ServiceName,
    pub(super) release: &'a Release,
    pub(super) policy: Option<&'a Policy>,
}

/// The same, with so many looks at hosts.
pub(super) fn within(
    looks: usize,
    fleet: &Fleet,
    sightings: &Sightings,
    now: Timestamp,
    push: Push<'_>,
) -> Result<Preview, Refusal> {
    let Push { service, release, policy } = push;
    let mut stage = Stage {
        fleet: fleet.clone(),
        sightings: sightings.clone(),
        now,
        service,
        silent: sightings.silent(fleet, now),
        sequence: 0,
    };
    let request =
        Request::Push { release: release.clone(), policy: policy.cloned(), provenance: Default::default() };
    let ask = Act::Ask { service: service.clone(), by: Operator::default(), request };
    let (rollout, accepted) = match stage.apply(ask) {
        Reply::Accepted(rollout) => (rollout, true),
        Reply::Joined(rollout) => (rollout, false),
        Reply::Refused(refusal) => return Err(refusal),
        Reply::Done | Reply::Planned(_) => return Err(Refusal::NotNow("a push was not answered".into())),
    };
    let start = start(&fleet.services[service], &stage.fleet.services[service], rollout, accepted);
    let replaces = fleet.services[service].next.filter(|next| accepted && *next != rollout);
    let ahead = stage.before(release, rollout, start, replaces);
    let mut played = Played { stage, rollout, looks, preview: Preview { ahead, holds: Vec::new() } };
    played.learning(sightings);
    played.preview.ahead.end = played.run();
    Ok(played.done(accepted))
}

fn start(before: &Service, after: &Service, rollout: RolloutId, accepted: bool) -> Start {
    match before.active {
        _ if !accepted => Start::Joins { rollout },
        None => Start::Now,
        Some(active) if after.may_be_superseded() => Start::Supersedes { rollout: active },
        Some(active) => Start::Waits { rollout: active },
    }
}

/// The copy that the push is played on.
struct Stage<'a> {
    fleet: Fleet,
    sightings: Sightings,
    now: Timestamp,
    service: &'a ServiceName,
    /// Who is silent now stays silent.
    silent: BTreeSet<HostId>,
    sequence: u64,
}

impl Stage<'_> {
    fn apply(&mut self, act: Act) -> Reply {
        self.sequence += 1;
        let (proposer, sequence, at) = ("preview".to_owned(), self.sequence, WallTime::default());
        let revision = Revision(self.fleet.revision.0 + 1);
        self.fleet.apply(revision, &Command { proposer, sequence, at, act })
    }

    fn service(&self) -> &Service {
        &self.fleet.services[self.service]
    }

    fn rollout(&self, id: RolloutId) -> Option<&Rollout> {
        self.service().rollouts.get(&id).map(|rollout| &**rollout)
    }

    /// What is known before anything moves.
    fn before(
        &self,
        release: &Release,
        rollout: RolloutId,
        start: Start,
        replaces: Option<RolloutId>,
    ) -> Ahead {
        let service = self.service();
        let parts = self.rollout(rollout).map(|rollout| &rollout.parts);
        let part = |host: &HostId| parts.and_then(|parts| parts.get(host)).map(|part| part.state);
        let takes_part = |host: &HostId| part(host).is_some_and(|part| part != PartState::Dropped);
        let open = |host: &HostId| part(host).is_some_and(|part| part != PartState::Changed);
        let here = || self.fleet.declaring(self.service);
        let to_fetch = here().filter(|(host, here)| takes_part(host) && !here.staged.contains(&release.id));
        let busy = here().filter_map(|(host, here)| Some((host.clone(), here.change.as_ref()?.phase)));
        let over = self.rollout(rollout).is_some_and(|rollout| rollout.outcome().is_some());
        let migrated = here().filter(|(host, _)| open(host) && !over);
        let mut states = migrated.map(|(host, _)| service.migration(release, host));
        let out = here().filter(|(_, here)| here.sums() && here.is_out());
        let there = here().filter(|(host, here)| {
            part(host) == Some(PartState::Changed) && here.current_id() == Some(&release.id)
        });
        Ahead {
            service: self.service.clone(),
            release: release.clone(),
            start,
            replaces,
            max_unavailable: service.policy.max_unavailable.get(),
            out: out.map(|(host, here)| (host.clone(), super::room::why_out(here))).collect(),
            busy: busy.collect(),
            there: there.map(|(host, _)| host.clone()).collect(),
            fetch: to_fetch.filter(|_| !over).map(|(host, _)| host.clone()).collect(),
            migration: match release.migrates {
                false => MigrationAhead::NotNeeded,
                true if states.all(|state| state == MigrationState::Succeeded) => MigrationAhead::Done,
                true => MigrationAhead::NotReached,
            },
            waves: Vec::new(),
            left_out: Vec::new(),
            end: End::Held,
        }
    }
}

/// The play, with what was seen of it.
struct Played<'a> {
    stage: Stage<'a>,
    rollout: RolloutId,
    /// Looks at hosts that are left.
    looks: usize,
    preview: Preview,
}

impl Played<'_> {
    /// A leader that is new does not know yet who is silent; what is shown takes everybody for heard.
    fn learning(&mut self, sightings: &Sightings) {
        let stage = &self.stage;
        let mut members = stage.fleet.declaring(stage.service);
        if sightings.is_learning(stage.now) && members.any(|(host, _)| !sightings.heard(host)) {
            let hold = Hold {
                service: stage.service.clone(),
                rollout: None,
                abortable: false,
                why: Why::LeaderLearning,
            };
            self.preview.holds.push((hold, Some(sightings.learning_ends_in(stage.now))));
        }
    }

    fn run(&mut self) -> End {
        loop {
            if let Some(outcome) = self.stage.rollout(self.rollout).and_then(Rollout::outcome) {
                return End::Over(outcome.clone());
            }
            let Some(looks) = self.looks.checked_sub(self.stage.fleet.hosts.len() + 1) else {
                return End::Cut;
            };
            self.looks = looks;
            if self.stage.fetch() {
                continue;
            }
            self.stage.hear();
            let plan = plan(&self.stage.fleet, &self.stage.sightings, self.stage.now);
            if self.carry_out(plan.acts) || self.stage.migrate() || self.turn() {
                continue;
            }
            match self.wait(plan.holds) {
                Some(time) => self.stage.now = self.stage.now + time,
                None => return End::Held,
            }
        }
    }

    /// Applies what was planned for the service. Returns whether anything of it was accepted.
    fn carry_out(&mut self, acts: Vec<Act>) -> bool {
        let mut moved = false;
        for act in acts {
            let grants = match &act {
                Act::Plan { service, steps, .. } if service == self.stage.service => migrations(steps),
                Act::Silent { .. } | Act::RaiseLevel { .. } => Vec::new(),
                _ => continue,
            };
            match self.stage.apply(act) {
                Reply::Planned(results) => moved |= results.iter().any(Result::is_ok),
                Reply::Done => moved = true,
                Reply::Accepted(_) | Reply::Joined(_) | Reply::Refused(_) => (),
            }
            self.note_migrations(&grants);
            self.note_waves();
        }
        moved
    }

    fn note_migrations(&mut self, grants: &[HostId]) {
        let lock = self.stage.service().migration_lock.as_ref();
        let Some(lock) = lock.filter(|lock| lock.release.id == self.preview.ahead.release.id) else { return };
        if !grants.contains(&lock.host) {
            return;
        }
        let per = self.stage.service().policy.migrate;
        let host = lock.host.clone();
        match &mut self.preview.ahead.migration {
            MigrationAhead::Runs { hosts, .. } => hosts.push(host),
            other => *other = MigrationAhead::Runs { per, hosts: vec![host] },
        }
    }

    fn note_waves(&mut self) {
        let Some(last) = self.stage.fleet.events.back().map(|event| event.revision) else { return };
        let news = self.stage.fleet.events.iter().rev().take_while(|event| event.revision == last);
        let ours = news.filter(|event| event.rollout == Some(self.rollout));
        let begun = ours.filter_map(|event| match &event.kind {
            EventKind::WaveStarted { wave, .. } => Some(*wave),
            _ => None,
        });
        let begun: Vec<u32> = begun.collect();
        for number in begun {
            self.wave(number);
        }
    }

    /// Hosts whose wave has begun, and who got no slot.
    fn note_waiting(&mut self) {
        let Some(rollout) = self.stage.rollout(self.rollout) else { return };
        let waiting = rollout.parts.iter().filter(|(_, part)| part.state == PartState::Pending);
        let waiting: Vec<_> = waiting.filter_map(|(host, part)| Some((part.wave?, host.clone()))).collect();
        for (number, host) in waiting {
            self.wave(number).waiting.push(host);
        }
    }

    /// The wave of this number, written down when it is met first.
    fn wave(&mut self, number: u32) -> &mut Wave {
        // A canary wave that nobody has come through is one again; ideal hosts come through.
        let canary = number == 0 && self.stage.rollout(self.rollout).is_some_and(Rollout::has_canary);
        let waves = &mut self.preview.ahead.waves;
        let at = waves.iter().position(|wave| wave.number == number).unwrap_or_else(|| {
            waves.push(Wave { number, canary, ..Wave::default() });
            waves.len() - 1
        });
        &mut waves[at]
    }

    /// Everybody with a slot is done at the same time. Returns whether there was anybody.
    fn turn(&mut self) -> bool {
        let ours = Purpose::Rollout(self.rollout);
        let stage = &self.stage;
        let out = stage.fleet.declaring(stage.service).filter(|(_, here)| here.sums() && here.is_out());
        let out = u32::try_from(out.count()).unwrap_or(u32::MAX);
        let going = stage.fleet.declaring(stage.service).filter_map(|(host, here)| {
            let change = here.change.as_ref().filter(|change| change.purpose == ours)?;
            let serves = here.availability == Availability::In;
            let sick = here.sums() && !serves && change.phase == PhaseKind::Granted;
            let goes = !stage.silent.contains(host) && ideal::goes_on(here);
            goes.then(|| (serves, Going { host: host.clone(), sick }))
        });
        let mut going: Vec<(bool, Going)> = going.collect();
        // The planner's order: whoever is out goes first.
        going.sort_by_key(|(serves, going)| (*serves, going.host.clone()));
        let going: Vec<Going> = going.into_iter().map(|(_, going)| going).collect();
        let part = going.first().and_then(|first| stage.rollout(self.rollout)?.parts.get(&first.host));
        let wave = part.and_then(|part| part.wave);
        if let Some(wave) = wave {
            self.wave(wave).turns.push(Turn { hosts: going, out });
        }
        self.stage.change()
    }

    /// Nothing moves: writes down why, and says when something would by itself.
    fn wait(&mut self, holds: Vec<(Hold, Option<Duration>)>) -> Option<Duration> {
        let ours = holds.into_iter().filter(|(hold, _)| hold.service == *self.stage.service);
        let mut next: Option<Duration> = None;
        for (hold, ends_in) in ours {
            let left = ends_in.filter(|left| !left.is_zero());
            next = next.into_iter().chain(left).min();
            match hold.why {
                Why::WaveSoak { wave } if hold.rollout == Some(self.rollout) => {
                    self.wave(wave).soak = left.unwrap_or_default();
                }
                _ if self.preview.holds.iter().any(|(other, _)| other.why == hold.why) => (),
                _ => self.preview.holds.push((hold, left)),
            }
        }
        next
    }

    fn done(mut self, accepted: bool) -> Preview {
        self.preview.ahead.left_out = self.left_out();
        self.note_waiting();
        for (hold, _) in &mut self.preview.holds {
            // It has no number yet.
            hold.rollout = hold.rollout.filter(|rollout| !accepted || *rollout != self.rollout);
            hold.abortable &= hold.rollout.is_some();
        }
        self.preview
    }
}

/// The hosts that a plan gives the migration lock to.
fn migrations(steps: &[Step]) -> Vec<HostId> {
    let granted = steps.iter().filter_map(|step| match step {
        Step::GrantMigration { host, .. } => Some(host.clone()),
        _ => None,
    });
    granted.collect()
}
