//! What a host says that it waits for, and what it says is wrong.

use super::{
    process::{Behaviour, GOOD},
    *,
};

fn carried_to(setup: Setup, phase: PhaseKind, good: Behaviour) -> World {
    let mut world = serving(setup, Some("a"));
    world.behaves("b", good);
    world.change(Some("a"), Some("b"));
    let there = |world: &World| world.host.sighting(world.now).phase == phase;
    assert!(world.run_until(secs(300), there), "it never was {phase:?}");
    world
}

fn waits_for(world: &World) -> String {
    world.host.sighting(world.now).waits_for.unwrap_or_default()
}

#[test]
fn a_probe_that_does_not_pass_and_one_that_cannot_be_made_are_told_apart() {
    let mut world = carried_to(HEADLESS, PhaseKind::Probing, Behaviour { healthy: Some(secs(50)), ..GOOD });
    world.run(secs(10));
    assert_eq!(waits_for(&world), "the probe to pass, for 50s more at most");
    world.keeper_is_silent = true;
    world.run(secs(5));
    assert!(waits_for(&world).starts_with("a probe that can be made, for "), "{}", waits_for(&world));
}

#[test]
fn a_soak_whose_balancer_says_something_else_for_once_is_not_over_yet() {
    let mut world = carried_to(HEADFUL, PhaseKind::Soaking, GOOD);
    world.run(secs(1));
    world.unhealthy_until = world.now + Duration::from_millis(1_500);
    world.run(Duration::from_millis(1_200));
    assert_ne!(world.host.wait.not_in_service, 0);
    assert_eq!(waits_for(&world), "the balancer to say in service", "its soak stands still");
}

#[test]
fn a_soak_that_is_over_but_for_a_probe_waits_for_that() {
    let mut world = carried_to(HEADLESS, PhaseKind::Soaking, GOOD);
    // The probe after this one comes a little later than the end of the soak.
    world.run(Duration::from_millis(3_900));
    world.behaves("b", Behaviour { healthy: None, ..GOOD });
    assert!(world.run_until(secs(2), |world| world.host.has_soaked(world.now)), "{}", waits_for(&world));
    assert_eq!(waits_for(&world), "the probe to pass");
}

#[test]
fn a_host_that_serves_nothing_is_in_no_trouble_and_one_that_is_out_says_why() {
    let mut world = serving(HEADFUL, None);
    world.run(secs(30));
    assert_eq!(world.host.sighting(world.now).trouble, None);
    let mut world = serving(HEADFUL, Some("a"));
    world.unhealthy_until = world.now + secs(100);
    assert!(world.run_until(secs(30), |world| world.told() == ["out"]), "{:?}", world.told());
    let trouble = world.host.sighting(world.now).trouble;
    assert_eq!(trouble.as_deref(), Some("the probe passes, but the balancer says unhealthy (timeout)"));
}
