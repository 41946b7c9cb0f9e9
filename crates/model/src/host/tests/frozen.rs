//! A host that is frozen, by its machine or by SIGSTOP: time passes, and nothing is seen of it.

use super::{
    process::{Behaviour, GOOD},
    *,
};
use crate::fleet::command::{Cause, MigrationEnd, Report};

/// Carries a change to `phase`, freezes the agent for so long, and lets it go on to the end.
fn frozen(phase: PhaseKind, length: Duration, good: Behaviour) -> World {
    let mut world = carried_to(phase, good);
    world.now = world.now + length;
    to_the_end(&mut world);
    world
}

/// A change that has just come to `phase`.
fn carried_to(phase: PhaseKind, good: Behaviour) -> World {
    let mut world = serving(HEADFUL, Some("a"));
    world.behaves("b", good);
    world.change(Some("a"), Some("b"));
    let there = |world: &World| world.host.sighting(world.now).phase == phase;
    assert!(world.run_until(secs(300), there), "it never was {phase:?}");
    world
}

pub(super) fn to_the_end(world: &mut World) {
    assert!(world.run_until(secs(900), |world| world.host.ledger().change.is_none()), "it never ends");
}

pub(super) fn assert_changed(world: &World, about: &str) {
    assert_eq!(world.acts, ["leave", "stop", "start b", "join"], "{about}: {:?}", world.told());
    assert_eq!(world.was_told("changed"), 1, "{about}: {:?}", world.told());
}

/// Whose fault it is said to be.
pub(super) fn blamed(world: &World) -> Cause {
    let failure = world.reports.iter().find_map(|report| match report {
        Report::Failed { failure, .. } => Some(failure.cause),
        _ => None,
    });
    failure.expect("it did not fail")
}

#[test]
fn a_deadline_that_passes_while_the_agent_is_frozen_condemns_nothing() {
    let phases = [
        PhaseKind::Draining,
        PhaseKind::Stopping,
        PhaseKind::Starting,
        PhaseKind::Probing,
        PhaseKind::Joining,
        PhaseKind::Soaking,
    ];
    for phase in phases {
        for length in [1, 10, 59, 61, 400, 3_600] {
            assert_changed(&frozen(phase, secs(length), GOOD), &format!("{phase:?} for {length} s"));
        }
    }
}

#[test]
fn a_service_that_was_frozen_with_its_agent_has_its_time_again() {
    // It needs 50 s of 60 to be healthy, and has had 40 of them.
    let slow = Behaviour { healthy: Some(secs(50)), ..GOOD };
    for length in [10, 61, 3_600] {
        let mut world = carried_to(PhaseKind::Probing, slow);
        world.run(secs(40));
        world.freeze(secs(length), secs(0));
        let started = world.now;
        to_the_end(&mut world);
        assert_changed(&world, &format!("frozen for {length} s"));
        assert!(started + secs(10) <= world.now);
    }
}

#[test]
fn a_balancer_that_has_not_seen_yet_that_the_host_goes_on_condemns_nothing() {
    // It may take 120 s to find the host healthy, and has had most of them.
    let slow = Behaviour { in_service: Some(secs(110)), ..GOOD };
    for (phase, good, later) in
        [(PhaseKind::Joining, slow, 100), (PhaseKind::Soaking, GOOD, 3), (PhaseKind::Soaking, GOOD, 0)]
    {
        for length in [10, 3_600] {
            for ill in [10, 60, 110] {
                let mut world = carried_to(phase, good);
                world.run(secs(later));
                world.freeze(secs(length), secs(ill));
                to_the_end(&mut world);
                let about = format!("{phase:?} for {length} s, found ill for {ill} s more");
                assert_changed(&world, &about);
                let well = world.unhealthy_until;
                assert!(well + secs(2) <= world.now, "{about}: it was ill, and that is no soak");
            }
        }
    }
}

#[test]
fn a_release_that_is_bad_is_still_found_out_after_a_freeze() {
    let never_healthy = Behaviour { healthy: None, ..GOOD };
    for length in [1, 61, 3_600] {
        let world = frozen(PhaseKind::Probing, secs(length), never_healthy);
        assert_eq!(world.running(), Some("a"));
        assert_eq!((world.was_told("failed"), blamed(&world)), (1, Cause::Release), "{:?}", world.told());
    }
    for ill_for_good in [PhaseKind::Joining, PhaseKind::Soaking] {
        let mut world = carried_to(ill_for_good, GOOD);
        world.freeze(secs(60), secs(3_600));
        assert!(world.run_until(secs(150), |world| world.was_told("failed") == 1), "{:?}", world.told());
        assert_eq!(blamed(&world), Cause::Release, "{ill_for_good:?}");
    }
    let mut world = carried_to(PhaseKind::Soaking, GOOD);
    world.freeze(secs(60), secs(0));
    world.behaves("b", never_healthy);
    assert!(world.run_until(secs(90), |world| world.was_told("failed") == 1), "{:?}", world.told());
}

