//! P2 and P3: started once, and no host starts a release whose migration is not recorded.

use super::*;
use crate::policy::MigratePer;

fn state(lab: &Lab, name: &str, host: u32) -> MigrationState {
    lab.service().migration(&release(name), &h(host))
}

fn unknown() -> MigrationEnd {
    MigrationEnd::Unknown { reason: "nobody saw".into() }
}

fn failed() -> MigrationEnd {
    MigrationEnd::Failed { reason: "exit code 3".into() }
}

fn resolve(verdict: Verdict) -> Request {
    Request::ResolveMigration { release: id("m1"), verdict }
}

#[test]
fn the_lock_is_given_once_per_fleet() {
    let mut lab = Lab::serving(2);
    let rollout = lab.pushed("m1");
    assert_no(&lab.grant_migration(1, "m1"), "no rollout");
    lab.stages("m1");
    lab.step(Step::EndStaging { rollout, dropped: Vec::new() }).unwrap();
    assert_no(&lab.grant_migration(9, "m1"), "unknown host");
    assert_no(&lab.grant_migration(1, "m2"), "no rollout");
    assert_eq!(lab.grant_migration(1, "m1"), Ok(()));
    assert_no(&lab.grant_migration(2, "m1"), "migration locked");
    assert_no(&lab.step(Step::EndMigrating { rollout }), "not migrated");
    lab.migration_ended(1, MigrationEnd::Succeeded);
    assert_no(&lab.grant_migration(2, "m1"), "migration locked");
    assert_eq!(lab.step(Step::EndMigrating { rollout }), Ok(()));
}

#[test]
fn the_lock_is_given_on_each_host_one_after_the_other() {
    let mut lab = Lab::serving_with(2, Policy { migrate: MigratePer::Host, ..policy(1) });
    let rollout = lab.staged("m1");
    lab.grant_migration(1, "m1").unwrap();
    assert_no(&lab.grant_migration(2, "m1"), "migration locked");
    lab.migration_ended(1, MigrationEnd::Succeeded);
    assert_no(&lab.grant_migration(1, "m1"), "migration locked");
    assert_no(&lab.step(Step::EndMigrating { rollout }), "not migrated");
    lab.migrates(2, "m1", MigrationEnd::Succeeded);
    assert_eq!(lab.step(Step::EndMigrating { rollout }), Ok(()));
    lab.finishes();
}

#[test]
fn another_machine_of_the_same_name_is_migrated_by_itself() {
    let mut lab = Lab::serving_with(2, Policy { migrate: MigratePer::Host, ..policy(1) });
    let rollout = lab.staged("m1");
    lab.migrates(1, "m1", MigrationEnd::Succeeded);
    lab.migrates(2, "m1", MigrationEnd::Succeeded);
    assert_eq!(lab.step(Step::EndMigrating { rollout }), Ok(()));
    lab.finishes();
    lab.apply(Act::Depart { host: h(2), evidence: Evidence::Removed(by("it burns")) });
    lab.apply(Act::Enrol(enrolment(2, "state-2")));
    assert_eq!(state(&lab, "m1", 2), MigrationState::Succeeded, "it is back with its own disk");
    lab.apply(Act::Depart { host: h(2), evidence: Evidence::Removed(by("it burns")) });
    lab.apply(Act::Enrol(enrolment(2, "another state")));
    assert_eq!(state(&lab, "m1", 2), MigrationState::Never);
    assert_eq!(state(&lab, "m1", 1), MigrationState::Succeeded);
}

#[test]
fn what_nobody_knows_of_a_machine_that_is_gone_is_not_said_of_the_next_one() {
    let mut lab = Lab::serving_with(2, Policy { migrate: MigratePer::Host, ..policy(1) });
    let rollout = lab.staged("m1");
    lab.migrates(1, "m1", MigrationEnd::Succeeded);
    lab.grant_migration(2, "m1").unwrap();
    lab.terminate(2);
    assert!(matches!(state(&lab, "m1", 2), MigrationState::Unknown { .. }));
    let phase = lab.rollout(rollout).phase.clone();
    assert!(matches!(phase, RolloutPhase::Halted { why: Halt::MigrationUnknown { .. }, .. }), "{phase}");
    lab.apply(Act::Enrol(enrolment(2, "another state")));
    assert_eq!(state(&lab, "m1", 2), MigrationState::Never);
    assert_eq!(lab.rollout(rollout).phase, RolloutPhase::Migrating, "nothing waits for a word any more");
    assert_refused(&lab.ask(resolve(Verdict::Succeeded)), "not now");
}

#[test]
fn where_it_runs_is_settled_by_the_first_grant() {
    let mut lab = Lab::serving(2);
    lab.staged("m1");
    lab.grant_migration(1, "m1").unwrap();
    lab.ask(Request::SetPolicy { policy: Policy { migrate: MigratePer::Host, ..policy(1) } });
    lab.migration_ended(1, MigrationEnd::Succeeded);
    assert_eq!(state(&lab, "m1", 2), MigrationState::Succeeded);
}

