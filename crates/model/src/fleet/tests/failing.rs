//! A release fails, or a host does not come back.

use super::*;

fn rolling_back(lab: &Lab, rollout: RolloutId) -> RolloutId {
    match lab.rollout(rollout).phase {
        RolloutPhase::RollingBack { by } => by,
        ref phase => panic!("{rollout} is {phase}, not rolling back"),
    }
}

/// `b` has come to `h1`, and fails on `h2` while `h3` changes too.
fn failing(policy: Policy) -> (Lab, RolloutId) {
    let mut lab = Lab::serving_with(4, policy);
    let rollout = lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.changes(1);
    lab.end_wave();
    lab.wave(&[2, 3, 4]);
    lab.grant(2).unwrap();
    lab.begins(2);
    (lab, rollout)
}

#[test]
fn a_failure_rolls_the_fleet_back() {
    let (mut lab, rollout) = failing(policy(3));
    lab.grant(3).unwrap();
    lab.grant(4).unwrap();
    lab.begins(3);
    lab.fails(2);
    let by = rolling_back(&lab, rollout);
    assert_eq!(lab.active(), by);
    assert_eq!(lab.here(4).change, None, "what has not begun does not begin");
    assert!(lab.here(3).change.as_ref().unwrap().revert, "what has begun turns back");
    assert!(!lab.here(2).change.as_ref().unwrap().revert, "what goes back needs no telling");
    let parts: Vec<_> = (1..=4).map(|host| lab.part(by, host)).collect();
    assert_eq!(parts, [PartState::Pending, PartState::Pending, PartState::Pending, PartState::Changed]);
    lab.reverts(2);
    lab.moves(3, &[PhaseKind::Reverting]);
    lab.reverts(3);
    assert_no(&lab.step(Step::Complete { rollout: by }), "host not free");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.changes(1);
    assert_eq!(lab.step(Step::Complete { rollout: by }), Ok(()));
    assert_eq!(lab.outcome(rollout), Some(&Outcome::RolledBack));
    assert_eq!(Outcome::RolledBack.exit_code(), 1);
    assert!(lab.fleet.declaring(&web()).all(|(_, here)| here.current_id() == Some(&id("a"))));
}

#[test]
fn a_host_that_finished_before_it_was_told_to_turn_back_is_taken_back() {
    let (mut lab, rollout) = failing(policy(2));
    lab.grant(3).unwrap();
    lab.begins(3);
    lab.fails(2);
    let by = rolling_back(&lab, rollout);
    lab.changes(3);
    assert_eq!(lab.part(by, 3), PartState::Pending);
}

#[test]
fn a_changed_host_that_leaves_service_is_a_failure_of_the_release() {
    for (cause, fails) in [(Cause::Release, true), (Cause::Surroundings, false)] {
        let (mut lab, rollout) = failing(policy(1));
        lab.falls_out(1, cause);
        let rolls_back = matches!(lab.rollout(rollout).phase, RolloutPhase::RollingBack { .. });
        assert_eq!(rolls_back, fails, "{cause:?}");
    }
}

#[test]
fn a_changed_host_that_is_out_already_may_be_found_to_be_out_by_its_release_once() {
    let (mut lab, rollout) = failing(Policy { failure_tolerance: 1, ..policy(1) });
    lab.falls_out(1, Cause::Surroundings);
    assert_eq!(lab.part(rollout, 1), PartState::Changed);
    for _ in 0..3 {
        lab.falls_out(1, Cause::Release);
        assert_eq!(lab.part(rollout, 1), PartState::Failed);
        assert_eq!(lab.rollout(rollout).failures.len(), 1);
        assert_eq!(lab.rollout(rollout).phase, RolloutPhase::Rolling, "one is tolerated");
    }
    let (mut lab, rollout) = failing(policy(1));
    lab.falls_out(1, Cause::Surroundings);
    lab.falls_out(1, Cause::Release);
    rolling_back(&lab, rollout);
}