#[test]
fn a_soak_goes_on_where_it_was_however_often_its_host_stalls() {
    let mut world = carried_to(PhaseKind::Soaking, GOOD);
    let (mut awake, mut said) = (secs(0), String::new());
    while world.host.ledger().change.is_some() {
        // Of each 1.5 s the balancer finds it ill for a tenth, and is asked twice a second then.
        assert!(awake < secs(15), "it soaks for ever: {said}");
        world.freeze(secs(30), Duration::from_millis(100));
        world.run(Duration::from_millis(1_500));
        awake += Duration::from_millis(1_500);
        said = world.host.sighting(world.now).waits_for.unwrap_or(said);
    }
    assert!(Policy::default().soak <= awake, "only time in service counts: {awake:?}");
    assert_changed(&world, "stalled again and again");
    assert!(said.contains("the soak to be over"), "{said}");
    assert!(said.contains(" times meanwhile, for "), "{said}");
}

#[test]
fn a_host_that_is_frozen_again_and_again_ends_its_wait_and_blames_no_release() {
    // Awake for 50 s of each 80 s: never long enough for what needs 61 s of 60.
    let late = Behaviour { healthy: Some(secs(100_000)), ..GOOD };
    let mut world = carried_to(PhaseKind::Probing, late);
    for round in 0.. {
        assert!(round < 20, "it waits for ever");
        world.freeze(secs(30), secs(0));
        if world.run_until(secs(50), |world| world.was_told("failed") == 1) {
            break;
        }
    }
    assert_eq!(blamed(&world), Cause::Surroundings);
}

#[test]
fn every_wait_ends_on_a_host_that_never_runs_for_long() {
    // Awake for 1 s of each 11 s, and its agent is started anew now and then, or not.
    let late = Behaviour { healthy: Some(secs(100_000)), ..GOOD };
    let never = Behaviour { in_service: Some(secs(100_000)), ..GOOD };
    let ends = [(PhaseKind::Draining, GOOD), (PhaseKind::Probing, late), (PhaseKind::Joining, never)];
    for (phase, b) in ends {
        for restarts in [false, true] {
            let mut world = carried_to(phase, b);
            world.drain = secs(100_000);
            let (from, mut round) = (world.now, 0_u32);
            while world.host.sighting(world.now).phase == phase {
                round += 1;
                assert!(round < 60, "{phase:?}: it waits for ever: {:?}", world.host.sighting(world.now));
                world.freeze(secs(10), secs(5));
                world.run(secs(1));
                if restarts && round % 3 == 0 {
                    world.crash();
                    world.run(Duration::from_millis(100));
                }
            }
            assert!(secs(60) <= world.now.since(from), "{phase:?}: it had no time");
            if phase != PhaseKind::Draining {
                assert_eq!(blamed(&world), Cause::Surroundings, "{phase:?}");
            }
        }
    }
}

#[test]
fn a_soak_that_comes_to_no_end_for_freezes_fails_and_blames_no_release() {
    // In each second that it is awake the balancer finds it ill.
    let mut world = carried_to(PhaseKind::Soaking, GOOD);
    for round in 0.. {
        assert!(round < 100, "it soaks for ever: {:?}", world.host.sighting(world.now));
        world.freeze(secs(10), secs(5));
        if world.run_until(secs(1), |world| world.was_told("failed") == 1) {
            break;
        }
    }
    assert_eq!(blamed(&world), Cause::Surroundings);
    assert_eq!(world.was_told("changed"), 0);
}

#[test]
fn time_that_nobody_watched_is_no_soak_however_often_that_was() {
    let mut world = carried_to(PhaseKind::Soaking, GOOD);
    let mut awake = secs(0);
    while world.was_told("changed") == 0 {
        assert!(awake < secs(60), "{:?}", world.host.sighting(world.now));
        world.freeze(secs(8), secs(0));
        world.run(Duration::from_millis(700));
        awake += Duration::from_millis(700);
    }
    assert!(Policy::default().soak <= awake, "{awake:?}");
}

#[test]
fn what_is_in_flight_does_not_settle_while_the_host_is_frozen_however_often_that_was() {
    let mut world = serving(HEADFUL, Some("a"));
    world.assignment.policy.settle = secs(30);
    world.assign();
    world.change(Some("a"), Some("b"));
    let settles = |world: &World| {
        let change = world.host.ledger().change.as_ref();
        change.is_some_and(|change| change.phase.step() == Some(crate::host::Step::Settling))
    };
    assert!(world.run_until(secs(60), settles), "it does not settle");
    for _ in 0..10 {
        world.now = world.now + secs(9);
        world.run(secs(1));
    }
    assert_eq!(world.acts, ["leave"], "it has run for ten seconds of thirty");
    to_the_end(&mut world);
    assert_changed(&world, "after it has settled");
}

