//! P1 and the slots, at each grant.

use super::*;

/// A fleet of `n` hosts that is about to change `h1`, with room for `limit`.
fn rolling(hosts: u32, limit: u32) -> Lab {
    let mut lab = Lab::serving_with(hosts, policy(limit));
    lab.staged("b");
    let all: Vec<u32> = (1..=hosts).collect();
    lab.wave(&all);
    lab
}

fn by_name(fleet: &Fleet) -> Vec<String> {
    let name = web();
    let out = fleet.declaring(&name).map(|(host, here)| {
        format!("{host} {} sums={} change={}", here.availability, here.sums(), here.change.is_some())
    });
    out.collect()
}

#[test]
fn whatever_is_out_counts_against_the_budget() {
    type Prepare = fn(&mut Lab);
    let table: &[(&str, Prepare, Option<&str>)] = &[
        ("all serve", |_| (), None),
        ("one is out", |lab| drop(lab.falls_out(2, Cause::Surroundings)), Some("budget")),
        ("one is silent", |lab| drop(lab.silent(2)), Some("budget")),
        ("one is granted", |lab| lab.grant(2).unwrap(), Some("no free slot")),
        ("one is excluded while out", excluded, None),
        ("one was never in service", |lab| drop(lab.enrol(4)), None),
        ("one is gone", |lab| drop(lab.terminate(2)), None),
        ("the host is out itself", |lab| drop(lab.falls_out(1, Cause::Surroundings)), None),
        ("the host is silent itself", |lab| drop(lab.silent(1)), None),
        ("both are out", both_out, None),
        ("both are silent", both_silent, Some("budget")),
    ];
    for (what, prepare, expected) in table {
        let mut lab = rolling(3, 1);
        prepare(&mut lab);
        let result = lab.grant(1);
        let actual = result.as_ref().err().map(Refusal::word);
        assert_eq!(actual, *expected, "{what}: {:?}", by_name(&lab.fleet));
    }
}

fn excluded(lab: &mut Lab) {
    lab.falls_out(2, Cause::Surroundings);
    lab.ask(Request::Exclude { host: h(2) });
}

fn both_out(lab: &mut Lab) {
    lab.falls_out(1, Cause::Surroundings);
    lab.falls_out(2, Cause::Surroundings);
}

fn both_silent(lab: &mut Lab) {
    lab.silent(1);
    lab.silent(2);
}

#[test]
fn a_sick_host_takes_a_slot_but_no_budget() {
    let mut lab = rolling(3, 1);
    lab.falls_out(1, Cause::Surroundings);
    lab.falls_out(2, Cause::Surroundings);
    assert_eq!(lab.grant(1), Ok(()));
    assert_no(&lab.grant(2), "no free slot");
    assert_no(&lab.grant(3), "no free slot");
    lab.changes(1);
    assert_no(&lab.grant(3), "budget");
    assert_eq!(lab.grant(2), Ok(()));
}

#[test]
fn there_are_as_many_slots_as_hosts_may_be_out() {
    let mut lab = rolling(4, 2);
    assert_eq!(lab.grant(1), Ok(()));
    assert_eq!(lab.grant(2), Ok(()));
    assert_no(&lab.grant(3), "no free slot");
    lab.changes(1);
    assert_eq!(lab.grant(3), Ok(()));
    assert_no(&lab.grant(4), "no free slot");
}

#[test]
fn a_host_that_was_never_in_service_needs_no_slot() {
    let mut lab = Lab::bare(3);
    lab.staged("a");
    lab.wave(&[1, 2, 3]);
    for host in 1..=3 {
        assert_eq!(lab.grant(host), Ok(()), "h{host}");
    }
    assert!(!lab.here(1).counted);
    lab.changes(1);
    assert!(lab.here(1).counted, "it counts from its first time in service");
}

#[test]
fn an_included_host_counts_again() {
    let mut lab = rolling(3, 1);
    excluded(&mut lab);
    lab.ask(Request::Include { host: h(2) });
    assert_no(&lab.grant(1), "budget");
}

#[test]
fn a_slot_that_was_broken_does_not_bring_its_host_back() {
    let mut lab = rolling(3, 1);
    lab.grant(1).unwrap();
    lab.begins(1);
    assert_eq!(lab.ask(Request::BreakSlot { host: h(1) }), Reply::Done);
    assert_no(&lab.grant(2), "budget");
    assert_eq!(lab.grant(1), Ok(()), "it is out, and may be repaired");
}

#[test]
fn a_roll_back_has_its_own_slots_but_the_same_budget() {
    let roomy = Policy { rollback_parallel: 3.try_into().unwrap(), ..policy(2) };
    let mut lab = Lab::serving_with(4, roomy);
    lab.staged("b");
    lab.wave(&[1, 2, 3, 4]);
    for host in [1, 2, 3] {
        lab.grant(host).unwrap();
        lab.changes(host);
    }
    lab.falls_out(1, Cause::Surroundings);
    lab.ask(Request::Abort { leave: false });
    lab.wave(&[1, 2, 3]);
    assert_eq!(lab.grant(1), Ok(()), "out already");
    assert_eq!(lab.grant(2), Ok(()));
    assert_no(&lab.grant(3), "budget");
    lab.falls_out(3, Cause::Surroundings);
    assert_eq!(lab.here(2).change, None, "h2 has not begun, and one more is out now");
    assert_eq!(lab.grant(3), Ok(()), "the third slot");
}
