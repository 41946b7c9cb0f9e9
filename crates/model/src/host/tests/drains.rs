//! How long a drain may take, where the balancer says so.

use super::{balancer::Place, *};
use crate::Timestamp;

fn settled(world: &World) -> bool {
    world.assignment.change.is_none() && world.host.ledger().change.is_none()
}

#[test]
fn a_drain_is_not_given_up_before_it_is_over_by_the_balancers_own_account() {
    let deadline = Policy::default().deadlines.drain;
    let long = deadline + secs(180);
    let mut world = serving(HEADFUL, Some("a"));
    (world.drain, world.told_drain) = (long, Some(long));
    assert!(world.change(Some("a"), Some("b")).run_until(secs(900), settled));
    assert_eq!(world.acts, ["leave", "stop", "start b", "join"]);

    // What it says is not so; and what it says is shorter than the policy would wait anyway.
    for (told, limit) in [(long, long + secs(30)), (secs(5), deadline)] {
        let mut world = serving(HEADFUL, Some("a"));
        (world.drain, world.told_drain) = (secs(36_000), Some(told));
        let began = world.now;
        let over = |world: &World| world.was_told("draining > aborting") == 1;
        assert!(world.change(Some("a"), Some("b")).run_until(secs(900), over));
        let took = world.now.since(began);
        assert!(limit <= took && took < limit + secs(5), "it drained for {took:?} instead of {limit:?}");
        assert!(world.run_until(secs(600), settled));
        assert_eq!(world.acts, ["leave", "join"]);
    }
}

#[test]
fn what_was_told_of_a_drain_holds_through_restarts_and_is_not_told_again() {
    let deadline = Policy::default().deadlines.drain;
    let long = deadline + secs(180);
    // The agent is started anew after the policy's deadline, and the balancer answers nothing for a while.
    let mut world = serving(HEADFUL, Some("a"));
    (world.drain, world.told_drain) = (long, Some(long));
    world.change(Some("a"), Some("b")).run(deadline + secs(60));
    world.crash();
    world.api_down_until = world.now + secs(30);
    assert!(world.run_until(secs(900), settled));
    assert_eq!(world.running(), Some("b"), "{:?}", world.told());

    // Somebody registers it again and again.
    let mut world = serving(HEADFUL, Some("a"));
    (world.drain, world.told_drain) = (secs(300), Some(secs(300)));
    let began = world.now;
    world.change(Some("a"), Some("b"));
    let over = |world: &World| world.was_told("draining > aborting") == 1;
    while world.now.since(began) < deadline + secs(60) && !over(&world) {
        world.place = Place::Joined(Timestamp(0));
        world.run(secs(1));
    }
    assert!(over(&world), "{:?} {:?}", world.told(), world.acts);
}

#[test]
fn the_end_of_a_drain_that_is_known_is_seen_soon_and_with_few_looks() {
    // A look takes 20 ms, and no more than that and the pause after it lies between the end and its being seen.
    for (drain, looks) in [(secs(4), 28), (secs(30), 48), (secs(300), 190)] {
        let mut world = serving(HEADFUL, Some("a"));
        (world.drain, world.told_drain) = (drain, Some(drain));
        let began = world.now;
        let stops = |world: &World| world.acts == ["leave", "stop"];
        assert!(world.change(Some("a"), Some("b")).run_until(secs(900), stops));
        let late = world.now.since(began).saturating_sub(drain);
        assert!(late < Duration::from_millis(250), "{drain:?}: seen {late:?} late");
        assert!(world.standing_read <= looks, "{drain:?}: {} looks", world.standing_read);
    }
    // One that ends earlier than it says is seen in time, too.
    let mut world = serving(HEADFUL, Some("a"));
    (world.drain, world.told_drain) = (secs(1), Some(secs(300)));
    let began = world.now;
    let stops = |world: &World| world.acts == ["leave", "stop"];
    assert!(world.change(Some("a"), Some("b")).run_until(secs(900), stops));
    let late = world.now.since(began).saturating_sub(world.drain);
    assert!(late < Duration::from_millis(400), "seen {late:?} late");
}