#[test]
fn a_process_that_ends_soon_after_its_host_was_frozen_is_no_word_against_the_release() {
    let slow = Behaviour { healthy: Some(secs(50)), ..GOOD };
    let waits = Behaviour { in_service: Some(secs(100)), ..GOOD };
    let ended = |world: &World| world.was_told("failed") == 1;
    for (phase, b) in [(PhaseKind::Probing, slow), (PhaseKind::Joining, waits), (PhaseKind::Soaking, GOOD)] {
        let mut world = carried_to(phase, b);
        world.freeze(secs(30), secs(0));
        world.run(secs(1));
        world.exit_now();
        assert!(world.run_until(secs(5), ended), "{phase:?}: {:?}", world.told());
        assert_eq!(blamed(&world), Cause::Surroundings, "{phase:?}");
    }
    // Long after, it is.
    let mut world = carried_to(PhaseKind::Joining, waits);
    world.freeze(secs(30), secs(0));
    world.run(secs(70));
    world.exit_now();
    assert!(world.run_until(secs(5), ended), "{:?}", world.told());
    assert_eq!(blamed(&world), Cause::Release);
}

#[test]
fn the_time_to_get_well_does_not_end_with_a_step() {
    // Frozen while it joined; the balancer said in service, and finds it ill a moment later.
    let mut world = carried_to(PhaseKind::Joining, GOOD);
    world.freeze(secs(60), secs(0));
    let soaks = |world: &World| world.host.sighting(world.now).phase == PhaseKind::Soaking;
    assert!(world.run_until(secs(10), soaks), "{:?}", world.told());
    world.unhealthy_until = world.now + secs(20);
    to_the_end(&mut world);
    assert_changed(&world, "found ill in the next step");
}

#[test]
fn what_a_thaw_decides_outlives_the_agent() {
    // The soak: what it had lasted, and no more, counts for the next run of the agent.
    let mut world = carried_to(PhaseKind::Soaking, GOOD);
    world.run(secs(2));
    world.freeze(secs(600), secs(0));
    world.run(Duration::from_millis(200));
    world.crash();
    let began = world.now;
    to_the_end(&mut world);
    assert!(began + secs(2) <= world.now, "time that nobody watched was taken for a soak");
    assert_changed(&world, "soaking");
    // The time that a probe has again: it had had 58 s of 60, which were on disk.
    let slow = Behaviour { healthy: Some(secs(75)), ..GOOD };
    let mut world = carried_to(PhaseKind::Probing, slow);
    world.run(secs(58));
    world.freeze(secs(30), secs(0));
    world.run(Duration::from_millis(200));
    world.crash();
    to_the_end(&mut world);
    assert_changed(&world, "probing");
}

#[test]
fn a_migration_is_not_over_its_deadline_because_the_host_was_frozen() {
    let mut world = serving(HEADFUL, Some("a"));
    world.migrate("b", 7);
    assert!(world.run_until(secs(10), |world| world.was_told("migration started") == 1));
    world.run(secs(60));
    world.freeze(secs(3_600), secs(0));
    world.run(secs(60));
    assert_eq!(world.acts, ["migrate b"], "it was stopped for time in which it did not run");
    assert!(!world.run_until(secs(470), |world| world.acts.contains(&"stop migration".to_owned())));
    assert!(world.run_until(secs(20), |world| world.acts.contains(&"stop migration".to_owned())));
}

#[test]
fn a_migration_on_a_host_that_is_frozen_again_and_again_ends_and_condemns_nothing() {
    let mut world = serving(HEADFUL, Some("a"));
    world.migrate("b", 7);
    assert!(world.run_until(secs(10), |world| world.was_told("migration started") == 1));
    for round in 0.. {
        assert!(round < 100, "it runs for ever");
        world.freeze(secs(30), secs(0));
        if world.run_until(secs(2), |world| world.was_told("migration ended") == 1) {
            break;
        }
        if round % 3 == 0 {
            world.crash();
        }
    }
    assert!(world.acts.contains(&"stop migration".to_owned()), "{:?}", world.acts);
    let end = world.reports.iter().find_map(|report| match report {
        Report::MigrationEnded { end, .. } => Some(end.clone()),
        _ => None,
    });
    let Some(MigrationEnd::Unknown { reason }) = end else { panic!("{end:?}") };
    assert!(reason.contains("passed; the host was frozen 6 times meanwhile"), "{reason}");
}
