//! What a host makes of what it sees: of its service, of a process that is another, and of a wait that is over.

use super::{
    process::{Behaviour, GOOD, running},
    *,
};
use crate::{
    Incarnation,
    fleet::command::{Cause, Failure, Report},
    host::{Denied, ExitSeen, FaultSeen, FaultWord, ProcessSeen, ledger::MigrationProgress},
};

const ILL: Behaviour = Behaviour { healthy: None, ..GOOD };

fn settled(world: &World) -> bool {
    world.assignment.change.is_none() && world.host.ledger().change.is_none()
}

fn carried_to(setup: Setup, phase: PhaseKind) -> World {
    let mut world = serving(setup, Some("a"));
    world.change(Some("a"), Some("b"));
    let there = |world: &World| world.host.sighting(world.now).phase == phase;
    assert!(world.run_until(secs(300), there), "it never was {phase:?}");
    world
}

fn failure(world: &World) -> Option<&Failure> {
    world.reports.iter().find_map(|report| match report {
        Report::Failed { failure, .. } => Some(failure),
        _ => None,
    })
}

fn waits_for(world: &World) -> String {
    world.host.sighting(world.now).waits_for.unwrap_or_default()
}

#[test]
fn a_release_whose_probe_fails_again_while_it_soaks_has_failed_also_in_the_last_moment() {
    for after_ms in [500, 3_500] {
        let mut world = carried_to(HEADLESS, PhaseKind::Soaking);
        world.run(Duration::from_millis(after_ms));
        world.behaves("b", ILL);
        assert!(world.run_until(secs(60), settled), "{}", waits_for(&world));
        let failure = failure(&world).expect("it failed");
        assert_eq!((failure.phase, failure.cause), (PhaseKind::Soaking, Cause::Release), "{after_ms}");
        assert_eq!(failure.reason, "the probe failed again after it had passed: connection refused");
        assert_eq!(world.running(), Some("a"));
    }
}

#[test]
fn another_process_than_the_one_that_was_started_is_no_word_for_or_against_the_release() {
    let exited = |id: &str, under| ProcessSeen::Exited {
        release: release(id).id,
        fence: under,
        exit: ExitSeen::Code(3),
        restarts: 0,
        note: None,
    };
    for (at, other) in [
        running(release("c").id, fence(5), 77, 0),
        running(release("b").id, fence(4), 77, 0),
        exited("c", fence(5)),
        exited("b", fence(4)),
    ]
    .into_iter()
    .enumerate()
    {
        let mut world = carried_to(HEADFUL, PhaseKind::Joining);
        (world.process, world.keep) = (other, false);
        world.news();
        assert!(world.run_until(secs(5), |world| failure(world).is_some()), "{at}: {}", waits_for(&world));
        let failure = failure(&world).unwrap();
        assert_eq!(
            (failure.cause, failure.reason.as_str()),
            (Cause::Surroundings, "the supervisor no longer runs it")
        );
    }
}

#[test]
fn a_release_that_ends_before_its_start_is_answered_has_failed_while_it_was_started() {
    let mut world = serving(HEADFUL, Some("a"));
    world.verify_ms = 30;
    world.behaves("b", Behaviour { exits: Some((Duration::from_millis(5), 7)), ..ILL });
    world.change(Some("a"), Some("b"));
    assert!(world.run_until(secs(60), |world| failure(world).is_some()), "{}", waits_for(&world));
    let failed = failure(&world).unwrap();
    assert_eq!((failed.phase, failed.cause), (PhaseKind::Starting, Cause::Release));
    assert_eq!(failed.reason, "exited with code 7");
}

#[test]
fn a_start_that_is_never_answered_well_ends_at_its_deadline() {
    let mut world = serving(HEADFUL, Some("a"));
    let no = || Denied::Fault(FaultSeen { kind: FaultWord::Transient, text: "ask the keeper: no".into() });
    world.denies = (0..200).map(|_| ("start", no())).collect();
    world.change(Some("a"), Some("b"));
    assert!(world.run_until(secs(90), |world| failure(world).is_some()), "{}", waits_for(&world));
    let failed = failure(&world).unwrap();
    assert_eq!((failed.phase, failed.cause), (PhaseKind::Starting, Cause::Surroundings));
    assert_eq!(failed.reason, "not started within 1m: ask the keeper: no");
}

/// A stuck host whose keeper has just lost its process.
fn stuck_without_its_process() -> World {
    let mut world = serving(HEADFUL, Some("a"));
    (world.behaviours) = [("a".into(), ILL), ("b".into(), ILL)].into();
    world.change(Some("a"), Some("b"));
    assert!(world.run_until(secs(300), |world| world.was_told("stuck") == 1));
    world.run(secs(10));
    world.behaves("a", GOOD);
    world.process = ProcessSeen::Stopped;
    world.forget();
    world.news();
    world
}

#[test]
fn a_stuck_host_says_why_and_starts_what_its_keeper_has_lost() {
    let mut world = stuck_without_its_process();
    assert!(world.run_until(secs(30), settled), "{}", waits_for(&world));
    assert_eq!((world.acts.clone(), world.running()), (vec!["start a".into(), "join".into()], Some("a")));
}

