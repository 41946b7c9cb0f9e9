use super::*;

fn target(port: u16) -> Target {
    Target { host: format!("h{port}").parse().unwrap(), address: ([127, 0, 0, 1], port).into() }
}

/// A group whose thresholds are 2, with these targets in service.
fn group(in_service: &[u16]) -> Group {
    let mut group = Group::new(GroupOptions::default());
    for port in in_service {
        let stay = group.register(target(*port)).unwrap();
        group.checked(stay, Ok(()));
        group.checked(stay, Ok(()));
    }
    group.reset_counters();
    group
}

fn state(group: &Group, port: u16) -> TargetState {
    group.describe(&target(port)).state
}

fn failed() -> Result<(), String> {
    Err("answered 503".to_owned())
}

#[test]
fn requests_go_round_robin_to_targets_in_service_only() {
    let mut group = group(&[1, 2, 3]);
    group.register(target(4));
    let stay = group.register(target(5)).unwrap();
    group.checked(stay, failed());
    group.checked(stay, failed());
    let mut ports: Vec<u16> = (0..6).map(|_| group.pick().unwrap().way.address.port()).collect();
    assert_eq!(ports[..3], ports[3..]);
    ports.sort_unstable();
    assert_eq!(ports, [1, 1, 2, 2, 3, 3]);
}

#[test]
fn nobody_in_service_is_a_failure_that_counts() {
    let mut group = Group::new(GroupOptions::default());
    group.register(target(1));
    assert!(group.pick().is_none());
    assert_eq!((group.counters().requests, group.counters().failed()), (1, 1));
}

#[test]
fn thresholds_count_checks_in_a_row() {
    let mut group = Group::new(GroupOptions::default());
    let stay = group.register(target(1)).unwrap();
    let table = [
        (Ok(()), TargetState::Initial),
        (failed(), TargetState::Initial),
        (Ok(()), TargetState::Initial),
        (Ok(()), TargetState::InService),
        (failed(), TargetState::InService),
        (Ok(()), TargetState::InService),
        (failed(), TargetState::InService),
        (failed(), TargetState::Unhealthy),
        (Ok(()), TargetState::Unhealthy),
        (failed(), TargetState::Unhealthy),
        (Ok(()), TargetState::Unhealthy),
        (Ok(()), TargetState::InService),
    ];
    for (row, (outcome, after)) in table.into_iter().enumerate() {
        group.checked(stay, outcome);
        assert_eq!(state(&group, 1), after, "row {row}");
    }
}

#[test]
fn a_drain_lasts_until_the_last_request_has_ended() {
    let mut group = group(&[1]);
    let (first, second) = (group.pick().unwrap(), group.pick().unwrap());
    assert!(group.deregister(&target(1)).is_some());
    assert!(group.deregister(&target(1)).is_none(), "leaving twice started a second delay");
    assert!(group.pick().is_none(), "a draining target was picked");
    group.ended(first.member, End::Completed);
    assert_eq!(state(&group, 1), TargetState::Draining);
    group.ended(second.member, End::BrokenAnswer);
    assert_eq!(state(&group, 1), TargetState::Absent);
    assert!(!second.way.cut.is_cancelled());
    assert_eq!((group.counters().completed, group.counters().broken_answer), (1, 1));
}

#[test]
fn a_delay_that_is_over_cuts_what_is_in_flight() {
    let mut group = group(&[1]);
    let pick = group.pick().unwrap();
    let stay = group.deregister(&target(1)).unwrap();
    assert!(!pick.way.cut.is_cancelled());
    group.expire(stay);
    assert!(pick.way.cut.is_cancelled());
    assert_eq!(state(&group, 1), TargetState::Absent);
    group.ended(pick.member, End::Cut);
    assert_eq!(group.counters().cut, 1);
}

#[test]
fn checks_and_delays_of_an_earlier_stay_change_nothing() {
    let mut group = group(&[1]);
    let pick = group.pick().unwrap();
    let old_delay = group.deregister(&target(1)).unwrap();
    group.checked(old_delay, Ok(()));
    group.checked(old_delay, Ok(()));
    assert_eq!(state(&group, 1), TargetState::Draining, "a check made a draining target healthy");
    let stay = group.register(target(1)).unwrap();
    assert_eq!(state(&group, 1), TargetState::Initial);
    group.expire(old_delay);
    assert_eq!(state(&group, 1), TargetState::Initial, "an ended drain's delay removed the target");
    assert!(group.checks(stay) && !group.checks(old_delay));
    group.ended(pick.member, End::Completed);
    assert_eq!(state(&group, 1), TargetState::Initial);
}

#[test]
fn removal_without_a_drain_cuts_at_once() {
    let mut group = group(&[1, 2]);
    let picks = [group.pick().unwrap(), group.pick().unwrap()];
    group.remove(&target(1));
    for pick in picks {
        assert_eq!(pick.way.cut.is_cancelled(), pick.way.address.port() == 1);
    }
}

#[test]
fn the_minimum_in_service_is_kept_until_it_is_reset() {
    let mut group = group(&[1, 2, 3]);
    group.deregister(&target(2));
    let stay = group.register(target(2)).unwrap();
    group.checked(stay, Ok(()));
    group.checked(stay, Ok(()));
    assert_eq!((group.counters().in_service, group.counters().in_service_min), (3, 2));
    group.reset_counters();
    assert_eq!((group.counters().in_service, group.counters().in_service_min), (3, 3));
}

#[test]
fn every_change_of_a_target_is_kept_with_its_time() {
    use std::time::{Duration, SystemTime};
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let mut group = group(&[1]);
    group.stamp(at(1));
    let pick = group.pick().unwrap();
    group.deregister(&target(1)).unwrap();
    group.stamp(at(2));
    group.ended(pick.member, End::Completed);
    group.stamp(at(3));
    let kept: Vec<_> = group.changes().into_iter().map(|change| (change.at, change.state)).collect();
    let expected = [
        (at(1), TargetState::Initial),
        (at(1), TargetState::InService),
        (at(2), TargetState::Draining),
        (at(3), TargetState::Absent),
    ];
    assert_eq!(kept, expected);
}
