//! P6: a failed release stays failed.

use super::*;

/// `b` has failed on `h1`, and the fleet is back on `a`.
fn condemned() -> (Lab, RolloutId) {
    let mut lab = Lab::serving(2);
    let rollout = lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.begins(1);
    lab.fails(1);
    lab.reverts(1);
    let rollback = lab.active();
    assert_eq!(lab.step(Step::Complete { rollout: rollback }), Ok(()));
    (lab, rollout)
}

#[test]
fn a_failed_release_is_rolled_back_and_condemned() {
    let (mut lab, rollout) = condemned();
    assert_eq!(lab.outcome(rollout), Some(&Outcome::RolledBack));
    assert_eq!(lab.service().quarantine[&id("b")].rollout, Some(rollout));
    assert_refused(&lab.push("b"), "quarantined");
    assert_eq!(lab.service().last_completed(), Some(&release("a")));
    assert!(!lab.service().wanted().contains(&release("b")));
}

#[test]
fn an_operator_may_release_it_with_a_reason() {
    let (mut lab, _) = condemned();
    let request = Request::ReleaseQuarantine { release: id("b") };
    let silent = Act::Ask { service: web(), by: by(""), request: request.clone() };
    assert_refused(&lab.apply(silent), "reason missing");
    assert_eq!(lab.ask(request.clone()), Reply::Done);
    assert_refused(&lab.ask(request), "not now");
    assert_eq!(lab.here(1).failed, None);
    lab.completes("b");
}

#[test]
fn no_slot_is_given_for_it() {
    let mut lab = Lab::serving_with(3, Policy { on_failure: OnFailure::Pause, ..policy(2) });
    lab.staged("b");
    lab.wave(&[1, 2, 3]);
    lab.grant(1).unwrap();
    lab.begins(1);
    lab.fails(1);
    assert_no(&lab.grant(2), "outdated");
    assert_refused(&lab.ask(Request::Resume), "not now");
}

#[test]
fn a_superseded_release_is_condemned_when_a_host_in_mid_step_fails_on_it() {
    let mut lab = Lab::serving(2);
    let old = lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.begins(1);
    let new = lab.staged("c");
    assert_eq!(lab.outcome(old), Some(&Outcome::Superseded { by: new }));
    lab.fails(1);
    assert!(lab.service().quarantine.contains_key(&id("b")));
    assert_eq!(lab.rollout(new).phase, RolloutPhase::Rolling, "the new one goes on");
    lab.reverts(1);
    lab.finishes();
    assert_eq!(lab.outcome(new), Some(&Outcome::Completed));
}

#[test]
fn a_push_that_waits_with_a_release_that_fails_meanwhile_fails_too() {
    let mut lab = Lab::serving(2);
    let first = lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.begins(1);
    lab.pushed("c");
    let again = lab.pushed("b");
    lab.fails(1);
    assert!(matches!(lab.rollout(first).phase, RolloutPhase::RollingBack { .. }));
    assert_eq!(lab.outcome(again), Some(&Outcome::Failed));
    assert_eq!(lab.service().next, None);
}

#[test]
fn what_completed_last_is_not_condemned_by_one_host() {
    let mut lab = Lab::serving(1);
    lab.enrol(2);
    let rollout = lab.staged("a");
    lab.wave(&[2]);
    lab.grant(2).unwrap();
    lab.begins(2);
    lab.fails(2);
    assert_eq!(lab.outcome(rollout), Some(&Outcome::Failed));
    assert!(lab.service().quarantine.is_empty(), "there would be nothing to go back to");
    lab.reverts(2);
    assert_eq!(lab.here(2).failed.as_ref().map(|(failed, _)| failed), Some(&id("a")));
}

#[test]
fn a_joiner_does_not_get_it() {
    let (mut lab, _) = condemned();
    lab.enrol(3);
    lab.stages("b");
    lab.stages("a");
    assert_eq!(lab.step(Step::Converge { host: h(3) }), Ok(()));
    assert_eq!(lab.here(3).change.as_ref().unwrap().to, Some(release("a")));
}

#[test]
fn a_host_on_it_may_not_go_back_to_it() {
    let mut lab = Lab::serving(3);
    lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.changes(1);
    lab.end_wave();
    lab.wave(&[2]);
    lab.grant(2).unwrap();
    lab.begins(2);
    lab.fails(2);
    lab.reverts(2);
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    let change = lab.fleet.assignment(&h(1)).services[&web()].change.clone().unwrap();
    assert_eq!((change.from, change.fallback), (Some(release("b")), false));
}

#[test]
fn a_new_push_of_a_release_fails_with_the_old_one() {
    for staged in [false, true] {
        let mut lab = Lab::serving(3);
        lab.staged("b");
        lab.wave(&[1]);
        lab.grant(1).unwrap();
        lab.begins(1);
        lab.staged("c");
        let again = lab.pushed("b");
        if staged {
            lab.stages("b");
            lab.step(Step::EndStaging { rollout: again, dropped: Vec::new() }).unwrap();
        }
        lab.fails(1);
        let rolls_back = matches!(lab.rollout(again).phase, RolloutPhase::RollingBack { .. });
        assert_eq!((rolls_back, lab.outcome(again).cloned()), (staged, (!staged).then_some(Outcome::Failed)));
    }
}

#[test]
fn a_new_push_that_has_touched_nothing_ends_when_its_release_fails_in_the_old_one() {
    let mut lab = Lab::serving(3);
    lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.begins(1);
    lab.staged("c");
    lab.ask(Request::Abort { leave: false });
    let again = lab.pushed("b");
    assert_eq!(lab.active(), again);
    lab.fails(1);
    assert_eq!(lab.outcome(again), Some(&Outcome::Failed), "there is nothing to roll back");
    assert_eq!(lab.service().active, None);
}