#[test]
fn as_many_hosts_may_fail_as_the_policy_tolerates() {
    let (mut lab, rollout) = failing(Policy { failure_tolerance: 1, ..policy(1) });
    lab.fails(2);
    assert_eq!(lab.rollout(rollout).phase, RolloutPhase::Rolling);
    assert!(lab.service().quarantine.is_empty());
    lab.reverts(2);
    assert_eq!(lab.part(rollout, 2), PartState::Failed);
    lab.grant(3).unwrap();
    lab.changes(3);
    lab.grant(4).unwrap();
    lab.begins(4);
    lab.fails(4);
    rolling_back(&lab, rollout);
}

#[test]
fn a_rollout_completes_without_the_hosts_that_it_tolerates() {
    let (mut lab, rollout) = failing(Policy { failure_tolerance: 1, ..policy(1) });
    lab.fails(2);
    lab.reverts(2);
    lab.finishes();
    assert_eq!(lab.outcome(rollout), Some(&Outcome::Completed));
}

#[test]
fn no_tolerance_makes_a_rollout_complete_that_changed_nobody() {
    let mut lab = Lab::serving_with(1, Policy { failure_tolerance: 5, ..policy(1) });
    let rollout = lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.begins(1);
    lab.fails(1);
    rolling_back(&lab, rollout);
    assert!(lab.service().quarantine.contains_key(&id("b")));
}

#[test]
fn a_rollout_whose_last_hosts_go_away_after_a_failure_can_be_given_up() {
    let mut lab = Lab::serving_with(3, Policy { failure_tolerance: 1, ..policy(1) });
    let rollout = lab.staged("b");
    lab.wave(&[1, 2, 3]);
    lab.grant(1).unwrap();
    lab.begins(1);
    lab.fails(1);
    lab.reverts(1);
    assert_no(&lab.step(Step::GiveUp { rollout }), "not now");
    lab.terminate(2);
    lab.terminate(3);
    assert_no(&lab.step(Step::Complete { rollout }), "not now");
    assert_eq!(lab.step(Step::GiveUp { rollout }), Ok(()));
    rolling_back(&lab, rollout);
}

#[test]
fn a_release_that_nobody_runs_does_not_complete() {
    let mut lab = Lab::serving(2);
    let rollout = lab.staged("b");
    lab.wave(&[1, 2]);
    lab.grant(1).unwrap();
    lab.begins(1);
    lab.terminate(1);
    lab.terminate(2);
    assert_no(&lab.step(Step::Complete { rollout }), "not now");
    assert_no(&lab.step(Step::GiveUp { rollout }), "not now");
    lab.enrol(3);
    assert_eq!(lab.step(Step::Adopt { rollout, host: h(3) }), Ok(()), "the push is not lost");
}

#[test]
fn with_on_failure_pause_the_fleet_stays_mixed_until_an_operator_decides() {
    let pause = Policy { on_failure: OnFailure::Pause, ..policy(2) };
    let (mut lab, rollout) = failing(pause.clone());
    lab.grant(3).unwrap();
    lab.fails(2);
    let why = Halt::Failed { host: h(2) };
    assert_eq!(lab.rollout(rollout).phase, RolloutPhase::Halted { during: Halting::Rolling, why });
    assert_eq!(lab.here(3).change, None);
    assert_refused(&lab.push("b"), "quarantined");
    lab.reverts(2);
    lab.ask(Request::Abort { leave: false });
    let by = rolling_back(&lab, rollout);
    lab.finishes();
    assert_eq!((lab.outcome(by), lab.outcome(rollout)), (Some(&Outcome::Completed), Some(&Outcome::Aborted)));

    let (mut lab, rollout) = failing(pause);
    lab.fails(2);
    lab.reverts(2);
    lab.ask(Request::ReleaseQuarantine { release: id("b") });
    assert_eq!(lab.ask(Request::Resume), Reply::Done);
    assert_eq!(lab.part(rollout, 2), PartState::Pending);
    lab.finishes();
    assert_eq!(lab.outcome(rollout), Some(&Outcome::Completed));
}

