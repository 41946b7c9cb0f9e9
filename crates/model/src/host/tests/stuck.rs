//! Hosts that could not go back: they wait for an operator, or for the old release to get well, and for nothing else.

use super::{
    process::{Behaviour, GOOD},
    *,
};
use crate::host::{Denied, FaultSeen, FaultWord, Phase, ProcessSeen};

/// Why the hosts of these tests are stuck.
const WHY: &str = "run a: no such file";

/// A host that was to go back to `a`, and could not start it. It tries again by itself.
fn stuck(setup: Setup, a: Behaviour) -> World {
    denied(setup, a, vec![])
}

/// The same where the next tries are in vain, too.
fn denied(setup: Setup, a: Behaviour, again: Vec<Denied>) -> World {
    let mut world = serving(setup, Some("a"));
    world.behaves("a", a);
    world.behaves("b", Behaviour { exits: Some((Duration::from_millis(100), 7)), healthy: None, ..GOOD });
    world.change(Some("a"), Some("b"));
    let started = |world: &World| world.acts.iter().any(|act| act == "start b");
    assert!(world.run_until(secs(60), started), "{:?}", world.acts);
    let first = Denied::Exec { text: WHY.into() };
    world.denies = [first].into_iter().chain(again).map(|no| ("start", no)).collect();
    assert!(world.run_until(secs(60), |world| world.was_told("stuck") == 1), "{:?}", world.told());
    world
}

fn fault() -> FaultSeen {
    FaultSeen { kind: FaultWord::Transient, text: "ask the keeper: no".into() }
}

fn why(world: &World) -> Option<&str> {
    match &world.host.ledger().change.as_ref()?.phase {
        Phase::Stuck { failure, .. } => Some(&failure.reason),
        _ => None,
    }
}

fn step(world: &World) -> Option<crate::host::Step> {
    world.host.ledger().change.as_ref().and_then(|change| change.phase.step())
}

fn waits_for(world: &World) -> String {
    world.host.sighting(world.now).waits_for.unwrap_or_default()
}

fn goes_back(world: &mut World, about: &str) {
    let back = |world: &World| world.was_told("reverted") == 1;
    assert!(world.run_until(secs(60), back), "{about}: {}", waits_for(world));
    assert_eq!(world.running(), Some("a"), "{about}");
}

#[test]
fn a_stuck_host_waits_for_its_old_release_without_a_deadline_and_says_why_it_is_stuck() {
    let late = Behaviour { in_service: Some(secs(400)), ..GOOD };
    let slow = Behaviour { healthy: Some(secs(400)), ..GOOD };
    for (about, a, waits) in
        [("the probe", slow, "the probe to pass"), ("the balancer", late, "the balancer to say in service")]
    {
        let mut world = stuck(HEADFUL, a);
        world.run(secs(300));
        assert_eq!((why(&world), waits_for(&world).as_str()), (Some(WHY), waits), "{about}");
        let since = world.host.sighting(world.now).since;
        assert!(secs(290) <= since, "{about}: it is one wait, and not several: {since:?}");
        world.run(secs(100));
        goes_back(&mut world, about);
    }
}

#[test]
fn a_stuck_host_waits_for_a_probe_that_cannot_be_made_without_a_deadline() {
    let mut world = stuck(HEADFUL, GOOD);
    world.keeper_is_silent = true;
    world.run(secs(300));
    assert_eq!((why(&world), waits_for(&world).as_str()), (Some(WHY), "the probe to pass"));
    assert!(secs(290) <= world.host.sighting(world.now).since);
    world.keeper_is_silent = false;
    goes_back(&mut world, "the probe is made again");
}

#[test]
fn a_stuck_host_tries_to_start_its_old_release_without_a_deadline_and_not_at_the_speed_of_its_supervisor() {
    for (no, least) in [(Denied::Fault(fault()), 40), (Denied::Exec { text: "run a: again".into() }, 8)] {
        let mut world = denied(HEADFUL, GOOD, vec![no.clone(); 500]);
        world.run(secs(300));
        assert_eq!(why(&world), Some(WHY), "{no:?}");
        let tries = 500 - world.denies.len();
        assert!(least <= tries && tries < 100, "{no:?}: {tries} times");
        world.denies.clear();
        goes_back(&mut world, "it can be started");
    }
}

