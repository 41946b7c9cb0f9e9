//! Leaving and joining: asked for again where another agent has undone it, and timed from where they are to be.

use super::{
    balancer::Place,
    process::{Behaviour, GOOD},
    *,
};
use crate::{Timestamp, host::FaultWord};

fn settled(world: &World) -> bool {
    world.assignment.change.is_none() && world.host.ledger().change.is_none()
}

/// A change from a to b in which `act` has just been done.
fn carried_to(act: &str, b: Behaviour) -> World {
    let mut world = serving(HEADFUL, Some("a"));
    world.behaves("b", b);
    world.change(Some("a"), Some("b"));
    let done = |world: &World| world.acts.last().is_some_and(|last| last == act);
    assert!(world.run_until(secs(60), done), "{act}: {:?}", world.acts);
    world
}

#[test]
fn what_another_undoes_is_asked_for_again_after_a_while() {
    let mut world = carried_to("leave", GOOD);
    world.place = Place::Joined(Timestamp(0));
    assert!(!world.run_until(secs(8), |world| world.acts != ["leave"]), "it may take a moment");
    assert!(world.run_until(secs(60), settled), "{:?}", world.host.sighting(world.now));
    assert_eq!(world.acts, ["leave", "leave", "stop", "start b", "join"]);

    for place in [Place::Absent, Place::Left(Timestamp(1_000_000))] {
        let mut world = carried_to("join", Behaviour { in_service: Some(secs(5)), ..GOOD });
        (world.place, world.drain) = (place, secs(3_600));
        assert!(world.run_until(secs(60), settled), "{place:?}: {:?}", world.host.sighting(world.now));
        assert_eq!(world.acts, ["leave", "stop", "start b", "join", "join"], "{place:?}");
    }
}

#[test]
fn what_takes_its_time_is_asked_for_once() {
    let mut world = serving(HEADFUL, Some("a"));
    world.drain = secs(60);
    world.behaves("b", Behaviour { in_service: Some(secs(60)), ..GOOD });
    assert!(world.change(Some("a"), Some("b")).run_until(secs(300), settled));
    assert_eq!(world.acts, ["leave", "stop", "start b", "join"]);
}

#[test]
fn a_drain_has_its_time_from_its_beginning_and_a_join_from_the_registration() {
    let mut world = serving(HEADFUL, Some("a"));
    let began = world.now;
    let limit = world.assignment.policy.deadlines.drain;
    (world.drain, world.api_down_until) = (secs(3_600), began + secs(200));
    world.change(Some("a"), Some("b"));
    assert!(world.run_until(secs(900), |world| world.was_told("draining > aborting") == 1));
    let took = world.now.since(began);
    assert!(took < limit + secs(20), "it drained for {took:?}");

    // It is found healthy 100 s after it was registered, of 120; for as long nobody could register it, and the agent died meanwhile.
    let mut world = carried_to("start b", Behaviour { in_service: Some(secs(100)), ..GOOD });
    world.api_down_until = world.now + secs(100);
    world.run(secs(90));
    world.crash();
    assert!(world.run_until(secs(300), settled), "{:?}", world.host.sighting(world.now));
    assert_eq!((world.was_told("failed"), world.running()), (0, Some("b")), "{:?}", world.told());
}

#[test]
fn an_agent_that_is_killed_while_its_host_joins_again_leaves_the_old_process_alone() {
    let mut world = serving(HEADFUL, Some("a"));
    let before = world.process.clone();
    world.drain = secs(3_600);
    world.behaves("a", Behaviour { in_service: Some(secs(30)), ..GOOD });
    world.change(Some("a"), Some("b"));
    assert!(world.run_until(secs(600), |world| world.acts == ["leave", "join"]), "{:?}", world.acts);
    world.run(secs(5));
    world.crash();
    assert!(world.run_until(secs(120), settled), "{:?}", world.host.sighting(world.now));
    assert_eq!(world.told().last().map(String::as_str), Some("abandoned"));
    assert!(world.acts.iter().all(|act| act == "leave" || act == "join"), "{:?}", world.acts);
    assert_eq!(world.process, before);
}

