//! P7: what hosts get that were not there at the push.

use super::*;

#[test]
fn a_joiner_converges_on_the_last_completed_release() {
    let mut lab = Lab::bare(2);
    assert_no(&lab.step(Step::Converge { host: h(1) }), "nothing before");
    let mut lab = Lab::serving(2);
    lab.enrol(3);
    assert_no(&lab.step(Step::Converge { host: h(3) }), "not staged");
    lab.stages("a");
    assert_eq!(lab.step(Step::Converge { host: h(3) }), Ok(()));
    assert_no(&lab.step(Step::Converge { host: h(3) }), "host not free");
    lab.changes(3);
    assert_eq!((lab.here(3).current_id(), lab.here(3).counted), (Some(&id("a")), true));
}

#[test]
fn hosts_of_the_rollout_under_way_do_not_converge() {
    let mut lab = Lab::serving(2);
    lab.staged("b");
    assert_no(&lab.step(Step::Converge { host: h(1) }), "host not free");
}

#[test]
fn a_joiner_takes_part_once_the_canary_wave_has_soaked() {
    let mut lab = Lab::serving(2);
    let rollout = lab.staged("b");
    lab.enrol(3);
    let adopt = Step::Adopt { rollout, host: h(3) };
    assert_no(&lab.step(adopt.clone()), "not now");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.changes(1);
    assert_no(&lab.step(adopt.clone()), "not now");
    lab.end_wave();
    assert_eq!(lab.step(adopt.clone()), Ok(()));
    assert_no(&lab.step(adopt), "not now");
    assert_no(&lab.step(Step::Adopt { rollout, host: h(2) }), "not now");
    lab.stages("b");
    lab.finishes();
    assert_eq!(lab.here(3).current_id(), Some(&id("b")));
}

#[test]
fn a_canary_that_went_away_has_shown_nothing() {
    let mut lab = Lab::serving(3);
    let rollout = lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.begins(1);
    lab.terminate(1);
    lab.end_wave();
    lab.enrol(4);
    assert_no(&lab.step(Step::Adopt { rollout, host: h(4) }), "not now");
}

#[test]
fn an_excluded_or_drained_host_is_not_adopted() {
    for request in [Request::Exclude { host: h(3) }, Request::Drain { host: h(3) }] {
        let mut lab = Lab::serving(2);
        let rollout = lab.staged("b");
        lab.wave(&[1]);
        lab.grant(1).unwrap();
        lab.changes(1);
        lab.end_wave();
        lab.enrol(3);
        lab.ask(request);
        assert_no(&lab.step(Step::Adopt { rollout, host: h(3) }), "host not free");
        lab.stages("a");
        assert_no(&lab.step(Step::Converge { host: h(3) }), "host not free");
    }
}

#[test]
fn those_who_are_there_take_the_place_of_all_who_were() {
    let mut lab = Lab::serving(1);
    let rollout = lab.pushed("b");
    lab.enrol(2);
    assert_no(&lab.step(Step::Adopt { rollout, host: h(2) }), "not now");
    lab.terminate(1);
    assert_eq!(lab.step(Step::Adopt { rollout, host: h(2) }), Ok(()), "an acknowledged push is not lost");
    lab.stages("b");
    assert_eq!(lab.step(Step::EndStaging { rollout, dropped: Vec::new() }), Ok(()));
    lab.finishes();
    assert_eq!(lab.outcome(rollout), Some(&Outcome::Completed));
}

#[test]
fn a_restart_and_a_return_to_an_earlier_release_are_for_those_who_were_there() {
    for request in [Request::Restart, Request::Rollback] {
        let mut lab = Lab::serving(2);
        lab.completes("b");
        let Reply::Accepted(rollout) = lab.ask(request.clone()) else { panic!("refused") };
        lab.stages("a");
        lab.step(Step::EndStaging { rollout, dropped: Vec::new() }).unwrap();
        lab.wave(&[1]);
        lab.grant(1).unwrap();
        lab.changes(1);
        lab.end_wave();
        lab.enrol(3);
        assert_no(&lab.step(Step::Adopt { rollout, host: h(3) }), "not now");
    }
}
