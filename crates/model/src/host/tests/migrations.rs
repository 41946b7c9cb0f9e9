//! Migrations: once, whatever happens.

use super::*;
use crate::{
    fleet::{
        assignment::MigrationGrant,
        command::{MigrationEnd, Report},
    },
    host::{ExitSeen, MigrationSeen, ledger::MigrationProgress},
};

fn end(world: &World) -> Option<&MigrationEnd> {
    world.reports.iter().find_map(|report| match report {
        Report::MigrationEnded { end, .. } => Some(end),
        _ => None,
    })
}

#[test]
fn a_migration_is_reported_as_it_starts_and_as_it_ends() {
    for (exit, reason) in [
        (ExitSeen::Code(0), None),
        (ExitSeen::Code(3), Some("exit code 3")),
        (ExitSeen::Signal(9), Some("killed by signal 9")),
    ] {
        let mut world = serving(HEADFUL, Some("a"));
        world.migrate("b", 5);
        world.run(secs(5));
        assert_eq!(
            (world.acts.clone(), world.told()),
            (vec!["migrate b".into()], vec!["migration started".into()])
        );
        assert_eq!(world.host.sighting(world.now).trouble, None);
        world.end_migration(exit);
        world.run(secs(5));
        let wanted = match reason {
            None => MigrationEnd::Succeeded,
            Some(reason) => MigrationEnd::Failed { reason: reason.to_owned() },
        };
        assert_eq!(end(&world), Some(&wanted));
        let tail = world.reports.iter().find_map(|report| match report {
            Report::MigrationEnded { tail, .. } => Some(tail.to_string()),
            _ => None,
        });
        assert_eq!(tail.as_deref(), Some("the last words under 1.5"));
    }
}

#[test]
fn a_migration_is_stopped_at_its_deadline() {
    let mut world = serving(HEADFUL, Some("a"));
    world.migrate("b", 5);
    world.run(secs(300));
    world.crash();
    world.run(secs(299));
    assert_eq!(world.acts, ["migrate b"]);
    world.run(secs(15));
    assert_eq!(world.acts, ["migrate b", "stop migration"]);
    assert_eq!(end(&world), Some(&MigrationEnd::Failed { reason: "deadline of 10m passed".into() }));
}

#[test]
fn an_end_that_nobody_saw_is_unknown_and_nothing_is_started_again() {
    let mut world = serving(HEADFUL, Some("a"));
    world.migrate("b", 5);
    world.run(secs(5));
    world.end_migration(ExitSeen::Unknown);
    world.reboot();
    world.run(secs(30));
    assert!(matches!(end(&world), Some(MigrationEnd::Unknown { .. })), "{:?}", world.reports);
    assert_eq!(world.acts.iter().filter(|act| *act == "migrate b").count(), 1);
}

#[test]
fn a_migration_that_the_fleet_knows_to_be_started_is_never_started_without_a_record() {
    let mut world = serving(HEADFUL, Some("a"));
    world.migrate("b", 5);
    if let Some(grant) = &mut world.assignment.migrate {
        grant.started = true;
    }
    world.assign();
    world.run(secs(5));
    // The first assignment may have come first: then it was started, and its record is taken away.
    let mut lost = serving(HEADFUL, Some("a"));
    lost.assignment.migrate = world.assignment.migrate.clone();
    lost.migrate("b", 5);
    if let Some(grant) = &mut lost.assignment.migrate {
        grant.started = true;
    }
    lost.crash();
    lost.run(secs(30));
    assert!(matches!(end(&lost), Some(MigrationEnd::Unknown { .. })), "{:?}", lost.reports);
    assert_eq!(lost.acts, [""; 0]);
}

#[test]
fn nothing_is_started_while_another_migration_runs_here() {
    let mut world = serving(HEADFUL, Some("a"));
    world.migration = Some((release("b").id, MigrationSeen::Running { fence: fence(3) }));
    world.crash();
    world.migrate("b", 5);
    world.run(secs(60));
    assert_eq!(world.acts, [""; 0]);
    assert_eq!(world.host.sighting(world.now).trouble.as_deref(), Some("another migration still runs here"));
    world.end_migration(ExitSeen::Code(1));
    world.run(secs(5));
    assert_eq!(world.acts, ["migrate b"], "a newer grant is an operator's retry");
}

#[test]
fn a_migration_whose_release_never_comes_is_given_back() {
    let mut world = serving(HEADFUL, Some("a"));
    world.migrate("zz", 5);
    world.run(secs(700));
    assert!(matches!(end(&world), Some(MigrationEnd::NotStarted { .. })), "{:?}", world.reports);
    let tails = world.reports.iter().filter_map(|report| match report {
        Report::MigrationEnded { tail, .. } => Some(&**tail),
        _ => None,
    });
    assert_eq!(tails.collect::<Vec<_>>(), [""], "it has written nothing");
    assert_eq!(world.acts, [""; 0]);
}

#[test]
fn a_lock_that_is_taken_away_before_the_start_is_let_go() {
    let mut world = serving(HEADFUL, Some("a"));
    world.migrate("zz", 5);
    world.run(secs(5));
    world.assignment.migrate = None;
    world.assign();
    world.staged.insert(release("zz").id);
    world.crash();
    world.run(secs(60));
    assert_eq!((world.acts.clone(), world.told()), (vec![], vec![]));
    let state = world.host.ledger().migration.as_ref().map(|note| note.state);
    assert_eq!(state, Some(MigrationProgress::Ended));
}

