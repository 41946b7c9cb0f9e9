//! The host machine, the real fleet machine and the planner together: no report of a host is refused in an ordinary run.

use std::collections::BTreeMap;

use super::{
    process::{Behaviour, GOOD},
    *,
};
use crate::{
    HostId, ServiceName,
    fleet::{
        Fleet,
        command::{Act, Command, Enrolment, Operator, Reply, Report, Request},
        host::Declaration,
    },
    host::{Answer, Event, ExitSeen, ReportId},
    planner::{self, Sightings},
    time::WallTime,
};

/// A fleet of one host, and the leader's memory.
pub(super) struct Real {
    fleet: Fleet,
    sightings: Sightings,
    sequence: u64,
    refusals: Vec<String>,
}

fn h1() -> HostId {
    "h1".parse().unwrap()
}

fn web() -> ServiceName {
    "web".parse().unwrap()
}

impl Real {
    fn apply(&mut self, act: Act) -> Reply {
        self.sequence += 1;
        let command = Command { proposer: "h1.x".into(), sequence: self.sequence, at: WallTime(0), act };
        self.fleet.apply(Revision(self.sequence), &command)
    }
}

impl World {
    pub(super) fn propose_in_earnest(&mut self, id: ReportId, report: Report) {
        let Some(real) = &mut self.fleet else { return };
        let reply = real.apply(Act::Report { host: h1(), service: web(), report: report.clone() });
        let answer = match reply {
            Reply::Refused(refusal) => {
                real.refusals.push(format!("{report:?}: {refusal}"));
                Answer::Refused(refusal.to_string())
            }
            _ => Answer::Accepted,
        };
        self.reports.push(report);
        self.plan();
        self.later(10, Event::ReportAnswered { id, answer, took: Duration::from_millis(10) });
    }

    /// Lets the planner go on, and tells the host.
    fn plan(&mut self) {
        let Some(real) = &mut self.fleet else { return };
        for _ in 0..20 {
            real.sightings.hear(&h1(), self.now);
            real.sightings.observe(&real.fleet, self.now);
            let plan = planner::plan(&real.fleet, &real.sightings, self.now);
            if plan.acts.is_empty() {
                break;
            }
            for act in plan.acts {
                real.apply(act);
            }
        }
        if let Some(assignment) = real.fleet.assignment(&h1()).services.remove(&web()) {
            self.assignment = assignment;
            self.assign();
        }
    }

    fn ask(&mut self, request: Request) -> Reply {
        let by = Operator { name: "test".into(), reason: "test".into() };
        let reply =
            self.fleet.as_mut().map(|real| real.apply(Act::Ask { service: web(), by, request })).unwrap();
        self.plan();
        reply
    }

    /// Pushes the release, and lets its migration and the rollout end.
    fn push(&mut self, id: &str) {
        let reply =
            self.ask(Request::Push { release: release(id), policy: None, provenance: Default::default() });
        assert!(matches!(reply, Reply::Accepted(_)), "{reply:?}");
        let migrate = format!("migrate {id}");
        assert!(self.run_until(secs(10), |world| world.acts.contains(&migrate)), "{:?}", self.acts);
        self.run(secs(2));
        self.end_migration(ExitSeen::Code(0));
        for _ in 0..200 {
            self.run(secs(1));
            self.plan();
        }
        let active = self.fleet.as_ref().and_then(|real| real.fleet.services[&web()].active().cloned());
        assert_eq!(active, None, "{:?}", self.host.sighting(self.now));
    }

    fn refusals(&self) -> &[String] {
        self.fleet.as_ref().map_or(&[], |real| &real.refusals)
    }
}

fn together(setup: Setup) -> World {
    let mut world = World::new(setup, Ledger::default(), nothing(None));
    world.now = crate::Timestamp(1_000_000);
    let sightings = Sightings::new(secs(3_600), world.now);
    let mut real = Real { fleet: Fleet::default(), sightings, sequence: 0, refusals: vec![] };
    let declares = BTreeMap::from([(
        web(),
        Declaration { port: 80, probe: None, balancer: Some("web".into()), channel: None },
    )]);
    let enrolment = Enrolment {
        host: h1(),
        state: "s1".into(),
        address: "127.0.0.1:7000".parse().unwrap(),
        zone: None,
        declares,
        level: 1,
        obeyed: None,
        migrated: Default::default(),
        migrated_before: Default::default(),
    };
    let reply = real.apply(Act::Enrol(enrolment));
    assert_eq!(reply, Reply::Done);
    world.fleet = Some(Box::new(real));
    world.boot();
    world.run(secs(1));
    world
}