#[test]
fn a_first_rollout_that_fails_leaves_nothing_running() {
    let mut lab = Lab::bare(2);
    let rollout = lab.staged("a");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.changes(1);
    lab.end_wave();
    lab.wave(&[2]);
    lab.grant(2).unwrap();
    lab.begins(2);
    lab.fails(2);
    let by = rolling_back(&lab, rollout);
    assert_eq!(lab.rollout(by).target, None);
    lab.reverts(2);
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    assert_eq!(lab.here(1).change.as_ref().unwrap().to, None);
    lab.changes(1);
    assert_eq!(lab.step(Step::Complete { rollout: by }), Ok(()));
    assert_eq!(lab.outcome(rollout), Some(&Outcome::Failed));
    assert_eq!(Outcome::Failed.exit_code(), 1);
    assert_eq!((lab.here(1).current_id(), lab.here(1).availability), (None, Availability::Out));
    assert_eq!(lab.service().last_completed(), None);
}

#[test]
fn a_host_that_cannot_go_back_makes_the_roll_back_fail() {
    let (mut lab, rollout) = failing(policy(2));
    lab.fails(2);
    let by = rolling_back(&lab, rollout);
    assert_no(&lab.step(Step::GiveUp { rollout: by }), "not now");
    lab.stuck(2, Cause::Release);
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    assert_no(&lab.step(Step::GiveUp { rollout: by }), "not now");
    lab.changes(1);
    assert_no(&lab.step(Step::Complete { rollout: by }), "not now");
    assert_eq!(lab.step(Step::GiveUp { rollout: by }), Ok(()));
    assert_eq!(lab.outcome(rollout), Some(&Outcome::RollbackFailed));
    assert_eq!(Outcome::RollbackFailed.exit_code(), 2);
    assert!(lab.here(2).change.is_some(), "its slot stays held");
    assert_eq!(lab.ask(Request::BreakSlot { host: h(2) }), Reply::Done);
    assert!(lab.here(2).change.is_none());
}

#[test]
fn a_host_that_was_stuck_before_the_roll_back_began_counts_in_it() {
    let (mut lab, rollout) = failing(Policy { failure_tolerance: 1, ..policy(2) });
    lab.fails(2);
    lab.stuck(2, Cause::Release);
    lab.grant(3).unwrap();
    lab.begins(3);
    lab.fails(3);
    assert_eq!(lab.part(rolling_back(&lab, rollout), 2), PartState::Failed);
}

#[test]
fn a_host_that_may_not_go_back_and_fails_is_a_failure_too() {
    // `h1` is left on a condemned release, so that it is stuck at once when the next one fails on it.
    let mut lab = Lab::serving(2);
    let rollout = lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.begins(1);
    lab.fails(1);
    lab.stuck(1, Cause::Release);
    rolling_back(&lab, rollout);
}

#[test]
fn a_roll_back_owes_nothing_to_hosts_that_its_cause_did_not_disturb() {
    let (mut lab, rollout) = failing(policy(2));
    lab.falls_out(4, Cause::Surroundings);
    lab.enrol(5);
    lab.fails(2);
    let by = rolling_back(&lab, rollout);
    let hosts: Vec<_> = lab.rollout(by).parts.keys().cloned().collect();
    assert_eq!(hosts, [h(1), h(2), h(3)], "h4 is sick as before, h5 is new");
}

#[test]
fn a_roll_back_does_without_a_stuck_host_that_is_gone() {
    let (mut lab, rollout) = failing(policy(2));
    lab.fails(2);
    let by = rolling_back(&lab, rollout);
    lab.stuck(2, Cause::Release);
    lab.terminate(2);
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.changes(1);
    assert_eq!(lab.step(Step::Complete { rollout: by }), Ok(()));
    assert_eq!(lab.outcome(rollout), Some(&Outcome::RolledBack));
}

#[test]
fn a_broken_slot_lets_a_roll_back_try_again() {
    let (mut lab, rollout) = failing(policy(2));
    lab.fails(2);
    let by = rolling_back(&lab, rollout);
    lab.stuck(2, Cause::Release);
    lab.ask(Request::BreakSlot { host: h(2) });
    assert_eq!(lab.part(by, 2), PartState::Pending);
    lab.finishes();
    assert_eq!(lab.outcome(rollout), Some(&Outcome::RolledBack));
}

