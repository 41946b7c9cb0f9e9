//! Hosts that are let in again: after maintenance, or after they were excluded.

use super::*;

#[test]
fn who_is_admitted_during_a_roll_back_does_not_start_what_is_taken_back() {
    let mut lab = Lab::serving_with(3, policy(3));
    lab.staged("b");
    lab.wave(&[1, 2]);
    lab.grant(1).unwrap();
    lab.changes(1);
    lab.parks(1);
    lab.grant(2).unwrap();
    lab.begins(2);
    lab.ask(Request::Abort { leave: false });
    assert!(lab.service().quarantine.is_empty(), "an abort condemns nothing");
    assert_eq!(lab.ask(Request::Admit { host: h(1) }), Reply::Done);
    assert_eq!(lab.here(1).change.as_ref().unwrap().to, None);
}

#[test]
fn a_host_that_is_admitted_before_it_left_stays() {
    let mut lab = Lab::serving(2);
    lab.ask(Request::Drain { host: h(1) });
    lab.step(Step::Park { host: h(1) }).unwrap();
    lab.ask(Request::Admit { host: h(1) });
    assert_eq!((&lab.here(1).change, lab.here(1).availability), (&None, Availability::In));
}

#[test]
fn who_is_let_in_again_during_a_roll_back_goes_back_too() {
    for (out, again) in [
        (Request::Drain { host: h(1) }, Request::Admit { host: h(1) }),
        (Request::Exclude { host: h(1) }, Request::Include { host: h(1) }),
    ] {
        let mut lab = Lab::serving(3);
        lab.staged("b");
        lab.wave(&[1, 2, 3]);
        lab.grant(1).unwrap();
        lab.changes(1);
        lab.ask(out);
        lab.grant(2).unwrap();
        lab.begins(2);
        lab.fails(2);
        let rollback = lab.active();
        assert!(!lab.rollout(rollback).parts.contains_key(&h(1)), "it is an operator's");
        assert_eq!(lab.ask(again), Reply::Done);
        assert_eq!(lab.part(rollback, 1), PartState::Pending, "it serves what is taken back");
        lab.reverts(2);
        assert!(lab.step(Step::Complete { rollout: rollback }).is_err(), "h1 is not back yet");
        lab.finishes();
        assert_eq!(lab.here(1).current_id(), Some(&id("a")));
    }
}

#[test]
fn a_host_is_not_admitted_with_a_release_that_was_condemned_meanwhile() {
    let mut lab = Lab::serving_with(2, Policy { on_failure: OnFailure::Pause, ..policy(2) });
    lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.changes(1);
    lab.parks(1);
    lab.end_wave();
    lab.wave(&[2]);
    lab.grant(2).unwrap();
    lab.begins(2);
    lab.fails(2);
    assert!(lab.service().quarantine.contains_key(&id("b")));
    assert_eq!(lab.ask(Request::Admit { host: h(1) }), Reply::Done);
    let change = lab.fleet.assignment(&h(1)).services[&web()].change.clone().unwrap();
    assert_eq!((change.to, change.park), (None, false), "P6: it does not start what failed");
    lab.changes(1);
    assert_eq!((lab.here(1).current_id(), lab.here(1).availability), (None, Availability::Out));
    assert!(lab.here(1).counted, "P1: it is out, and counts");
}

/// `h1` and `h2` have begun with `b`; `h2` fails on it.
fn both_in_mid_step() -> Lab {
    let mut lab = Lab::serving_with(3, policy(2));
    lab.staged("b");
    lab.wave(&[1, 2]);
    for host in [1, 2] {
        lab.grant(host).unwrap();
        lab.begins(host);
    }
    lab
}

#[test]
fn who_is_let_in_again_in_mid_step_of_what_is_taken_back_goes_back_too() {
    for excluded_during in [false, true] {
        let mut lab = both_in_mid_step();
        if !excluded_during {
            lab.ask(Request::Exclude { host: h(1) });
        }
        lab.fails(2);
        lab.reverts(2);
        let rollback = lab.active();
        if excluded_during {
            lab.ask(Request::Exclude { host: h(1) });
        }
        lab.ask(Request::Include { host: h(1) });
        assert_eq!(lab.part(rollback, 1), PartState::Pending, "excluded during: {excluded_during}");
        // It had come through before it heard that it was to turn back.
        lab.changes(1);
        assert_no(&lab.step(Step::Complete { rollout: rollback }), "host not free");
        lab.finishes();
        assert_eq!(lab.here(1).current_id(), Some(&id("a")), "P12: it is said to be rolled back");
    }
}

#[test]
fn who_is_let_in_twice_keeps_its_turn_in_the_roll_back() {
    let mut lab = both_in_mid_step();
    lab.changes(1);
    lab.fails(2);
    let rollback = lab.active();
    lab.wave(&[1]);
    lab.ask(Request::Include { host: h(1) });
    assert_eq!(lab.grant(1), Ok(()));
    lab.ask(Request::Include { host: h(1) });
    assert_eq!(lab.part(rollback, 1), PartState::Changing);
}

#[test]
fn who_is_admitted_during_a_push_is_not_put_into_it() {
    let mut lab = Lab::serving(3);
    let rollout = lab.staged("b");
    lab.ask(Request::Drain { host: h(3) });
    lab.ask(Request::Admit { host: h(3) });
    assert_eq!(
        lab.part(rollout, 3),
        PartState::Dropped,
        "the planner adopts it when the canary wave has soaked"
    );
}
