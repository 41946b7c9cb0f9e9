//! Hosts that are frozen while they serve, while they start their first release, and while they have not got over the last time.

use super::{
    frozen::{assert_changed, blamed, to_the_end},
    process::{Behaviour, GOOD},
    *,
};
use crate::{
    fleet::command::{Cause, Report},
    host::{Effect, Event},
};

/// What was told of a steady service, and whose fault it was said to be.
fn fell_out(world: &World) -> Vec<Cause> {
    let out = world.reports.iter().filter_map(|report| match report {
        Report::Availability { availability: Availability::Out, cause, .. } => Some(*cause),
        _ => None,
    });
    out.collect()
}

#[test]
fn the_freezes_of_a_long_life_are_held_against_nobody() {
    let mut world = serving(HEADLESS, Some("a"));
    // Each is long past when the next one comes.
    for _ in 0..9 {
        world.freeze(secs(20), secs(0));
        world.run(secs(3_600));
    }
    world.freeze(secs(20), secs(0));
    world.behaves("a", Behaviour { healthy: None, ..GOOD });
    assert!(world.run_until(secs(10), |world| world.was_told("out") == 1), "{:?}", world.told());
    assert_eq!(fell_out(&world), [Cause::Surroundings]);
}

#[test]
fn a_steady_service_is_not_to_blame_on_a_host_that_is_frozen_again_and_again() {
    let mut world = serving(HEADLESS, Some("a"));
    for _ in 0..9 {
        world.freeze(secs(20), secs(0));
        world.run(secs(2));
    }
    // Longer after than it has to get well.
    world.run(secs(100));
    world.behaves("a", Behaviour { healthy: None, ..GOOD });
    world.run(secs(100));
    assert_eq!(fell_out(&world), [Cause::Surroundings], "{:?}", world.told());
    // And when the host has run for long without a freeze, it is a host like any other.
    world.run(secs(600));
    assert_eq!(fell_out(&world), [Cause::Surroundings, Cause::Release], "{:?}", world.told());
}

#[test]
fn a_steady_service_that_does_not_get_well_after_a_freeze_is_to_blame_in_the_end() {
    let mut world = serving(HEADLESS, Some("a"));
    world.freeze(secs(600), secs(0));
    world.behaves("a", Behaviour { healthy: None, ..GOOD });
    world.run(secs(50));
    assert_eq!(fell_out(&world), [Cause::Surroundings]);
    world.run(secs(20));
    assert_eq!(fell_out(&world), [Cause::Surroundings, Cause::Release]);
    world.run(secs(600));
    assert_eq!(world.told(), ["out", "out"], "once");
    world.behaves("a", GOOD);
    world.run(secs(10));
    assert_eq!(world.told(), ["out", "out", "in"]);
}

#[test]
fn a_steady_process_that_ends_after_a_freeze_is_not_to_blame() {
    let mut world = serving(HEADFUL, Some("a"));
    world.freeze(secs(60), secs(0));
    world.run(secs(2));
    world.exit_now();
    world.run(secs(120));
    assert_eq!(fell_out(&world), [Cause::Surroundings]);
    assert_eq!(world.told(), ["out", "in"]);
}

#[test]
fn a_steady_service_that_takes_a_while_after_a_freeze_is_not_to_blame() {
    let mut world = serving(HEADLESS, Some("a"));
    world.freeze(secs(600), secs(0));
    world.behaves("a", Behaviour { healthy: None, ..GOOD });
    assert!(world.run_until(secs(10), |world| world.was_told("out") == 1), "{:?}", world.told());
    let cause = world.reports.iter().find_map(|report| match report {
        Report::Availability { cause, .. } => Some(*cause),
        _ => None,
    });
    assert_eq!(cause, Some(Cause::Surroundings));
}

/// Nothing is probed there, and no balancer is asked: only the agent's own look at the clock finds it out.
#[test]
fn a_service_that_nobody_asks_is_not_to_blame_for_its_end_after_a_freeze() {
    let mut world = serving(BARE, Some("a"));
    world.run(secs(60));
    world.freeze(secs(60), secs(0));
    world.exit_now();
    world.run(secs(5));
    assert_eq!(fell_out(&world), [Cause::Surroundings], "{:?}", world.told());
}