#[test]
fn a_stuck_host_starts_again_what_its_keeper_loses_as_soon_as_it_has_started_it() {
    let mut world = stuck_without_its_process();
    assert!(world.run_until(secs(30), |world| world.acts == ["start a"]), "{:?}", world.acts);
    world.process = ProcessSeen::Stopped;
    world.news();
    assert!(world.run_until(secs(30), settled), "{}", waits_for(&world));
    assert_eq!(
        (world.acts.clone(), world.running()),
        (vec!["start a".into(), "start a".into(), "join".into()], Some("a"))
    );
}

#[test]
fn why_a_host_could_not_go_back_is_seen() {
    let mut world = serving(HEADFUL, Some("a"));
    let given = ChangeGrant { fallback: false, ..grant(5, Some("a"), Some("b")) };
    world.behaves("b", Behaviour { exits: Some((Duration::from_millis(100), 7)), ..GOOD });
    world.grant(given);
    assert!(world.run_until(secs(60), |world| world.was_told("stuck") == 1));
    world.run(secs(5));
    let trouble = world.host.sighting(world.now).trouble;
    assert_eq!(trouble.as_deref(), Some("could not go back: exited with code 7"));
}

#[test]
fn a_soak_says_how_long_it_lasts_at_most_and_then_what_it_waits_for() {
    let mut world = carried_to(HEADFUL, PhaseKind::Soaking);
    assert_eq!(waits_for(&world), "the soak to be over, for 5s more at most");
    world.run(Duration::from_millis(700));
    assert_eq!(waits_for(&world), "the soak to be over, for 5s more at most", "of 4.3 s");
    world.run(Duration::from_millis(3_500));
    world.unhealthy_until = world.now + Duration::from_millis(1_700);
    world.run(Duration::from_millis(1_200));
    assert_eq!(waits_for(&world), "the balancer to say in service");
    assert_eq!(world.was_told("changed"), 0);
}

#[test]
fn what_comes_back_after_a_reboot_is_out_until_it_is_well() {
    for setup in [HEADFUL, HEADLESS] {
        let mut world = serving(setup, Some("a"));
        world.behaves("a", Behaviour { healthy: Some(secs(30)), in_service: Some(secs(30)), ..GOOD });
        world.run(secs(5));
        world.place = super::balancer::Place::Absent;
        world.reboot();
        let well = if setup.headful { 60 } else { 30 };
        world.run(secs(well - 2));
        let sighting = world.host.sighting(world.now);
        assert_eq!(sighting.availability, Availability::Out, "{setup:?}");
        assert_eq!(sighting.waits_for.as_deref(), Some("its return to service"), "{setup:?}");
        world.run(secs(20));
        assert_eq!(world.host.sighting(world.now).availability, Availability::In, "{setup:?}");
    }
}

#[test]
fn what_was_seen_before_a_freeze_counts_no_more() {
    let mut world = serving(HEADFUL, Some("a"));
    world.run(secs(12));
    assert!(0 < world.host.wait.passes && world.host.wait.standing_ok);
    world.freeze(secs(60), secs(0));
    world.feed(crate::host::Event::DeadlinePassed);
    let wait = &world.host.wait;
    assert_eq!((wait.passes, wait.misses, wait.readings, wait.not_in_service), (0, 0, 0, 0));
    assert!(!wait.standing_ok && wait.read.is_none() && wait.probed.is_none());
}

#[test]
fn an_answer_from_before_a_freeze_says_nothing_of_what_is_after_it() {
    let mut world = serving(HEADFUL, Some("a"));
    assert!(world.run_until(secs(5), |world| world.host.calls.probe.is_out()));
    world.behaves("a", ILL);
    world.freeze(secs(60), secs(0));
    world.run(Duration::from_millis(500));
    assert_eq!(world.host.wait.passes, 0);
    assert_ne!(world.host.wait.probed, None, "it was looked at anew");
}

/// The balancer finds it ill only a while after it goes on: that is no time in service, and no word against the release.
#[test]
fn a_soak_stands_still_while_its_host_is_not_well_after_a_freeze() {
    let mut world = serving(HEADFUL, Some("a"));
    world.assignment.policy.soak = secs(60);
    world.change(Some("a"), Some("b"));
    let soaks = |world: &World| world.host.sighting(world.now).phase == PhaseKind::Soaking;
    assert!(world.run_until(secs(60), soaks));
    world.run(secs(1));
    world.freeze(secs(10), secs(0));
    world.run(secs(3));
    world.unhealthy_until = world.now + secs(40);
    world.run(secs(77));
    assert_eq!((world.was_told("changed"), world.was_told("failed")), (0, 0), "{:?}", world.told());
    assert!(world.run_until(secs(30), settled), "{}", waits_for(&world));
    assert_eq!(world.running(), Some("b"));
}