#[test]
fn a_failure_ends_the_rollout_and_condemns_the_release() {
    let mut lab = Lab::serving(2);
    let rollout = lab.staged("m1");
    lab.migrates(1, "m1", failed());
    assert_eq!(lab.outcome(rollout), Some(&Outcome::FailedInMigration));
    assert_eq!(Outcome::FailedInMigration.exit_code(), 1);
    assert_refused(&lab.push("m1"), "quarantined");
    assert!(lab.fleet.declaring(&web()).all(|(_, here)| here.current_id() == Some(&id("a"))));
}

#[test]
fn a_failure_after_the_abort_condemns_the_release_all_the_same() {
    let mut lab = Lab::serving(2);
    let rollout = lab.staged("m1");
    lab.grant_migration(1, "m1").unwrap();
    lab.ask(Request::Abort { leave: false });
    assert_eq!(lab.outcome(rollout), Some(&Outcome::Aborted));
    lab.migration_ended(1, failed());
    assert_refused(&lab.push("m1"), "quarantined");
}

#[test]
fn an_end_that_nobody_saw_is_held_for_an_operator() {
    type Lose = fn(&mut Lab);
    let table: &[(&str, Lose)] = &[
        ("reported", |lab| drop(lab.migration_ended(1, unknown()))),
        ("terminated", |lab| drop(lab.terminate(1))),
        ("lock broken", |lab| drop(lab.ask(Request::BreakMigrationLock))),
    ];
    for (what, lose) in table {
        let mut lab = Lab::serving(2);
        let rollout = lab.staged("m1");
        lab.grant_migration(1, "m1").unwrap();
        lose(&mut lab);
        let why = Halt::MigrationUnknown { host: h(1) };
        let halted = RolloutPhase::Halted { during: Halting::Migrating, why };
        assert_eq!(lab.rollout(rollout).phase, halted, "{what}");
        assert_eq!(lab.service().migration_lock, None, "{what}");
        assert!(matches!(state(&lab, "m1", 2), MigrationState::Unknown { .. }), "{what}");
        assert_no(&lab.grant_migration(2, "m1"), "no rollout");
        assert_refused(&lab.ask(Request::Resume), "not now");
    }
}

#[test]
fn silence_frees_no_migration_lock() {
    let mut lab = Lab::serving(2);
    lab.staged("m1");
    lab.grant_migration(1, "m1").unwrap();
    lab.silent(1);
    assert_no(&lab.grant_migration(2, "m1"), "migration locked");
    assert_eq!(lab.migration_ended(1, MigrationEnd::Succeeded), Reply::Done);
}

#[test]
fn a_late_word_under_an_old_fence_is_refused() {
    let mut lab = Lab::serving(2);
    lab.staged("m1");
    lab.grant_migration(1, "m1").unwrap();
    let fence = lab.service().migration_lock.as_ref().unwrap().fence;
    lab.ask(Request::BreakMigrationLock);
    lab.ask(resolve(Verdict::Retry));
    lab.grant_migration(1, "m1").unwrap();
    let end = MigrationEnd::Succeeded;
    assert_refused(
        &lab.report(1, Report::MigrationEnded { fence, end: end.clone(), tail: "".into() }),
        "outdated",
    );
    assert_refused(&lab.report(1, Report::MigrationStarted { fence }), "outdated");
    let fence = lab.service().migration_lock.as_ref().unwrap().fence;
    assert_refused(&lab.report(2, Report::MigrationEnded { fence, end, tail: "".into() }), "outdated");
}

#[test]
fn an_operator_resolves_the_doubt() {
    for verdict in [Verdict::Succeeded, Verdict::Failed, Verdict::Retry] {
        let mut lab = Lab::serving(2);
        let rollout = lab.staged("m1");
        assert_refused(&lab.ask(resolve(verdict)), "not now");
        lab.migrates(1, "m1", unknown());
        assert_eq!(lab.ask(resolve(verdict)), Reply::Done, "{verdict:?}");
        match verdict {
            Verdict::Succeeded => {
                assert_eq!(lab.step(Step::EndMigrating { rollout }), Ok(()));
            }
            Verdict::Failed => {
                assert_eq!(lab.outcome(rollout), Some(&Outcome::FailedInMigration));
                assert_refused(&lab.push("m1"), "quarantined");
            }
            Verdict::Retry => lab.migrates(2, "m1", MigrationEnd::Succeeded),
        }
        assert_refused(&lab.ask(resolve(verdict)), "not now");
    }
}

#[test]
fn a_new_push_of_a_release_in_doubt_is_halted_too() {
    let mut lab = Lab::serving(2);
    lab.staged("m1");
    lab.migrates(1, "m1", unknown());
    lab.ask(Request::Abort { leave: false });
    let rollout = lab.staged("m1");
    let why = Halt::MigrationUnknown { host: h(1) };
    assert_eq!(lab.rollout(rollout).phase, RolloutPhase::Halted { during: Halting::Migrating, why });
    lab.ask(resolve(Verdict::Failed));
    assert_eq!(lab.outcome(rollout), Some(&Outcome::FailedInMigration));
}