/// Two bad looks are a verdict, and no two are of the same moment.
#[test]
fn a_moment_in_which_it_is_not_well_ends_no_soak() {
    let soaks = |world: &World| world.host.sighting(world.now).phase == PhaseKind::Soaking;
    for (by_probe, tenth) in [true, false].into_iter().flat_map(|by| (0..60).map(move |at| (by, at))) {
        let mut world = carried_to("join", GOOD);
        assert!(world.run_until(secs(60), soaks));
        world.run(Duration::from_millis(100 * tenth));
        if by_probe {
            world.behaves("b", Behaviour { healthy: None, ..GOOD });
            world.run(Duration::from_millis(900));
            world.behaves("b", GOOD);
        } else {
            world.unhealthy_until = world.now + Duration::from_millis(1_800);
        }
        assert!(world.run_until(secs(60), settled), "{:?}", world.host.sighting(world.now));
        assert_eq!(
            (world.was_told("failed"), world.running()),
            (0, Some("b")),
            "after {tenth}: {:?}",
            world.reports
        );
    }
}

/// The balancer is looked at every 2 s by then.
#[test]
fn what_happens_shortly_before_a_deadline_is_seen() {
    let deadlines = Policy::default().deadlines;
    for ms in (100..2_000).step_by(190) {
        let before = Duration::from_millis(ms);
        let mut world = serving(HEADFUL, Some("a"));
        world.drain = deadlines.drain - before;
        world.behaves("b", Behaviour { in_service: Some(deadlines.join - before), ..GOOD });
        assert!(world.change(Some("a"), Some("b")).run_until(secs(900), settled));
        assert_eq!(world.acts, ["leave", "stop", "start b", "join"], "{ms} ms before");
    }
}

#[test]
fn what_has_left_though_nobody_let_it_is_stopped_all_the_same() {
    let mut world = serving(HEADFUL, Some("a"));
    world.leave_fault = Some(FaultWord::Throttled);
    world.place = Place::Absent;
    assert!(world.change(Some("a"), Some("b")).run_until(secs(60), settled));
    assert_eq!(world.acts, ["stop", "start b", "join"]);
}

#[test]
fn a_process_that_is_gone_has_nothing_to_drain() {
    let mut world = serving(HEADFUL, Some("a"));
    (world.drain, world.keep) = (secs(300), false);
    world.change(Some("a"), Some("b"));
    assert!(world.run_until(secs(10), |world| world.acts == ["leave"]));
    world.exit_now();
    assert!(world.run_until(secs(10), |world| world.running() == Some("b")), "{:?}", world.acts);
}

#[test]
fn asked_to_go_back_where_the_old_release_may_not_run_it_does_so_only_while_it_runs_still() {
    let asked = |world: &mut World| {
        let given = world.assignment.change.clone().unwrap();
        world.grant(ChangeGrant { revert: true, ..given });
    };
    let may_not_run = || ChangeGrant { fallback: false, ..grant(5, Some("a"), Some("b")) };
    let mut world = serving(HEADFUL, Some("a"));
    world.grant(may_not_run());
    assert!(world.run_until(secs(10), |world| world.acts == ["leave"]));
    asked(&mut world);
    assert!(world.run_until(secs(60), settled));
    assert_eq!((world.acts.clone(), world.running()), (vec!["leave".into(), "join".into()], Some("a")));

    let mut world = serving(HEADFUL, Some("a"));
    world.supervisor_is_gone = true;
    world.grant(may_not_run());
    let stops = |world: &World| world.host.sighting(world.now).phase == PhaseKind::Stopping;
    assert!(world.run_until(secs(30), stops));
    asked(&mut world);
    world.run(secs(1));
    world.supervisor_is_gone = false;
    assert!(world.run_until(secs(60), settled));
    assert_eq!(world.running(), Some("b"), "{:?}", world.told());
    assert!(!world.logs.iter().any(|log| log.contains("out of turn")), "{:?}", world.logs);
}
