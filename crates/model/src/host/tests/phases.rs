//! The table of transitions by itself.

use crate::{
    fleet::{
        command::{Cause, Failure},
        host::PhaseKind,
    },
    host::phase::{Ending, Next, Outcome, Phase, Step, Terms, Why},
};

const STEPS: [Step; 8] = [
    Step::Checking,
    Step::Leaving,
    Step::Settling,
    Step::Stopping,
    Step::Starting,
    Step::Probing,
    Step::Joining,
    Step::Soaking,
];

const TERMS: Terms = Terms { headful: true, park: false, goal: true, from: true, fallback: true };

fn failure() -> Failure {
    Failure { phase: PhaseKind::Probing, cause: Cause::Release, reason: "no".into(), tail: "".into() }
}

fn walk(mut phase: Phase, terms: Terms) -> (Vec<String>, Ending) {
    let mut passed = vec![phase.to_string()];
    loop {
        match phase.after(Outcome::Done, terms).expect("done is in turn") {
            Next::Phase(next) => phase = next,
            Next::End(ending) => return (passed, ending),
        }
        passed.push(phase.to_string());
    }
}

#[test]
fn each_way_passes_its_steps_in_order() {
    let first = || Phase::first(true);
    let (passed, ending) = walk(first(), TERMS);
    assert_eq!(passed, ["leaving", "settling", "stopping", "starting", "probing", "joining", "soaking"]);
    assert_eq!(ending, Ending::Changed);
    let (passed, _) = walk(first(), Terms { headful: false, ..TERMS });
    assert_eq!(passed.last().map(String::as_str), Some("soaking"));
    assert!(!passed.contains(&"joining".to_owned()));
    let (passed, ending) = walk(first(), Terms { goal: false, ..TERMS });
    assert_eq!((passed.last().map(String::as_str), ending), (Some("stopping"), Ending::Changed));
    let back = Phase::Reverting { step: Step::Leaving, why: Why::Failed };
    assert_eq!(walk(back.clone(), TERMS).1, Ending::Reverted);
    let (passed, ending) = walk(back, Terms { from: false, fallback: false, ..TERMS });
    assert_eq!((passed.last().map(String::as_str), ending), (Some("reverting (stopping)"), Ending::Reverted));
}

#[test]
fn a_failure_leads_back_from_every_step_after_the_drain() {
    for step in STEPS {
        let next = Phase::Going { step }.after(Outcome::Failed(failure()), TERMS);
        let expected =
            if matches!(step, Step::Joining | Step::Soaking) { Step::Leaving } else { Step::Checking };
        assert_eq!(next, Ok(Next::Phase(Phase::Reverting { step: expected, why: Why::Failed })), "{step}");
        let no_fallback = Terms { fallback: false, ..TERMS };
        let next = Phase::Going { step }.after(Outcome::Failed(failure()), no_fallback);
        assert_eq!(next, Ok(Next::Phase(Phase::Stuck { step: expected, failure: failure() })), "{step}");
    }
}

#[test]
fn giving_up_is_in_turn_only_before_anything_is_stopped() {
    for step in STEPS {
        let next = Phase::Going { step }.after(Outcome::GaveUp("slow".into()), TERMS);
        assert_eq!(next.is_ok(), step < Step::Stopping, "{step}");
        let back = Phase::Reverting { step, why: Why::Failed };
        assert!(back.after(Outcome::GaveUp("slow".into()), TERMS).is_err(), "{step}");
    }
}

#[test]
fn what_is_out_of_turn_is_refused_and_named() {
    let refusal = Phase::Parked.after(Outcome::Done, TERMS).expect_err("a parked host waits for an operator");
    assert_eq!(refusal.to_string(), "Done is out of turn while parked");
    for phase in [Phase::Parked, Phase::Aborting { reason: "x".into() }] {
        assert!(phase.after(Outcome::Failed(failure()), TERMS).is_err(), "{phase}");
        assert!(phase.after(Outcome::Registered, TERMS).is_err(), "{phase}");
    }
}

