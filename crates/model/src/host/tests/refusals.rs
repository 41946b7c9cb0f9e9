//! A supervisor that says no: what is tried again, what ends there, and whose fault it is.

use super::{
    process::{Behaviour, GOOD},
    *,
};
use crate::{
    fleet::command::{Cause, Failure, MigrationEnd, Report},
    host::{Denied, FaultSeen, FaultWord, ProcessSeen},
};

fn settled(world: &World) -> bool {
    world.assignment.change.is_none() && world.host.ledger().change.is_none()
}

fn fault(kind: FaultWord) -> Denied {
    Denied::Fault(FaultSeen { kind, text: "ask the keeper: no".to_owned() })
}

fn failure(world: &World) -> Option<&Failure> {
    world.reports.iter().find_map(|report| match report {
        Report::Failed { failure, .. } => Some(failure),
        _ => None,
    })
}

fn end(world: &World) -> Option<&MigrationEnd> {
    world.reports.iter().find_map(|report| match report {
        Report::MigrationEnded { end, .. } => Some(end),
        _ => None,
    })
}

fn trouble(world: &World) -> String {
    world.host.sighting(world.now).trouble.unwrap_or_default()
}

#[test]
fn a_keeper_that_is_away_for_a_moment_fails_nothing() {
    let mut world = serving(HEADFUL, Some("a"));
    world.denies = vec![
        ("stop", fault(FaultWord::Transient)),
        ("stop", fault(FaultWord::Throttled)),
        ("start", fault(FaultWord::Transient)),
        ("start", fault(FaultWord::Throttled)),
    ];
    assert!(world.change(Some("a"), Some("b")).run_until(secs(60), settled));
    assert_eq!((world.was_told("failed"), world.running()), (0, Some("b")), "{:?}", world.reports);
}

#[test]
fn what_cannot_be_started_ends_at_once_and_only_what_cannot_be_run_is_the_releases_fault() {
    let (permanent, exec) = (fault(FaultWord::Permanent), Denied::Exec { text: "no interpreter".to_owned() });
    let occupied = Denied::Occupied { text: "z runs".to_owned() };
    for (denied, cause, reason) in [
        (permanent, Cause::Surroundings, "ask the keeper: no"),
        (occupied, Cause::Surroundings, "start: z runs"),
        (exec, Cause::Release, "no interpreter"),
    ] {
        let mut world = serving(HEADFUL, Some("a"));
        world.denies = vec![("start", denied)];
        world.change(Some("a"), Some("b"));
        let failed = |world: &World| failure(world).is_some();
        assert!(world.run_until(secs(20), failed), "{reason}: {:?}", world.host.sighting(world.now));
        let failure = failure(&world).unwrap();
        assert_eq!((failure.phase, failure.cause), (PhaseKind::Starting, cause));
        assert_eq!(failure.reason, reason);
        assert!(world.run_until(secs(60), settled));
        assert_eq!(world.running(), Some("a"));
    }
}

#[test]
fn a_process_that_is_not_there_once_it_was_started_is_no_word_against_the_release() {
    let mut world = serving(HEADFUL, Some("a"));
    world.verify_ms = 1_000;
    world.change(Some("a"), Some("b"));
    assert!(world.run_until(secs(60), |world| world.running() == Some("b")));
    world.process = ProcessSeen::Stopped;
    world.news();
    assert!(world.run_until(secs(10), |world| failure(world).is_some()), "{}", trouble(&world));
    let failure = failure(&world).unwrap();
    assert_eq!((failure.phase, failure.cause), (PhaseKind::Starting, Cause::Surroundings));
    assert_eq!(failure.reason, "the supervisor no longer runs it");
}

#[test]
fn what_failed_is_not_kept_running_while_it_cannot_be_stopped() {
    let mut world = serving(HEADFUL, Some("a"));
    world.behaves("b", Behaviour { healthy: None, ..GOOD });
    world.change(Some("a"), Some("b"));
    assert!(world.run_until(secs(300), |world| failure(world).is_some()));
    world.supervisor_is_gone = true;
    assert!(world.run_until(secs(600), |world| world.was_told("stuck") == 1));
    world.run(secs(5));
    assert_eq!((world.running(), world.keep), (Some("b"), false));

    // The same where nothing may be started in its place.
    let mut world = serving(HEADFUL, Some("a"));
    world.behaves("b", Behaviour { in_service: None, ..GOOD });
    world.grant(ChangeGrant { fallback: false, ..grant(5, Some("a"), Some("b")) });
    assert!(world.run_until(secs(300), |world| world.was_told("stuck") == 1));
    world.run(secs(1));
    assert_eq!((world.running(), world.keep), (Some("b"), false), "it drains");
}

