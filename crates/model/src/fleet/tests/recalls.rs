//! P1 at the first effect: a grant that was given in better times, and not begun, is taken back.

use super::*;

fn granted() -> Lab {
    let mut lab = Lab::serving_with(4, policy(2));
    lab.staged("b");
    lab.wave(&[1, 2, 3, 4]);
    lab.grant(1).unwrap();
    lab.grant(2).unwrap();
    lab
}

#[test]
fn a_grant_is_taken_back_when_another_host_falls_out() {
    type Falls = fn(&mut Lab);
    let table: &[(&str, Falls)] = &[
        ("out", |lab| drop(lab.falls_out(4, Cause::Surroundings))),
        ("silent", |lab| drop(lab.silent(4))),
        ("less may be out", |lab| drop(lab.ask(Request::SetPolicy { policy: policy(1) }))),
    ];
    for (what, falls) in table {
        let mut lab = granted();
        let (rollout, fence) = (lab.active(), lab.fence(2));
        falls(&mut lab);
        assert!(lab.here(1).change.is_some(), "{what}: the older grant stays");
        assert_eq!(lab.here(2).change, None, "{what}");
        assert_eq!(lab.part(rollout, 2), PartState::Pending, "{what}");
        let (from, to) = (PhaseKind::Granted, PhaseKind::Draining);
        assert_refused(&lab.report(2, Report::Moved { fence, from, to, reason: None }), "outdated");
    }
}

#[test]
fn a_host_that_has_begun_goes_on() {
    let mut lab = granted();
    lab.begins(1);
    lab.begins(2);
    lab.falls_out(4, Cause::Surroundings);
    lab.silent(3);
    lab.changes(1);
    lab.changes(2);
}

#[test]
fn an_included_host_that_is_out_takes_room() {
    let mut lab = Lab::serving_with(4, policy(2));
    lab.falls_out(4, Cause::Surroundings);
    lab.ask(Request::Exclude { host: h(4) });
    lab.staged("b");
    lab.wave(&[1, 2, 3]);
    lab.grant(1).unwrap();
    lab.grant(2).unwrap();
    lab.ask(Request::Include { host: h(4) });
    assert_eq!(lab.here(2).change, None);
}

#[test]
fn a_sick_host_that_recovers_before_it_has_begun_needs_room_like_any_other() {
    let mut lab = Lab::serving(3);
    lab.staged("b");
    lab.wave(&[1, 2, 3]);
    lab.falls_out(1, Cause::Surroundings);
    lab.falls_out(2, Cause::Surroundings);
    lab.grant(1).unwrap();
    lab.availability(1, Availability::In, Cause::Surroundings);
    assert_eq!(lab.here(1).change, None, "h2 is out, and one may be");
    assert_eq!(lab.grant(2), Ok(()));
}

#[test]
fn a_host_that_stays_out_keeps_its_grant() {
    let mut lab = Lab::serving(3);
    lab.staged("b");
    lab.wave(&[1, 2, 3]);
    lab.falls_out(1, Cause::Surroundings);
    lab.grant(1).unwrap();
    lab.falls_out(2, Cause::Surroundings);
    assert!(lab.here(1).change.is_some());
    lab.changes(1);
}
