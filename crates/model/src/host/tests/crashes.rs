//! The agent is killed before each effect of a run, in turn, and starts again from what is on disk.

use super::{
    process::{Behaviour, GOOD},
    *,
};

fn settled(world: &World) -> bool {
    world.assignment.change.is_none() && world.host.ledger().change.is_none()
}

fn count(world: &World, act: &str) -> usize {
    world.acts.iter().filter(|done| *done == act).count()
}

/// Runs a change from a to b with a crash before each effect in turn, and hands each end to `check`.
fn crash_everywhere(setup: Setup, behaviour: Behaviour, check: impl Fn(&World, usize)) {
    let run = |crash_at: Option<usize>| {
        let mut world = serving(setup, Some("a"));
        world.behaves("b", behaviour);
        world.crash_at = crash_at;
        let ended = world.change(Some("a"), Some("b")).run_until(secs(900), settled);
        assert!(ended, "crash before effect {crash_at:?}: {:?}", world.host.sighting(world.now));
        world.crash_at = None;
        world.run(secs(30));
        world
    };
    let effects = run(None).effects;
    assert!(12 < effects, "only {effects} effects: this is no run");
    for at in 0..effects {
        check(&run(Some(at)), at);
    }
}

#[test]
fn a_good_change_ends_well_wherever_the_agent_is_killed() {
    for setup in [HEADFUL, HEADLESS, BARE] {
        crash_everywhere(setup, GOOD, |world, at| {
            assert_eq!(world.running(), Some("b"), "{setup:?}, crash before effect {at}");
            assert_eq!(world.host.ledger().serving, Some(release("b")), "crash before effect {at}");
            let starts = (count(world, "start a"), count(world, "start b"), count(world, "stop"));
            assert_eq!(starts, (0, 1, 1), "crash before effect {at}: {:?}", world.acts);
            assert_eq!(world.was_told("failed") + world.was_told("stuck"), 0, "crash before effect {at}");
            assert!(1 <= world.was_told("changed"), "crash before effect {at}");
        });
    }
}

#[test]
fn a_bad_change_goes_back_wherever_the_agent_is_killed() {
    let bad = [
        Behaviour { in_service: None, ..GOOD },
        Behaviour { healthy: None, ..GOOD },
        Behaviour { exits: Some((Duration::from_millis(100), 7)), ..GOOD },
        Behaviour { exits: Some((secs(4), 7)), ..GOOD },
    ];
    for behaviour in bad {
        crash_everywhere(HEADFUL, behaviour, |world, at| {
            assert_eq!(world.running(), Some("a"), "crash before effect {at}");
            assert_eq!(world.host.ledger().serving, Some(release("a")), "crash before effect {at}");
            let starts = (count(world, "start a"), count(world, "start b"));
            assert_eq!(starts, (1, 1), "crash before effect {at}: {:?}", world.acts);
            assert_eq!(world.was_told("stuck"), 0, "crash before effect {at}");
            assert!(1 <= world.was_told("failed"), "crash before effect {at}");
            assert!(1 <= world.was_told("reverted"), "crash before effect {at}");
        });
    }
}

#[test]
fn a_migration_is_started_once_wherever_the_agent_is_killed() {
    let run = |crash_at: Option<usize>| {
        let mut world = serving(HEADFUL, Some("a"));
        world.crash_at = crash_at;
        world.migrate("b", 5);
        world.run(secs(3));
        world.end_migration(crate::host::ExitSeen::Code(0));
        let ended = world.run_until(secs(60), |world| world.was_told("migration ended") > 0);
        assert!(ended, "crash before effect {crash_at:?}: {:?}", world.host.sighting(world.now));
        world
    };
    for at in 0..run(None).effects {
        let world = run(Some(at));
        assert_eq!(count(&world, "migrate b"), 1, "crash before effect {at}");
    }
}

#[test]
fn a_reboot_in_the_middle_of_a_change_starts_what_the_step_is_about() {
    for act in ["leave", "stop", "start b", "join"] {
        let mut world = serving(HEADFUL, Some("a"));
        world.change(Some("a"), Some("b"));
        assert!(
            world.run_until(secs(60), |world| world.acts.last().is_some_and(|last| last == act)),
            "{act}"
        );
        world.run(Duration::from_millis(50));
        world.reboot();
        assert!(world.run_until(secs(120), settled), "{act}: {:?}", world.host.sighting(world.now));
        assert_eq!(world.running(), Some("b"), "{act}: {:?}", world.acts);
        assert_eq!(world.was_told("failed"), 0, "{act}: nobody saw it fail");
    }
}