#[test]
fn a_stuck_host_that_may_not_go_back_stops_what_failed_without_a_deadline() {
    let mut world = serving(HEADFUL, Some("a"));
    world.behaves("b", Behaviour { in_service: None, ..GOOD });
    world.grant(ChangeGrant { fallback: false, ..grant(5, Some("a"), Some("b")) });
    assert!(world.run_until(secs(300), |world| world.was_told("stuck") == 1), "{:?}", world.told());
    let first = why(&world).map(str::to_owned);
    world.supervisor_is_gone = true;
    world.run(secs(600));
    assert_eq!((why(&world).map(str::to_owned), world.running()), (first, Some("b")));
    assert_eq!(step(&world), Some(crate::host::Step::Stopping));
    let since = world.host.sighting(world.now).since;
    assert!(secs(500) <= since, "it is one wait, and not several: {since:?}");
    world.supervisor_is_gone = false;
    assert!(world.run_until(secs(60), |world| world.running().is_none()), "{}", waits_for(&world));
}

#[test]
fn what_the_keeper_of_a_stuck_host_loses_is_started_again_and_is_not_why_it_is_stuck() {
    let mut world = denied(HEADFUL, GOOD, vec![Denied::Fault(fault())]);
    world.forget();
    assert!(world.run_until(secs(30), |world| world.acts == ["start a"]), "{:?}", world.acts);
    world.process = ProcessSeen::Stopped;
    world.news();
    assert!(world.run_until(secs(30), |world| world.acts == ["start a", "start a"]), "{:?}", world.acts);
    assert_eq!(why(&world), Some(WHY));
    goes_back(&mut world, "started twice");
}

#[test]
fn an_old_release_that_ends_while_a_stuck_host_soaks_begins_again_with_the_probe() {
    let mut world = stuck(HEADFUL, GOOD);
    let soaks = |world: &World| step(world) == Some(crate::host::Step::Soaking);
    assert!(world.run_until(secs(30), soaks), "{}", waits_for(&world));
    world.run(secs(3));
    world.exit_now();
    let ended = world.now;
    assert!(world.run_until(secs(2), |world| !soaks(world)), "{}", waits_for(&world));
    goes_back(&mut world, "it ended once");
    assert!(ended + Policy::default().soak <= world.now, "it soaked for {:?}", world.now.since(ended));
}

#[test]
fn a_stuck_host_that_is_frozen_again_and_again_soaks_on() {
    let mut world = stuck(BARE, GOOD);
    let soaks = |world: &World| step(world) == Some(crate::host::Step::Soaking);
    assert!(world.run_until(secs(30), soaks), "{}", waits_for(&world));
    for _ in 0..30 {
        world.freeze(secs(10), secs(0));
        world.run(Duration::from_millis(100));
    }
    assert!(soaks(&world) && why(&world) == Some(WHY), "{}: {:?}", waits_for(&world), why(&world));
    goes_back(&mut world, "frozen again and again");
}

#[test]
fn a_stuck_host_that_is_about_to_join_leaves_before_it_begins_anew() {
    // The balancer has been asked to register it, and has not yet: it says so of whoever asks it meanwhile.
    for waits in [0, 200] {
        let mut world = stuck(HEADFUL, GOOD);
        let joins = |world: &World| world.acts.last().is_some_and(|act| act == "join");
        assert!(world.run_until(secs(60), joins), "{:?}", world.acts);
        world.run(Duration::from_millis(waits));
        world.place = super::balancer::Place::Absent;
        world.forget();
        world.grant(grant(9, Some("a"), Some("c")));
        let stops = |world: &World| world.acts.iter().any(|act| act == "stop");
        assert!(world.run_until(secs(60), stops), "{:?}", world.acts);
        assert_eq!(world.acts, ["leave", "stop"], "after {waits} ms");
    }
}

#[test]
fn what_a_host_is_to_come_back_with_and_its_store_has_lost_is_fetched_again() {
    let mut world = serving(HEADFUL, Some("a"));
    world.behaves("b", Behaviour { exits: Some((Duration::from_millis(100), 7)), healthy: None, ..GOOD });
    world.change(Some("a"), Some("b"));
    world.assignment.stage.clear();
    world.assign();
    let started = |world: &World| world.acts.iter().any(|act| act == "start b");
    assert!(world.run_until(secs(60), started), "{:?}", world.acts);
    world.staged.remove(&release("a").id);
    assert!(world.run_until(secs(60), |world| world.was_told("failed") == 1), "{:?}", world.told());
    world.assignment.stage = vec![release("c")];
    world.assign();
    world.run(Duration::from_millis(100));
    let first = world.host.wanted_here().next().map(|release| release.id.as_str());
    assert_eq!(first, Some("a"), "before anything else: it is out without it");
    goes_back(&mut world, "in the middle of a change");
    // After a reboot, without a word of the fleet or the balancer (P8).
    let mut world = serving(HEADFUL, Some("a"));
    world.cut_off = true;
    world.api_down_until = world.now + secs(600);
    world.staged.clear();
    world.reboot();
    let back = |world: &World| world.running() == Some("a");
    assert!(world.run_until(secs(60), back), "after a reboot: {}", waits_for(&world));
}