#[test]
fn who_turns_out_to_serve_what_is_taken_back_goes_back_too() {
    // The slot of `h2` is broken in mid-step: the fleet takes it for where it was, and it goes on to the end.
    let (mut lab, rollout) = failing(policy(2));
    lab.ask(Request::BreakSlot { host: h(2) });
    lab.grant(3).unwrap();
    lab.begins(3);
    lab.fails(3);
    let by = rolling_back(&lab, rollout);
    assert!(!lab.rollout(by).parts.contains_key(&h(2)), "it is where it was, as far as is known");
    lab.report(2, Report::Runs { release: Some(release("b")) });
    assert_eq!(lab.part(by, 2), PartState::Pending);
    assert_no(&lab.step(Step::Complete { rollout: by }), "host not free");
}

#[test]
fn hosts_that_are_to_run_nothing_spend_no_budget() {
    let mut lab = Lab::bare(4);
    let rollout = lab.staged("a");
    lab.wave(&[1, 2, 3, 4]);
    for host in 1..=4 {
        lab.grant(host).unwrap();
    }
    for host in 1..=3 {
        lab.changes(host);
    }
    lab.begins(4);
    lab.fails(4);
    lab.reverts(4);
    lab.finishes();
    assert_eq!(lab.outcome(rollout), Some(&Outcome::Failed), "with one slot, and three hosts to take down");
}

#[test]
fn who_names_no_rollout_means_the_one_that_is_taken_back() {
    let mut lab = Lab::serving(2);
    assert_eq!(lab.service().meant(), lab.service().rollouts.keys().next_back().copied(), "the last one");
    let aborted = lab.staged("b");
    lab.wave(&[1, 2]);
    lab.grant(1).unwrap();
    lab.changes(1);
    lab.ask(Request::Abort { leave: false });
    assert_ne!(lab.active(), aborted, "its roll back is under way");
    assert_eq!(lab.service().meant(), Some(aborted));
    lab.finishes();
    assert_eq!(lab.service().active, None);
    assert_eq!(lab.service().meant(), Some(aborted));
    assert_eq!(lab.outcome(aborted).map(Outcome::exit_code), Some(1));
    lab.ask(Request::Rollback);
    let newer = lab.pushed("c");
    assert_eq!(lab.service().meant(), Some(newer));
}

#[test]
fn a_host_that_fails_while_it_is_taken_back_does_not_end_the_roll_back() {
    let (mut lab, rollout) = failing(policy(2));
    lab.fails(2);
    lab.reverts(2);
    let by = rolling_back(&lab, rollout);
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.begins(1);
    lab.fails(1);
    assert_eq!((lab.part(by, 1), lab.outcome(by)), (PartState::Failed, None));
    assert!(!lab.service().quarantine.contains_key(&id("a")), "it was good before");
}

#[test]
fn a_halted_rollout_stays_halted_for_the_first_host_that_failed() {
    let (mut lab, rollout) = failing(Policy { on_failure: OnFailure::Pause, ..policy(2) });
    lab.grant(3).unwrap();
    lab.begins(3);
    lab.fails(2);
    lab.ask(Request::SetPolicy { policy: policy(2) });
    lab.fails(3);
    let why = Halt::Failed { host: h(2) };
    assert_eq!(lab.rollout(rollout).phase, RolloutPhase::Halted { during: Halting::Rolling, why });
    assert_eq!(lab.part(rollout, 3), PartState::Failed);
}

#[test]
fn what_failed_on_a_host_is_not_tried_again_when_its_slot_is_broken() {
    let (mut lab, rollout) = failing(Policy { failure_tolerance: 1, ..policy(1) });
    lab.fails(2);
    assert_eq!(lab.ask(Request::BreakSlot { host: h(2) }), Reply::Done);
    assert_eq!(lab.part(rollout, 2), PartState::Failed);
}