#[test]
fn an_old_release_that_ends_as_soon_as_it_is_started_is_left_to_its_keeper() {
    let mut world = serving(HEADFUL, Some("a"));
    let exits = Behaviour { exits: Some((Duration::from_millis(5), 1)), healthy: None, ..GOOD };
    (world.behaviours, world.verify_ms) = ([("a".into(), exits), ("b".into(), exits)].into(), 30);
    world.change(Some("a"), Some("b"));
    assert!(world.run_until(secs(60), |world| world.was_told("stuck") == 1), "{:?}", world.told());
    world.run(secs(60));
    let starts = world.acts.iter().filter(|act| *act == "start a").count();
    assert!(starts <= 2, "{starts} times");
    assert!(10 < world.host.sighting(world.now).restarts, "the keeper starts it again and again");
}

#[test]
fn a_migration_that_could_not_be_called_is_tried_again_and_started_once() {
    for denied in [fault(FaultWord::Transient), Denied::Occupied { text: "ask the keeper: no".to_owned() }] {
        let mut world = serving(HEADFUL, Some("a"));
        world.denies = vec![("migrate", denied)];
        world.migrate("b", 5);
        assert!(world.run_until(secs(2), |world| trouble(world).starts_with("ask the keeper: no; next try")));
        assert_eq!((world.acts.len(), end(&world)), (0, None));
        world.run(secs(10));
        assert_eq!((world.acts.clone(), end(&world)), (vec!["migrate b".to_owned()], None));
        world.end_migration(crate::host::ExitSeen::Code(0));
        world.run(secs(5));
        assert_eq!(end(&world), Some(&MigrationEnd::Succeeded));
    }
}

#[test]
fn a_migration_of_which_there_is_no_record_is_called_again_after_a_while() {
    let mut world = serving(HEADFUL, Some("a"));
    world.migrations_forgotten = 1;
    world.migrate("b", 5);
    let says = "the supervisor has no record of the migration yet; next try";
    assert!(world.run_until(secs(2), |world| trouble(world).starts_with(says)), "{}", trouble(&world));
    world.run(secs(10));
    assert_eq!((world.acts.clone(), trouble(&world)), (vec!["migrate b".to_owned()], String::new()));
}

#[test]
fn a_migration_that_was_refused_for_good_is_given_back_and_one_that_cannot_be_run_has_failed() {
    let stale = "the supervisor has seen fence 1.9, which is newer".to_owned();
    for (denied, expected) in [
        (fault(FaultWord::Permanent), MigrationEnd::NotStarted { reason: "ask the keeper: no".to_owned() }),
        (Denied::Stale { newest: fence(9) }, MigrationEnd::NotStarted { reason: stale }),
        (Denied::Exec { text: "no shell".into() }, MigrationEnd::Failed { reason: "no shell".into() }),
    ] {
        let mut world = serving(HEADFUL, Some("a"));
        world.denies = vec![("migrate", denied)];
        world.migrate("b", 5);
        world.run(secs(2));
        assert_eq!(end(&world), Some(&expected));
        world.run(secs(60));
        assert_eq!(world.acts, [""; 0]);
    }
}

#[test]
fn a_migration_that_could_not_be_stopped_is_told_to_stop_again() {
    for denied in [
        fault(FaultWord::Transient),
        Denied::Stale { newest: fence(9) },
        Denied::Occupied { text: "busy".to_owned() },
    ] {
        let mut world = serving(HEADFUL, Some("a"));
        world.denies = vec![("stop migration", denied)];
        world.migrate("b", 5);
        world.run(secs(610));
        assert_eq!(world.acts, ["migrate b", "stop migration", "stop migration"]);
        assert_eq!(end(&world), Some(&MigrationEnd::Failed { reason: "deadline of 10m passed".into() }));
    }
}
