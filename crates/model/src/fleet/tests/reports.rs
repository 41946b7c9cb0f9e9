//! What hosts say of themselves outside of a change, and what it costs to go back.

use super::*;
use crate::policy::MigratePer;

#[test]
fn what_a_host_says_that_it_runs_adds_it_to_no_sum_and_takes_it_from_none() {
    let mut lab = Lab::bare(2);
    lab.report(1, Report::Runs { release: Some(release("z")) });
    assert!(!lab.here(1).counted, "it was never in service");
    lab.availability(1, Availability::In, Cause::Surroundings);
    assert!(lab.here(1).counted);
    lab.report(1, Report::Runs { release: Some(release("y")) });
    assert!(lab.here(1).counted, "it runs something");
    lab.report(1, Report::Runs { release: None });
    assert!(!lab.here(1).counted, "nothing has completed yet that would be missed there");
    let mut lab = Lab::serving(2);
    lab.report(1, Report::Runs { release: None });
    assert!(lab.here(1).counted, "P1: what has completed is missed there");
}

#[test]
fn who_has_nothing_to_come_back_to_after_its_maintenance_counts_as_out() {
    let mut lab = Lab::bare(2);
    lab.staged("a");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.changes(1);
    lab.parks(1);
    lab.ask(Request::Abort { leave: false });
    lab.ask(Request::Admit { host: h(1) });
    assert_eq!(lab.here(1).change.as_ref().unwrap().to, None, "the first release is taken back everywhere");
    lab.changes(1);
    assert_eq!((lab.here(1).current_id(), lab.here(1).availability), (None, Availability::Out));
    assert!(lab.here(1).counted, "P1");
}

#[test]
fn what_is_known_already_is_not_told_again() {
    let mut lab = Lab::serving(2);
    lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.changes(1);
    lab.falls_out(2, Cause::Release);
    let before = lab.fleet.events.len();
    assert_eq!(lab.availability(1, Availability::In, Cause::Surroundings), Reply::Done);
    assert_eq!(lab.falls_out(2, Cause::Release), Reply::Done);
    assert_eq!(lab.fleet.events.len(), before);
}

#[test]
fn troubles_of_staging_are_kept_up_to_a_limit() {
    let mut lab = Lab::bare(1);
    for n in 10..30 {
        let (release, reason) = (id(&format!("r{n}")), "no space".to_owned());
        lab.report(1, Report::NotStaged { release, reason });
    }
    let kept: Vec<_> = lab.here(1).stage_trouble.keys().map(ToString::to_string).collect();
    assert_eq!((kept.len(), kept[0].as_str()), (16, "r14"));
}

#[test]
fn a_roll_back_is_not_halted_for_a_host_that_is_set_back_again_and_again() {
    let mut lab = Lab::serving(2);
    lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.changes(1);
    lab.ask(Request::Abort { leave: false });
    let rollback = lab.active();
    lab.wave(&[1]);
    for _ in 0..6 {
        lab.grant(1).unwrap();
        lab.begins(1);
        let fence = lab.fence(1);
        lab.report(1, Report::Failed { fence, failure: failure(Cause::Surroundings) });
        lab.reverts(1);
        assert_eq!(lab.rollout(rollback).phase, RolloutPhase::Rolling, "it has nothing better to do");
    }
}

#[test]
fn a_release_that_failed_on_a_host_is_no_fault_of_the_host_and_has_failed_there_for_this_rollout() {
    let mut lab = Lab::serving_with(3, Policy { failure_tolerance: 1, ..policy(1) });
    let rollout = lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.begins(1);
    lab.fails(1);
    lab.reverts(1);
    assert_eq!((lab.here(1).abandoned, lab.here(1).setbacks), (0, 0));
    lab.report(1, Report::Runs { release: Some(release("b")) });
    assert_eq!(lab.part(rollout, 1), PartState::Failed, "somebody has started it there by hand");
}

/// `h3` joined while `m2` was rolled out, and is to go back to `m1`, for which it was never migrated.
fn back_to_what_a_host_never_had() -> (Lab, RolloutId) {
    let mut lab = Lab::serving_with(2, Policy { migrate: MigratePer::Host, ..policy(3) });
    for name in ["m1", "m2"] {
        let rollout = lab.staged(name);
        lab.migrates(1, name, MigrationEnd::Succeeded);
        lab.migrates(2, name, MigrationEnd::Succeeded);
        assert_eq!(lab.step(Step::EndMigrating { rollout }), Ok(()));
        if name == "m1" {
            lab.finishes();
        }
    }
    let rollout = lab.active();
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.changes(1);
    lab.end_wave();
    lab.enrol(3);
    lab.stages("m1");
    lab.stages("m2");
    assert_eq!(lab.step(Step::Adopt { rollout, host: h(3) }), Ok(()));
    lab.migrates(3, "m2", MigrationEnd::Succeeded);
    lab.wave(&[3]);
    lab.grant(3).unwrap();
    lab.changes(3);
    lab.end_wave();
    lab.wave(&[2]);
    lab.grant(2).unwrap();
    lab.begins(2);
    lab.fails(2);
    let rollback = lab.active();
    assert!(lab.rollout(rollback).is_rollback());
    (lab, rollback)
}

#[test]
fn a_roll_back_goes_on_without_a_host_whose_migration_ends_badly_in_it() {
    let unknown = MigrationEnd::Unknown { reason: "nobody saw".into() };
    let failed = MigrationEnd::Failed { reason: "exit code 3".into() };
    for end in [unknown, failed] {
        let (mut lab, rollback) = back_to_what_a_host_never_had();
        lab.migrates(3, "m1", end.clone());
        if matches!(end, MigrationEnd::Unknown { .. }) {
            assert!(matches!(lab.rollout(rollback).phase, RolloutPhase::Halted { .. }));
            let verdict = Verdict::Failed;
            lab.ask(Request::ResolveMigration { release: id("m1"), verdict });
        }
        assert_eq!(lab.part(rollback, 3), PartState::Failed, "{end:?}");
        assert_eq!(lab.rollout(rollback).phase, RolloutPhase::Rolling, "{end:?}: the others go back");
        assert!(!lab.service().quarantine.contains_key(&id("m1")), "{end:?}");
    }
}

#[test]
fn what_comes_late_about_the_release_before_is_not_held_against_the_next_one() {
    let mut lab = Lab::serving(2);
    let rollout = lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.changes(1);
    let ill = |of: &str| Report::Availability {
        availability: Availability::Out,
        cause: Cause::Release,
        reason: "exited with code 1".into(),
        tail: "".into(),
        of: Some(id(of)),
    };
    assert_eq!(lab.report(1, ill("a")), Reply::Done);
    assert!(lab.service().quarantine.is_empty(), "a had exited, before it was changed to b");
    assert_eq!(lab.rollout(rollout).phase, RolloutPhase::Rolling);
    assert_eq!(lab.report(1, ill("b")), Reply::Done);
    assert!(lab.service().quarantine.contains_key(&id("b")));
}