#[test]
fn a_reboot_while_it_gives_up_brings_the_old_release_back() {
    let mut world = serving(HEADFUL, Some("a"));
    world.drain = secs(3_600);
    world.change(Some("a"), Some("b"));
    assert!(world.run_until(secs(600), |world| world.acts.last().is_some_and(|last| last == "join")));
    world.reboot();
    assert!(world.run_until(secs(120), settled), "{:?}", world.host.sighting(world.now));
    assert_eq!(world.running(), Some("a"));
    assert_eq!(world.told().last().map(String::as_str), Some("abandoned"));
}

#[test]
fn a_wait_goes_on_from_what_was_written_of_it() {
    let mut world = serving(HEADFUL, Some("a"));
    world.behaves("b", Behaviour { healthy: None, ..GOOD });
    world.change(Some("a"), Some("b"));
    assert!(world.run_until(secs(30), |world| world.acts.last().is_some_and(|act| act == "start b")));
    let started = world.now;
    for _ in 0..6 {
        world.run(secs(9));
        world.crash();
    }
    assert!(world.run_until(secs(120), |world| world.was_told("failed") == 1));
    let took = world.now.since(started);
    assert!(took < secs(90), "six restarts made of the deadline of a minute {took:?}");
}

#[test]
fn an_agent_that_is_killed_again_and_again_still_gets_there() {
    for (behaviour, running) in [(GOOD, "b"), (Behaviour { in_service: None, ..GOOD }, "a")] {
        for every in 12..60 {
            let mut world = serving(HEADFUL, Some("a"));
            world.behaves("b", behaviour);
            (world.crash_at, world.crash_every) = (Some(every), Some(every));
            let ended = world.change(Some("a"), Some("b")).run_until(secs(1_800), settled);
            assert!(ended, "crash every {every} effects: {:?}", world.host.sighting(world.now));
            assert_eq!(world.running(), Some(running), "crash every {every} effects");
            assert_eq!(count(&world, "start b"), 1, "crash every {every} effects: {:?}", world.acts);
        }
    }
}

#[test]
fn a_first_release_and_one_that_is_taken_away_end_well_wherever_the_agent_is_killed() {
    for (from, to) in [(None, Some("b")), (Some("a"), None)] {
        let run = |crash_at: Option<usize>| {
            let mut world = serving(HEADFUL, from);
            world.crash_at = crash_at;
            assert!(world.change(from, to).run_until(secs(900), settled), "crash before effect {crash_at:?}");
            world
        };
        for at in 0..run(None).effects {
            let world = run(Some(at));
            assert_eq!(world.running(), to, "crash before effect {at}");
            assert_eq!(world.was_told("failed"), 0, "crash before effect {at}");
        }
    }
}

#[test]
fn a_stuck_host_stays_stuck_and_recovers_wherever_the_agent_is_killed() {
    let run = |crash_at: Option<usize>| {
        let mut world = serving(HEADFUL, Some("a"));
        world.behaves("b", Behaviour { exits: Some((Duration::from_millis(100), 7)), ..GOOD });
        world.behaves("a", Behaviour { healthy: None, ..GOOD });
        world.crash_at = crash_at;
        world.change(Some("a"), Some("b")).run(secs(200));
        assert!(1 <= world.was_told("stuck"), "crash before effect {crash_at:?}: {:?}", world.told());
        assert_eq!(world.running(), Some("a"), "crash before effect {crash_at:?}");
        let effects = world.effects;
        world.behaves("a", GOOD);
        assert!(world.run_until(secs(60), settled), "crash before effect {crash_at:?}");
        assert_eq!(world.host.ledger().serving, Some(release("a")));
        effects
    };
    for at in 0..run(None) {
        run(Some(at));
    }
}

#[test]
fn what_an_agent_started_before_it_was_killed_is_neither_started_nor_verified_again() {
    let mut world = serving(HEADFUL, Some("a"));
    world.verify_ms = 300_000;
    world.change(Some("a"), Some("b"));
    assert!(world.run_until(secs(60), |world| world.running() == Some("b")));
    world.crash();
    assert!(world.run_until(secs(20), settled), "{:?}", world.host.sighting(world.now));
    assert_eq!(world.acts, ["leave", "stop", "start b", "join"]);

    // It ended while nobody looked.
    let mut world = serving(HEADFUL, Some("a"));
    world.behaves("b", Behaviour { exits: Some((Duration::from_millis(100), 7)), ..GOOD });
    world.verify_ms = 2_000;
    world.change(Some("a"), Some("b"));
    assert!(world.run_until(secs(60), |world| world.running() == Some("b")));
    world.run(Duration::from_millis(500));
    world.crash();
    assert!(world.run_until(secs(60), settled));
    assert_eq!(count(&world, "start b"), 1, "{:?}", world.acts);
    assert_eq!((world.was_told("failed"), world.running()), (1, Some("a")));
}