#[test]
fn what_runs_in_place_of_the_old_release_is_stopped_only_for_one_that_may_run() {
    let aborting = Phase::Aborting { reason: "x".into() };
    let why = Why::Abandoned { reason: "x".into() };
    let leaves = Next::Phase(Phase::Reverting { step: Step::Leaving, why });
    assert_eq!(aborting.after(Outcome::Occupied, TERMS), Ok(leaves));
    assert!(aborting.after(Outcome::Occupied, Terms { fallback: false, ..TERMS }).is_err());
}

#[test]
fn parked_hosts_come_back_the_way_they_are_asked_to() {
    let admitted = Phase::Parked.after(Outcome::Admitted, TERMS);
    assert_eq!(admitted, Ok(Next::Phase(Phase::Going { step: Step::Starting })));
    let nothing = Terms { goal: false, from: false, fallback: false, ..TERMS };
    assert_eq!(Phase::Parked.after(Outcome::Admitted, nothing), Ok(Next::End(Ending::Changed)));
    assert_eq!(Phase::Parked.after(Outcome::TurnBack, nothing), Ok(Next::End(Ending::Reverted)));
}

#[test]
fn no_way_leads_back_to_a_release_that_may_not_run() {
    let condemned = Terms { fallback: false, ..TERMS };
    let first = Terms { from: false, fallback: false, ..TERMS };
    for step in [Step::Stopping, Step::Starting, Step::Probing, Step::Joining, Step::Soaking] {
        let turned = |terms| Phase::Going { step }.after(Outcome::TurnBack, terms);
        let expected =
            if matches!(step, Step::Joining | Step::Soaking) { Step::Leaving } else { Step::Checking };
        let back = Ok(Next::Phase(Phase::Reverting { step: expected, why: Why::Asked }));
        assert_eq!((turned(TERMS), turned(first)), (back.clone(), back), "{step}");
        assert!(turned(condemned).is_err(), "{step}: it goes on, and the fleet decides what comes next");
    }
    let parked = |terms| Phase::Parked.after(Outcome::TurnBack, terms);
    let starting = Phase::Reverting { step: Step::Starting, why: Why::Asked };
    assert_eq!(parked(TERMS), Ok(Next::Phase(starting)));
    assert!(parked(condemned).is_err());
    let aborting = Phase::Aborting { reason: "slow".into() };
    let starting = Phase::Reverting { step: Step::Starting, why: Why::Abandoned { reason: "slow".into() } };
    assert_eq!(aborting.after(Outcome::Gone, TERMS), Ok(Next::Phase(starting)));
    assert!(aborting.after(Outcome::Gone, condemned).is_err());
}

/// A probe comes before a join, also where the process is another one than the balancer knows.
#[test]
fn a_process_that_is_gone_is_started_after_the_host_has_left_where_it_may_be_registered() {
    for step in STEPS {
        let expected =
            if matches!(step, Step::Joining | Step::Soaking) { Step::Leaving } else { Step::Starting };
        let going = Phase::Going { step }.after(Outcome::Gone, TERMS);
        assert_eq!(going, Ok(Next::Phase(Phase::Going { step: expected })), "{step}");
        let back = Phase::Reverting { step, why: Why::Failed }.after(Outcome::Gone, TERMS);
        assert_eq!(back, Ok(Next::Phase(Phase::Reverting { step: expected, why: Why::Failed })), "{step}");
    }
}

#[test]
fn another_release_may_be_wanted_until_one_is_started() {
    for step in STEPS {
        assert_eq!(Phase::Going { step }.has_started_nothing(), step <= Step::Stopping, "{step}");
        assert!(!Phase::Reverting { step, why: Why::Asked }.has_started_nothing(), "{step}");
    }
    assert!(Phase::Parked.has_started_nothing());
    assert!(!Phase::Aborting { reason: "slow".into() }.has_started_nothing());
}
