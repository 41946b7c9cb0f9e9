//! Hosts that go back for reasons outside of the release.

use super::*;

/// The host begins, fails for its own trouble, and goes back.
fn is_set_back(lab: &mut Lab, host: u32) {
    lab.grant(host).unwrap();
    lab.begins(host);
    let fence = lab.fence(host);
    lab.report(host, Report::Failed { fence, failure: failure(Cause::Surroundings) });
    lab.reverts(host);
}

#[test]
fn a_host_that_goes_back_again_and_again_halts_its_rollout_and_condemns_nothing() {
    let mut lab = Lab::serving(2);
    let rollout = lab.staged("b");
    lab.wave(&[1]);
    for _ in 0..4 {
        is_set_back(&mut lab, 1);
        assert_eq!(lab.rollout(rollout).phase, RolloutPhase::Rolling);
    }
    is_set_back(&mut lab, 1);
    let why = Halt::SetBack { host: h(1), times: 5, reason: "probe answered 503".into() };
    let text = "h1 went back 5 times in a row for reasons outside the release, at last: probe answered 503";
    assert_eq!(why.to_string(), text);
    assert_eq!(lab.rollout(rollout).phase, RolloutPhase::Halted { during: Halting::Rolling, why });
    assert!(lab.service().quarantine.is_empty());
    assert!(lab.grant(1).is_err(), "nothing begins in a rollout that is halted");
    // An operator has mended the host.
    assert_eq!(lab.ask(Request::Resume), Reply::Done);
    assert_eq!(lab.rollout(rollout).phase, RolloutPhase::Rolling);
    is_set_back(&mut lab, 1);
    assert_eq!(lab.rollout(rollout).phase, RolloutPhase::Rolling, "it has as many tries as before");
    lab.grant(1).unwrap();
    lab.changes(1);
    assert_eq!(lab.here(1).setbacks, 0);
}

#[test]
fn setbacks_count_within_one_rollout() {
    let mut lab = Lab::serving(2);
    lab.staged("b");
    lab.wave(&[1]);
    for _ in 0..4 {
        is_set_back(&mut lab, 1);
    }
    let rollout = lab.staged("c");
    lab.wave(&[1]);
    is_set_back(&mut lab, 1);
    assert_eq!(lab.rollout(rollout).phase, RolloutPhase::Rolling);
}

#[test]
fn what_waits_behind_a_rollout_and_is_replaced_forgives_no_setback() {
    let mut lab = Lab::serving(2);
    let rollout = lab.staged("b");
    lab.wave(&[1]);
    for next in ["c", "d", "e", "f", "c"] {
        is_set_back(&mut lab, 1);
        lab.pushed(next);
    }
    assert!(matches!(lab.rollout(rollout).phase, RolloutPhase::Halted { why: Halt::SetBack { .. }, .. }));
}

#[test]
fn a_restart_that_is_halted_for_a_host_fails_with_the_release_on_another() {
    let mut lab = Lab::serving_with(2, policy(2));
    let Reply::Accepted(restart) = lab.ask(Request::Restart) else { panic!("a restart") };
    lab.stages("a");
    lab.step(Step::EndStaging { rollout: restart, dropped: Vec::new() }).unwrap();
    lab.wave(&[1, 2]);
    lab.grant(2).unwrap();
    lab.begins(2);
    for _ in 0..5 {
        is_set_back(&mut lab, 1);
    }
    assert!(matches!(lab.rollout(restart).phase, RolloutPhase::Halted { why: Halt::SetBack { .. }, .. }));
    lab.fails(2);
    assert_eq!(lab.outcome(restart), Some(&Outcome::Failed));
}

#[test]
fn a_host_that_goes_back_outside_of_rollouts_is_left_alone_for_a_while() {
    let mut lab = Lab::serving(2);
    lab.ask(Request::Exclude { host: h(1) });
    lab.completes("b");
    lab.ask(Request::Include { host: h(1) });
    for times in 1..3 {
        lab.step(Step::Converge { host: h(1) }).unwrap();
        lab.begins(1);
        let fence = lab.fence(1);
        lab.report(1, Report::Failed { fence, failure: failure(Cause::Surroundings) });
        lab.reverts(1);
        assert_eq!(lab.here(1).abandoned, times, "the leader waits longer and longer");
    }
}

#[test]
fn a_release_that_fails_while_its_rollout_is_halted_for_a_host_is_taken_back() {
    let mut lab = Lab::serving_with(3, policy(2));
    let rollout = lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.changes(1);
    lab.end_wave();
    lab.wave(&[2, 3]);
    lab.grant(3).unwrap();
    lab.begins(3);
    for _ in 0..5 {
        is_set_back(&mut lab, 2);
    }
    assert!(matches!(lab.rollout(rollout).phase, RolloutPhase::Halted { .. }));
    lab.fails(3);
    assert!(
        matches!(lab.rollout(rollout).phase, RolloutPhase::RollingBack { .. }),
        "{:?}",
        lab.rollout(rollout).phase
    );
}
