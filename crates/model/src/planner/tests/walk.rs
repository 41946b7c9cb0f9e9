//! Random walks: hosts that fail and fall silent, operators who ask for anything, commands that come late and twice, leaders that
//! change. The laws hold after every entry; when the faults end, every rollout does.

use std::time::Duration;

use super::{actor::Actor, laws::Before, play::Play, script::release};
use crate::{
    HostId, Revision, ServiceName, Timestamp,
    fleet::{
        Act, Command, Fleet, Halt, Halting, Operator, Reply, Report, Request, Rollout, RolloutPhase, Verdict,
    },
    planner::{
        plan,
        preview::{End, preview},
    },
    time::WallTime,
};

const SEEDS: u64 = 200;
const STEPS: u32 = 600;

/// Numbers that look drawn.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    pub(super) fn one_in(&mut self, number: u64) -> bool {
        self.below(number) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[usize::try_from(self.below(items.len() as u64)).unwrap()]
    }
}

/// A command on its way, and who waits for the answer.
struct Letter {
    due: Timestamp,
    command: Command,
    reporter: Option<(HostId, Report)>,
}

pub(super) struct Walk {
    pub(super) play: Play,
    pub(super) web: ServiceName,
    log: Vec<Command>,
    letters: Vec<Letter>,
    pub(super) chance: Chance,
    sequence: u64,
    hosts_ever: u64,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut walk = Self {
            play: Play::new(),
            web: "web".parse().unwrap(),
            log: Vec::new(),
            letters: Vec::new(),
            chance: Chance(seed),
            sequence: 0,
            hosts_ever: 0,
        };
        for _ in 0..=walk.chance.below(4) {
            walk.join();
        }
        walk
    }

    fn command(&mut self, act: Act) -> Command {
        self.sequence += 1;
        Command { proposer: "walk".into(), sequence: self.sequence, at: WallTime(0), act }
    }

    fn apply(&mut self, command: &Command) -> Reply {
        let before = Before::of(&self.play.fleet, &self.web);
        let revision = Revision(self.play.fleet.revision.0 + 1);
        let reply = self.play.fleet.apply(revision, command);
        self.log.push(command.clone());
        if let Err(broken) = before.check(&self.play.fleet, &self.web, &command.act) {
            panic!("{broken}\nafter {:?}\nwhich was answered with {reply:?}", command.act);
        }
        reply
    }

    pub(super) fn act(&mut self, act: Act) -> Reply {
        let command = self.command(act);
        self.apply(&command)
    }

    pub(super) fn ask(&mut self, request: Request) {
        let by = Operator { name: "ann".into(), reason: "because".into() };
        let service = self.web.clone();
        self.act(Act::Ask { service, by, request });
    }

    pub(super) fn join(&mut self) {
        self.hosts_ever += 1;
        let host: HostId = format!("h{}", self.hosts_ever).parse().unwrap();
        // Through the same door as everybody: the laws look at it too.
        let mut probe = Play::new();
        probe.joins(&host, std::slice::from_ref(&self.web), 80);
        let record = &probe.fleet.hosts[&host];
        let enrolment = crate::fleet::Enrolment {
            host: host.clone(),
            state: record.state.clone(),
            address: record.address,
            zone: None,
            declares: [(self.web.clone(), record.services[&self.web].declaration.clone())].into(),
            level: record.level,
            obeyed: None,
            migrated: Default::default(),
            migrated_before: Default::default(),
        };
        assert_eq!(self.act(Act::Enrol(enrolment)), Reply::Done);
        self.play.actors.push(Actor::new(host, self.web.clone()));
    }

    /// Some time passes; something goes wrong, somebody asks for something, and everybody goes on.
    fn step(&mut self) {
        self.play.now = self.play.now + Duration::from_millis(self.chance.below(3000));
        if self.chance.one_in(6) {
            self.something_happens();
        }
        if self.chance.one_in(12) {
            self.somebody_asks();
        }
        if self.chance.one_in(4) {
            self.a_mad_leader_plans();
        }
        self.deliver();
        self.hosts_speak();
        self.leader_plans();
        if self.chance.one_in(40) {
            self.somebody_previews();
        }
    }

    /// A preview comes to an end, says why where it waits, and never shows more hosts out than may be for hosts that serve.
    fn somebody_previews(&mut self) {
        let name = *self.chance.pick(&["r1", "r2", "m3", "m4"]);
        let Play { fleet, sightings, now, .. } = &self.play;
        let before = fleet.clone();
        let Ok(shown) = preview(fleet, sightings, *now, &self.web, &release(name), None) else { return };
        assert!(before == *fleet, "a preview changes nothing");
        assert!(shown.ahead.end != End::Cut, "a preview of a small fleet is cut short: {shown:?}");
        assert!(
            shown.ahead.end != End::Held || !shown.holds.is_empty(),
            "P10: it is held without a reason: {shown:?}"
        );
        for turn in shown.ahead.waves.iter().flat_map(|wave| &wave.turns) {
            assert!(!turn.hosts.is_empty(), "{shown:?}");
        }
    }

    fn hosts_speak(&mut self) {
        let now = self.play.now;
        for at in 0..self.play.actors.len() {
            self.play.actors[at].tick(now);
            let host = self.play.actors[at].host.clone();
            if self.play.silent.contains(&host) {
                continue;
            }
            self.play.sightings.hear(&host, now);
            let Some(view) = self.play.fleet.assignment(&host).services.remove(&self.web) else { continue };
            self.play.actors[at].see(view, now);
            let Some(report) = self.play.actors[at].speak(now) else { continue };
            let act = Act::Report { host: host.clone(), service: self.web.clone(), report: report.clone() };
            let command = self.command(act);
            if self.chance.one_in(8) {
                let due = now + Duration::from_millis(self.chance.below(20_000));
                self.letters.push(Letter { due, command: command.clone(), reporter: None });
            }
            let late = if self.chance.one_in(4) { self.chance.below(6000) } else { 0 };
            let due = now + Duration::from_millis(late);
            self.letters.push(Letter { due, command, reporter: Some((host, report)) });
        }
        self.deliver();
    }

    /// What is due arrives, in any order.
    fn deliver(&mut self) {
        loop {
            let due = self.letters.iter().enumerate().filter(|(_, letter)| letter.due <= self.play.now);
            let due: Vec<usize> = due.map(|(at, _)| at).collect();
            if due.is_empty() {
                return;
            }
            let at = *self.chance.pick(&due);
            let letter = self.letters.swap_remove(at);
            let reply = self.apply(&letter.command);
            if let Some((host, report)) = letter.reporter {
                let now = self.play.now;
                for actor in self.play.actors_of(&host) {
                    actor.hear(&report, &reply, now);
                }
            }
        }
    }

    fn leader_plans(&mut self) {
        let now = self.play.now;
        self.play.sightings.observe(&self.play.fleet, now);
        let plan = plan(&self.play.fleet, &self.play.sightings, now);
        let waits = self.play.fleet.services[&self.web].active.is_some();
        let why = &self.play.fleet.services[&self.web];
        assert!(
            !waits || !plan.acts.is_empty() || !plan.holds.is_empty(),
            "P10: it waits without a reason: {:?}",
            why.active()
        );
        for (number, act) in plan.acts.into_iter().enumerate() {
            let command = self.command(act);
            if self.chance.one_in(5) {
                let due = now + Duration::from_millis(self.chance.below(30_000));
                self.letters.push(Letter { due, command, reporter: None });
                continue;
            }
            let reply = self.apply(&command);
            let first_step = match &reply {
                Reply::Planned(results) => results[0].clone(),
                Reply::Refused(refusal) => Err(refusal.clone()),
                _ => Ok(()),
            };
            if let (0, Err(refusal)) = (number, first_step) {
                panic!("the planner and the fleet disagree: {refusal}\nabout {:?}", command.act);
            }
        }
    }

    /// The faults end, and an operator does what the holds ask for.
    fn heal(&mut self) {
        self.play.silent.clear();
        for actor in &mut self.play.actors {
            actor.traits = Default::default();
            actor.recovers_if_steady();
        }
        if self.play.actors.is_empty() {
            self.join();
        }
        self.play.now = self.play.now + Duration::from_secs(60);
        self.deliver();
    }

    fn tidies_up(&mut self) {
        let service = &self.play.fleet.services[&self.web];
        let open = [service.active(), service.next()].into_iter().flatten();
        let mut requests = Vec::new();
        for rollout in open {
            match &rollout.phase {
                RolloutPhase::Halted { why: Halt::MigrationUnknown { .. }, .. } => {
                    let release = rollout.target.as_ref().unwrap().id.clone();
                    requests.push(Request::ResolveMigration { release, verdict: Verdict::Succeeded });
                }
                RolloutPhase::Halted { during: Halting::Rolling, .. } => {
                    requests.push(Request::Abort { leave: false });
                }
                RolloutPhase::Halted { .. } => requests.push(Request::Resume),
                _ if rollout.paused.is_some() => requests.push(Request::Resume),
                _ => (),
            }
            if let Some(target) = &rollout.target {
                let (release, verdict) = (target.id.clone(), Verdict::Retry);
                requests.push(Request::ResolveMigration { release, verdict });
            }
        }
        if let Some(last) = service.last_completed() {
            for verdict in [Verdict::Succeeded, Verdict::Retry] {
                requests.push(Request::ResolveMigration { release: last.id.clone(), verdict });
            }
        }
        for (host, here) in self.play.fleet.declaring(&self.web) {
            if here.parked.is_some() {
                requests.push(Request::Admit { host: host.clone() });
            }
            if here.excluded.is_some() {
                requests.push(Request::Include { host: host.clone() });
            }
        }
        requests.into_iter().for_each(|request| self.ask(request));
    }

    /// Every rollout ends, and every host is where it should be.
    fn settles(&mut self) {
        let until = self.play.now + Duration::from_secs(4 * 3600);
        let mut idle = false;
        while self.play.now < until && !idle {
            self.tidies_up();
            let soon = self.play.now + Duration::from_secs(120);
            while self.play.step(soon) {}
            idle = self.is_settled();
        }
        let service = &self.play.fleet.services[&self.web];
        let holds: Vec<String> = self.play.holds.iter().map(|(hold, _)| hold.why.to_string()).collect();
        let each = |rollout: &std::sync::Arc<Rollout>| {
            let target = rollout.target.as_ref().map(|release| release.id.as_str());
            format!(
                "{} {:?} to {target:?}: {:?}, {:?}",
                rollout.id, rollout.kind, rollout.phase, rollout.parts
            )
        };
        let rollouts: Vec<String> = service.rollouts.values().map(each).collect();
        assert!(idle, "it has not settled: {holds:#?}\n{rollouts:#?}\n{:#?}", hosts(&self.play.fleet));
    }

    fn is_settled(&self) -> bool {
        let service = &self.play.fleet.services[&self.web];
        let wanted = service.last_completed();
        service.active.is_none()
            && self.play.fleet.declaring(&self.web).all(|(_, here)| {
                let failed = here.failed.as_ref().map(|(release, _)| release);
                // Where nothing has completed, what an exclusion or a failed roll back left running stays.
                let there = wanted.is_none()
                    || here.current.as_ref() == wanted
                    || (wanted.is_some() && failed == wanted.map(|wanted| &wanted.id))
                    || service.mixed;
                here.change.is_none() && there
            })
    }

    /// The same log gives the same state, also through a snapshot.
    fn replays(&self) {
        let mut fleet = Fleet::default();
        for (at, command) in self.log.iter().enumerate() {
            fleet.apply(Revision(at as u64 + 1), command);
            if at == self.log.len() / 2 {
                let text = serde_json::to_string(&fleet).unwrap();
                fleet = serde_json::from_str(&text).unwrap();
            }
        }
        assert!(fleet == self.play.fleet, "the log replayed gives another state");
    }
}

fn hosts(fleet: &Fleet) -> Vec<String> {
    let each = |(host, record): (&HostId, &crate::fleet::Host)| format!("{host}: {:?}", record.services);
    fleet.present().map(each).collect()
}

fn walks(seed: u64) {
    let mut walk = Walk::new(seed);
    for _ in 0..STEPS {
        walk.step();
    }
    walk.replays();
    walk.heal();
    walk.settles();
}

#[test]
fn the_laws_hold_on_every_walk() {
    let only = std::env::var("WALK_SEED").ok().map(|seed| seed.parse().expect("WALK_SEED is a number"));
    let seeds = only.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    let mut broken = Vec::new();
    for seed in seeds {
        if let Err(cause) = std::panic::catch_unwind(|| walks(seed)) {
            let text = cause.downcast_ref::<String>().cloned();
            let text = text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            broken.push(format!("WALK_SEED={seed}: {}", text.unwrap_or_default()));
        }
    }
    assert!(broken.is_empty(), "{} walks failed, the first with {}", broken.len(), broken[0]);
}