#[test]
fn an_assignment_from_before_the_grant_takes_no_lock_away_after_a_restart() {
    for older in [false, true] {
        let mut world = serving(HEADFUL, Some("a"));
        world.revision = 149;
        world.migrate("zz", 150);
        world.run(secs(5));
        // The agent died before it started it, and its replica has not caught up when it is asked first: it knows of no lock, or of an
        // older one.
        let grant = world.assignment.migrate.take();
        world.assignment.migrate = grant
            .clone()
            .filter(|_| older)
            .map(|grant| MigrationGrant { fence: Fence { revision: Revision(110), ..grant.fence }, ..grant });
        world.revision = 120;
        world.crash();
        world.run(secs(5));
        world.revision = 150;
        world.assignment.migrate = grant;
        world.staged.insert(release("zz").id);
        world.assign();
        world.run(secs(30));
        // What is said of the older grant is refused by a fleet that has given another since.
        let ends = |report: &&Report| matches!(report, Report::MigrationEnded { fence, .. } if fence.revision == Revision(150));
        assert_eq!(world.reports.iter().find(ends), None, "older: {older}");
        assert_eq!(world.acts, ["migrate zz"], "older: {older}");
    }
}

#[test]
fn an_end_that_was_lost_with_the_old_cluster_is_told_again_from_the_record() {
    let mut world = serving(HEADFUL, Some("a"));
    world.migrate("b", 5);
    world.run(secs(5));
    let lock = world.assignment.migrate.clone();
    world.end_migration(ExitSeen::Code(0));
    world.run(secs(5));
    world.forget();
    // The replica that the cluster was rebuilt from had not seen it.
    world.assignment.migrate = lock;
    world.assign();
    world.run(secs(8));
    assert_eq!(end(&world), Some(&MigrationEnd::Succeeded));
    assert_eq!(world.acts, [""; 0], "it is not started again");
}

#[test]
fn what_became_of_another_release_under_the_same_number_or_under_an_older_one_is_no_answer() {
    for (number, named) in [(5, "c"), (4, "b")] {
        let mut world = serving(HEADFUL, Some("a"));
        world.migrate("b", 5);
        world.run(secs(5));
        world.end_migration(ExitSeen::Code(0));
        world.run(secs(5));
        world.forget();
        // A cluster that was rebuilt asks, which knows of another grant.
        world.migrate(named, number);
        world.run(secs(8));
        let Some(MigrationEnd::Unknown { reason }) = end(&world) else { panic!("{:?}", world.reports) };
        assert!(reason.contains(release("b").id.as_str()), "{reason}");
        assert_eq!(world.acts, [""; 0], "nothing is started under a number that was used");
    }
}

#[test]
fn a_host_remembers_the_migrations_that_it_was_granted_each_release_once_and_the_last_64() {
    let mut world = serving(HEADFUL, Some("a"));
    assert!(!serde_json::to_string(world.host.ledger()).unwrap().contains("migrated_before"));
    let known = |world: &World| {
        let ledger = world.host.ledger();
        let before = ledger.migrated_before.iter().map(|(fence, release)| (*fence, release.clone()));
        before
            .chain(ledger.migrated())
            .map(|(fence, release)| (fence.revision.0, release.id))
            .collect::<Vec<_>>()
    };
    for (revision, id) in [(5, "b"), (6, "c"), (7, "b"), (8, "b"), (9, "d")] {
        world.migrate(id, revision);
        world.run(secs(1));
        world.end_migration(ExitSeen::Code(0));
        world.run(secs(1));
    }
    world.crash();
    let expected = [(6, "c"), (8, "b"), (9, "d")].map(|(revision, id)| (revision, release(id).id));
    assert_eq!(known(&world), expected);
    for revision in 10..110 {
        world.migrate(&format!("e{revision}"), revision);
        world.run(secs(1));
    }
    let known = known(&world);
    assert_eq!((known.len(), known[0].0, known[63].0), (64, 46, 109));
}

#[test]
fn a_migration_ends_at_its_deadline_where_nothing_is_served_yet() {
    for crashes in [false, true] {
        let mut world = serving(HEADFUL, None);
        world.assignment.policy.deadlines.migrate = secs(605);
        world.migrate("b", 5);
        world.run(secs(300));
        if crashes {
            world.crash();
        }
        world.run(secs(304));
        assert_eq!(world.acts, ["migrate b"]);
        // What it had lasted is written down every 10 s.
        world.run(secs(if crashes { 12 } else { 2 }));
        assert_eq!(world.acts, ["migrate b", "stop migration"], "crashes: {crashes}");
    }
}

#[test]
fn what_the_fleet_believes_to_be_started_is_not_started_though_this_host_has_only_just_been_able_to() {
    let mut world = serving(HEADFUL, Some("a"));
    world.migrate("zz", 5);
    world.run(secs(5));
    world.staged.insert(release("zz").id);
    if let Some(grant) = &mut world.assignment.migrate {
        grant.started = true;
    }
    world.assign();
    world.crash();
    world.run(secs(30));
    assert!(matches!(end(&world), Some(MigrationEnd::Unknown { .. })), "{:?}", world.reports);
    assert_eq!(world.acts, [""; 0]);
}