#[test]
fn one_that_was_not_started_may_be_started_again() {
    let mut lab = Lab::serving(2);
    lab.staged("m1");
    lab.grant_migration(1, "m1").unwrap();
    lab.migration_ended(1, MigrationEnd::NotStarted { reason: "the release is gone".into() });
    assert_eq!(lab.grant_migration(2, "m1"), Ok(()));
}

#[test]
fn one_that_was_started_cannot_turn_out_not_to_have_been() {
    let mut lab = Lab::serving(2);
    lab.staged("m1");
    lab.migrates(1, "m1", MigrationEnd::NotStarted { reason: "no record".into() });
    assert!(matches!(state(&lab, "m1", 2), MigrationState::Unknown { .. }));
}

#[test]
fn no_host_starts_a_release_that_is_not_migrated() {
    // A joiner of a fleet that migrates on each host.
    let mut lab = Lab::serving_with(1, Policy { migrate: MigratePer::Host, ..policy(1) });
    lab.completes("m1");
    lab.enrol(2);
    lab.stages("m1");
    assert_no(&lab.step(Step::Converge { host: h(2) }), "not migrated");
    lab.grant_migration(2, "m1").unwrap();
    assert_no(&lab.step(Step::Converge { host: h(2) }), "not migrated");
    lab.migration_ended(2, MigrationEnd::Succeeded);
    assert_eq!(lab.step(Step::Converge { host: h(2) }), Ok(()));
}

#[test]
fn a_joiners_failure_does_not_condemn_what_all_others_run() {
    let mut lab = Lab::serving_with(1, Policy { migrate: MigratePer::Host, ..policy(1) });
    lab.completes("m1");
    lab.enrol(2);
    lab.stages("m1");
    lab.migrates(2, "m1", failed());
    assert!(lab.service().quarantine.is_empty());
    assert_eq!(lab.ask(resolve(Verdict::Retry)), Reply::Done);
    assert_eq!(lab.grant_migration(2, "m1"), Ok(()));
}

#[test]
fn a_failure_while_hosts_are_changed_rolls_them_back() {
    let mut lab = Lab::serving_with(2, Policy { migrate: MigratePer::Host, ..policy(2) });
    let rollout = lab.staged("m1");
    lab.migrates(1, "m1", MigrationEnd::Succeeded);
    lab.silent(2);
    lab.step(Step::EndMigrating { rollout }).unwrap();
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.changes(1);
    lab.migrates(2, "m1", unknown());
    assert_eq!(lab.ask(resolve(Verdict::Failed)), Reply::Done);
    let RolloutPhase::RollingBack { by } = lab.rollout(rollout).phase else { panic!("not rolled back") };
    assert_eq!(lab.part(by, 1), PartState::Pending, "h1 was changed, and is not forgotten");
}

#[test]
fn an_abort_in_doubt_takes_changed_hosts_back() {
    let mut lab = Lab::serving_with(2, Policy { migrate: MigratePer::Host, ..policy(2) });
    let rollout = lab.staged("m1");
    lab.migrates(1, "m1", MigrationEnd::Succeeded);
    lab.silent(2);
    lab.step(Step::EndMigrating { rollout }).unwrap();
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.changes(1);
    lab.migrates(2, "m1", unknown());
    lab.ask(Request::Abort { leave: false });
    assert!(matches!(lab.rollout(rollout).phase, RolloutPhase::RollingBack { .. }));
}

#[test]
fn a_doubt_that_ends_badly_ends_a_new_push_of_the_release_in_staging() {
    let mut lab = Lab::serving(2);
    lab.staged("m1");
    lab.migrates(1, "m1", unknown());
    lab.ask(Request::Abort { leave: false });
    let rollout = lab.pushed("m1");
    lab.ask(resolve(Verdict::Failed));
    assert_eq!(lab.outcome(rollout), Some(&Outcome::FailedInMigration));
}

#[test]
fn what_a_failed_migration_wrote_is_kept_as_long_as_its_rollout_and_its_outcome_for_good() {
    let mut lab = Lab::serving(1);
    for n in 1..=60 {
        let name = format!("m{n}");
        lab.staged(&name);
        lab.migrates(1, &name, failed());
    }
    let tail = |name: &str| match state(&lab, name, 1) {
        MigrationState::Failed { tail, .. } => tail.to_string(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!((tail("m1"), tail("m60")), (String::new(), "log".to_owned()));
    assert!(lab.service().quarantine.contains_key(&id("m1")));
}

#[test]
fn what_is_known_of_a_migration_is_told_once_for_the_fleet_or_for_each_host() {
    let running = |host| MigrationState::Running { host: h(host), started: false };
    for (migrate, expected) in [(MigratePer::Fleet, None), (MigratePer::Host, Some(h(1)))] {
        let mut lab = Lab::serving_with(2, Policy { migrate, ..policy(1) });
        lab.staged("m1");
        lab.grant_migration(1, "m1").unwrap();
        let known = &lab.service().migrations[&id("m1")];
        assert_eq!(known.states().collect::<Vec<_>>(), [(expected.as_ref(), &running(1))]);
    }
}