#[test]
fn a_soak_goes_on_after_a_freeze_also_where_there_is_nothing_to_look_at() {
    for setup in [HEADLESS, BARE] {
        let mut world = carried_to(setup, PhaseKind::Soaking);
        world.run(secs(1));
        world.freeze(secs(10), secs(0));
        assert!(world.run_until(secs(10), settled), "{setup:?}: {}", waits_for(&world));
        assert_eq!((world.was_told("failed"), world.running()), (0, Some("b")), "{setup:?}");
    }
}

/// Nothing is watched there that would wake it.
#[test]
fn a_host_that_serves_nothing_yet_tries_again_by_itself() {
    let mut world = serving(HEADFUL, None);
    world.stage_faults = 1;
    world.assignment.stage = vec![release("x")];
    world.assign();
    assert!(world.run_until(secs(20), |world| world.was_told("staged x") == 1), "{:?}", world.told());

    let mut world = serving(HEADFUL, None);
    world.refuses = true;
    world.change(None, Some("b")).run(secs(1));
    world.refuses = false;
    assert!(world.run_until(secs(10), |world| !world.acts.is_empty()), "{:?}", world.told());
}

#[test]
fn what_nobody_needs_is_collected_after_a_change_and_nothing_else() {
    let mut world = serving(HEADFUL, Some("a"));
    for id in ["old", "kept", "wanted"] {
        world.staged.insert(release(id).id);
    }
    world.assignment.keep = [release("kept").id].into();
    world.assignment.stage = vec![release("wanted")];
    world.migrate("c", 3);
    world.run(secs(2));
    world.end_migration(ExitSeen::Code(0));
    assert!(world.change(Some("a"), Some("b")).run_until(secs(60), settled));
    world.run(secs(2));
    let ids = |ids: &[&str]| ids.iter().map(|id| release(id).id).collect::<BTreeSet<_>>();
    assert_eq!(
        world.staged,
        ids(&["b", "c", "kept", "wanted"]),
        "the one served before is the fleet's to keep"
    );
    assert_eq!(world.host.sighting(world.now).staged, world.staged);
    world.assignment.stage.push(release("next"));
    world.assign();
    assert!(world.run_until(secs(5), |world| world.was_told("staged next") == 1), "{:?}", world.told());
}

#[test]
fn the_newest_incarnation_is_known_of_a_change_of_one_under_way_and_of_a_migration() {
    let of = |incarnation| Fence { incarnation: Incarnation(incarnation), revision: Revision(1) };
    let mut ledger = Ledger::default();
    assert_eq!(ledger.obeyed(), None);
    ledger.fence = Some(of(2));
    assert_eq!(ledger.obeyed(), Some(Incarnation(2)));
    ledger.migration = Some(crate::host::ledger::MigrationNote {
        fence: of(4),
        release: release("b"),
        state: MigrationProgress::Ended,
        elapsed: secs(0),
        frozen: crate::host::ledger::Freezes::default(),
    });
    assert_eq!(ledger.obeyed(), Some(Incarnation(4)));
}

#[test]
fn a_host_that_the_balancer_finds_ill_is_out_after_a_second_look() {
    let mut world = serving(HEADFUL, Some("a"));
    world.run(secs(5));
    world.unhealthy_until = world.now + secs(100);
    assert!(world.run_until(secs(13), |world| world.told() == ["out"]), "{:?}", world.told());
}

#[test]
fn a_host_that_is_out_for_a_moment_has_left_service_only_if_it_stays_out() {
    // A moment that is too short to be taken for a freeze, and for as long again the balancer tells of it.
    for moment in [1_000, 2_500, 4_500] {
        let mut world = carried_to(HEADFUL, PhaseKind::Soaking);
        world.run(secs(1));
        world.unhealthy_until = world.now + Duration::from_millis(moment);
        let began = world.unhealthy_until;
        assert!(world.run_until(secs(60), settled), "{moment} ms: {}", waits_for(&world));
        assert_eq!((world.was_told("changed"), world.was_told("failed")), (1, 0), "{moment} ms");
        assert!(began + secs(2) <= world.now, "{moment} ms: it was out, and that is no soak");
    }
    let mut world = carried_to(HEADFUL, PhaseKind::Soaking);
    world.unhealthy_until = world.now + secs(3_600);
    assert!(world.run_until(secs(10), |world| failure(world).is_some()), "{}", waits_for(&world));
    let failed = failure(&world).unwrap();
    assert_eq!(failed.cause, Cause::Release);
    assert!(failed.reason.starts_with("left service while soaking: the balancer says"), "{}", failed.reason);
}

#[test]
fn a_host_that_comes_and_goes_while_it_soaks_has_an_end() {
    let mut world = carried_to(HEADFUL, PhaseKind::Soaking);
    world.assignment.policy.soak = secs(60);
    world.assign();
    for round in 0.. {
        assert!(round < 40, "it comes and goes for ever: {}", waits_for(&world));
        world.unhealthy_until = world.now + secs(4);
        if world.run_until(secs(5), |world| failure(world).is_some()) {
            break;
        }
    }
    assert_eq!(failure(&world).unwrap().cause, Cause::Release);
}
