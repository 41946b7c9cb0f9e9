//! A host that itself cannot ask: it says nothing of the service, and ends all the same.

use super::{
    process::{Behaviour, GOOD},
    *,
};
use crate::{
    fleet::command::{Cause, Failure, Report},
    host::ProcessSeen,
};

const NEVER_HEALTHY: Behaviour = Behaviour { healthy: None, ..GOOD };

fn carried_to(phase: PhaseKind, b: Behaviour) -> World {
    let mut world = serving(HEADFUL, Some("a"));
    world.behaves("b", b);
    world.change(Some("a"), Some("b"));
    let there = |world: &World| world.host.sighting(world.now).phase == phase;
    assert!(world.run_until(secs(300), there), "it never was {phase:?}");
    world
}

fn failed(world: &World) -> Option<&Failure> {
    world.reports.iter().find_map(|report| match report {
        Report::Failed { failure, .. } => Some(failure),
        _ => None,
    })
}

fn assert_surroundings(world: &mut World, within: Duration, says: &str) {
    let failed_at_last = |world: &World| failed(world).is_some();
    let waits_for = |world: &World| world.host.sighting(world.now).waits_for;
    assert!(world.run_until(within, failed_at_last), "it waits for ever, for {:?}", waits_for(world));
    let failure = failed(world).unwrap();
    assert_eq!(failure.cause, Cause::Surroundings, "{}", failure.reason);
    assert!(failure.reason.contains(says), "{}", failure.reason);
}

#[test]
fn a_soak_whose_probes_cannot_be_made_ends_and_condemns_nothing() {
    let mut world = carried_to(PhaseKind::Soaking, GOOD);
    world.keeper_is_silent = true;
    let from = world.now;
    assert_surroundings(
        &mut world,
        secs(70),
        "the probe could not be made for 1m: observe through the keeper",
    );
    assert!(secs(55) <= world.now.since(from), "it has its time");
}

#[test]
fn a_probe_that_cannot_be_made_now_and_then_ends_no_soak() {
    let mut world = carried_to(PhaseKind::Soaking, GOOD);
    for _ in 0..4 {
        world.keeper_is_silent = true;
        world.run(secs(40));
        world.keeper_is_silent = false;
        if world.run_until(secs(10), |world| world.was_told("changed") == 1) {
            return;
        }
    }
    panic!("{:?}", world.told());
}

#[test]
fn what_was_seen_of_a_service_counts_though_its_last_probe_could_not_be_made() {
    let mut world = carried_to(PhaseKind::Probing, NEVER_HEALTHY);
    world.run(secs(58));
    world.keeper_is_silent = true;
    // Past the deadline, and then it is asked once more.
    world.run(secs(5));
    assert_eq!(failed(&world), None, "nobody knows how it is now");
    world.keeper_is_silent = false;
    assert!(world.run_until(secs(10), |world| failed(world).is_some()), "{:?}", world.told());
    let failure = failed(&world).unwrap();
    assert_eq!(failure.cause, Cause::Release, "{}", failure.reason);
    assert!(failure.reason.ends_with("connection refused"), "{}", failure.reason);
}

#[test]
fn a_service_that_nobody_could_ask_at_its_deadline_is_not_condemned_for_what_it_was_before() {
    let mut world = carried_to(PhaseKind::Probing, NEVER_HEALTHY);
    world.run(secs(30));
    world.keeper_is_silent = true;
    let before = world.effects;
    assert_surroundings(&mut world, secs(70), "the probe could not be made for 1m");
    assert!(world.effects - before < 100, "{} effects: each try waits for its pause", world.effects - before);
}

#[test]
fn a_service_that_was_ill_at_its_deadline_may_be_well_when_it_is_asked() {
    let mut world = carried_to(PhaseKind::Probing, Behaviour { healthy: Some(secs(59)), ..GOOD });
    world.run(secs(50));
    world.keeper_is_silent = true;
    world.run(secs(15));
    world.keeper_is_silent = false;
    assert!(world.run_until(secs(60), |world| world.was_told("changed") == 1), "{:?}", world.told());
}

#[test]
fn a_supervisor_that_does_not_say_what_runs_is_not_waited_for_without_end() {
    for phase in [PhaseKind::Probing, PhaseKind::Joining, PhaseKind::Soaking] {
        let slow = Behaviour { healthy: Some(secs(5)), in_service: Some(secs(5)), ..GOOD };
        let mut world = carried_to(phase, slow);
        world.supervisor_is_gone = true;
        // News that may have been overtaken: it is asked, and does not answer.
        world.process = ProcessSeen::Stopped;
        world.news();
        assert_surroundings(&mut world, secs(70), "the supervisor did not say what runs for 1m: connect to");
    }
}

#[test]
fn a_process_that_cannot_be_stopped_is_not_waited_for_without_end() {
    let mut world = serving(HEADFUL, Some("a"));
    world.supervisor_is_gone = true;
    world.change(Some("a"), Some("b"));
    let grace = Policy::default().stop_grace;
    assert_surroundings(&mut world, grace + secs(90), "connect to the keeper of web: too many open files");
    assert!(world.run_until(secs(600), |world| world.was_told("stuck") == 1), "{:?}", world.told());
    // When the keeper is there again, it goes back by itself.
    world.supervisor_is_gone = false;
    assert!(world.run_until(secs(120), |world| world.was_told("reverted") == 1), "{:?}", world.told());
    assert_eq!(world.running(), Some("a"));
}