#[test]
fn releases_follow_each_other() {
    for setup in [HEADFUL, HEADLESS, BARE] {
        let mut world = together(setup);
        world.push("a");
        assert_eq!(world.running(), Some("a"), "{setup:?}");
        world.push("b");
        assert_eq!(world.running(), Some("b"), "{setup:?}");
        assert_eq!(world.refusals(), [""; 0], "{setup:?}");
        assert_eq!(world.assignment.current, Some(release("b")));
        assert_eq!(world.assignment.availability, Availability::In);
    }
}

#[test]
fn a_release_that_fails_is_taken_back_and_the_fleet_agrees_on_what_runs() {
    for behaviour in [
        Behaviour { in_service: None, ..GOOD },
        Behaviour { healthy: None, ..GOOD },
        Behaviour { exits: Some((Duration::from_millis(100), 3)), ..GOOD },
    ] {
        let mut world = together(HEADFUL);
        world.push("a");
        world.behaves("b", behaviour);
        world.push("b");
        assert_eq!(world.running(), Some("a"));
        assert_eq!(world.refusals(), [""; 0]);
        assert_eq!(world.assignment.current, Some(release("a")));
        assert_eq!(world.assignment.availability, Availability::In);
        assert_eq!(world.was_told("failed"), 1, "{:?}", world.told());
    }
}

#[test]
fn a_host_in_maintenance_whose_slot_is_broken_is_not_forgotten() {
    // The maintenance goes on: it gets another slot, and is admitted as ever.
    let mut world = together(HEADFUL);
    world.push("a");
    world.ask(Request::Drain { host: h1() });
    world.run(secs(30));
    world.forget();
    world.ask(Request::BreakSlot { host: h1() });
    world.run(secs(30));
    assert_eq!(world.running(), None, "it stays out: {:?}", world.acts);
    let change = world.assignment.change.clone().expect("a slot of its own again");
    assert_eq!((change.phase, change.park), (PhaseKind::Parked, true));
    world.ask(Request::Admit { host: h1() });
    assert!(world.run_until(secs(60), |world| world.assignment.availability == Availability::In));
    assert_eq!(world.refusals(), [""; 0]);

    // It is over before the host has heard of a new slot: it comes back by itself.
    world.ask(Request::Drain { host: h1() });
    world.run(secs(30));
    world.cut_off = true;
    world.ask(Request::BreakSlot { host: h1() });
    world.ask(Request::Admit { host: h1() });
    world.cut_off = false;
    assert_eq!(world.assignment.change, None);
    world.assign();
    assert!(world.run_until(secs(60), |world| world.assignment.availability == Availability::In));
    assert_eq!(world.running(), Some("a"));
    world.run(secs(10));
    assert_eq!(world.host.ledger().change, None, "{:?}", world.host.sighting(world.now));
}

#[test]
fn a_release_that_is_gone_from_a_host_is_told_and_staged_again() {
    let mut world = together(HEADFUL);
    world.push("a");
    world.forget();
    world.staged.clear();
    world.stage_faults = 1;
    world.crash();
    let known = |world: &World| world.assignment.staged.contains(&release("a").id);
    assert!(world.run_until(secs(20), |world| !known(world)), "the fleet learns of it: {:?}", world.told());
    assert!(world.run_until(secs(60), known), "and that it is here again: {:?}", world.told());
    assert_eq!(world.told().last().map(String::as_str), Some("staged a"));
    assert_eq!(world.was_told("not staged a"), 2, "that it is gone, and why it could not be fetched");
    assert_eq!(world.running(), Some("a"), "what runs is not touched");
    assert_eq!(world.refusals(), [""; 0]);
}

#[test]
fn maintenance_and_a_restart_pass_through_the_same_grants() {
    let mut world = together(HEADFUL);
    world.push("a");
    world.forget();
    world.ask(Request::Drain { host: h1() });
    world.run(secs(30));
    assert_eq!(world.acts, ["leave", "stop"]);
    world.ask(Request::Admit { host: h1() });
    world.run(secs(60));
    assert_eq!(world.acts, ["leave", "stop", "start a", "join"]);
    world.forget();
    world.ask(Request::Restart);
    for _ in 0..60 {
        world.run(secs(1));
        world.plan();
    }
    assert_eq!(world.acts, ["leave", "stop", "start a", "join"]);
    assert_eq!(world.refusals(), [""; 0]);
    assert_eq!(world.assignment.availability, Availability::In);
}
