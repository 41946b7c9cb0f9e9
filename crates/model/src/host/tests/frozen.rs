//! An agent that is frozen, by its machine or by SIGSTOP: time passes, and it sees nothing.

use super::{
    world::{Behaviour, GOOD},
    *,
};

/// Carries a change to `phase`, freezes the agent for so long, and lets it go on to the end.
fn frozen(phase: PhaseKind, length: Duration, good: Behaviour) -> World {
    let mut world = serving(HEADFUL, Some("a"));
    world.behaves("b", good);
    world.change(Some("a"), Some("b"));
    let there = |world: &World| world.host.sighting(world.now).phase == phase;
    assert!(world.run_until(secs(300), there), "it never was {phase:?}");
    world.now = world.now + length;
    let thawed = world.now;
    assert!(world.run_until(secs(600), |world| world.host.ledger().change.is_none()));
    assert!(
        phase != PhaseKind::Soaking || length < secs(10) || thawed + Policy::default().soak <= world.now,
        "it did not soak"
    );
    world
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
            let world = frozen(phase, secs(length), GOOD);
            assert_eq!(world.acts, ["leave", "stop", "start b", "join"], "{phase:?} for {length} s");
            assert_eq!(world.was_told("changed"), 1, "{phase:?} for {length} s: {:?}", world.told());
        }
    }
}

#[test]
fn a_release_that_is_bad_is_still_found_out_after_a_freeze() {
    let never_healthy = Behaviour { healthy: None, ..GOOD };
    for length in [1, 61, 3_600] {
        let world = frozen(PhaseKind::Probing, secs(length), never_healthy);
        assert_eq!(world.running(), Some("a"));
        assert_eq!(world.was_told("failed"), 1, "{:?}", world.told());
    }
}