#[test]
fn the_first_release_of_a_host_is_not_to_blame_for_its_end_after_a_freeze() {
    let mut world = serving(BARE, None);
    world.verify_ms = 20_000;
    world.behaves("b", Behaviour { exits: Some((secs(12), 7)), ..GOOD });
    world.change(None, Some("b"));
    let starts = |world: &World| world.acts == ["start b"];
    assert!(world.run_until(secs(10), starts), "{:?}", world.acts);
    // Shorter than between two writings of how long the start lasts already.
    world.freeze(Duration::from_millis(7_500), secs(0));
    assert!(world.run_until(secs(30), |world| world.was_told("failed") == 1), "{:?}", world.told());
    assert_eq!(blamed(&world), Cause::Surroundings);
}

#[test]
fn a_host_that_has_nothing_to_judge_is_not_woken() {
    let mut world = serving(HEADFUL, None);
    world.run(secs(60));
    assert_eq!(world.host.deadline(), None);
}

#[test]
fn a_freeze_between_changes_is_nothing_to_be_written_down() {
    let mut world = serving(BARE, Some("a"));
    world.run(secs(60));
    world.freeze(secs(60), secs(0));
    let effects = world.host.handle(Event::DeadlinePassed, world.now);
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::Log(text) if text.starts_with("frozen for ")))
    );
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Persist(_))), "{effects:?}");
}

/// A soak of 60 s that has gone on for 10 s, of a host that is behind a balancer or not.
fn ten_seconds_of_a_long_soak(setup: Setup) -> World {
    let mut world = serving(setup, Some("a"));
    world.assignment.policy.soak = secs(60);
    world.change(Some("a"), Some("b"));
    let soaks = |world: &World| world.host.sighting(world.now).phase == PhaseKind::Soaking;
    assert!(world.run_until(secs(60), soaks), "{:?}", world.told());
    world.run(secs(10));
    world
}

#[test]
fn a_soak_that_stands_still_loses_nothing_when_its_host_is_frozen_again() {
    let mut world = ten_seconds_of_a_long_soak(HEADFUL);
    world.freeze(secs(30), secs(20));
    world.run(secs(5));
    assert!(world.host.wait.frozen.stands_at().is_some(), "it is not well yet");
    world.freeze(secs(30), secs(3));
    let thawed = world.now;
    to_the_end(&mut world);
    assert_changed(&world, "frozen again before it was well");
    let lasted = world.now.since(thawed);
    assert!(
        secs(50) <= lasted && lasted < secs(58),
        "ill for 3 s, and 50 s of its soak were left: {lasted:?}"
    );
}

#[test]
fn a_restarted_agent_takes_no_time_for_a_soak_in_which_it_stood_still() {
    let mut world = ten_seconds_of_a_long_soak(HEADFUL);
    world.freeze(secs(30), secs(70));
    world.run(secs(65));
    world.crash();
    let well = world.unhealthy_until;
    to_the_end(&mut world);
    assert_changed(&world, "killed before it was well");
    assert!(well + secs(45) <= world.now, "it was ill, and that is no soak: {:?}", world.now.since(well));
}

#[test]
fn time_in_which_the_probe_does_not_pass_after_a_freeze_is_no_soak() {
    let mut world = ten_seconds_of_a_long_soak(HEADLESS);
    let ill = world.now.since(world.started) + secs(40);
    world.behaves("b", Behaviour { healthy: Some(ill), ..GOOD });
    world.freeze(secs(30), secs(0));
    let well = world.now + secs(40);
    to_the_end(&mut world);
    assert_eq!((world.was_told("changed"), world.was_told("failed")), (1, 0), "{:?}", world.told());
    assert!(well + secs(49) <= world.now, "it was ill, and that is no soak: {:?}", world.now.since(well));
}
