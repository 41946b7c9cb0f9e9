//! Instances and targets through time.

use std::time::Duration;

use super::*;
use crate::wire::{Act, GroupOptions, NewBalancer, NewInstance};

const SECOND: Duration = Duration::from_secs(1);

/// An account in which everything takes a second, with a group behind a load balancer and an instance that runs.
fn cloud() -> (Cloud, String, String) {
    let settings = Settings {
        pending: SECOND,
        stopping: SECOND,
        registration: SECOND,
        terminated_listed: 10 * SECOND,
        ..Settings::default()
    };
    let mut cloud = Cloud::new(settings, SystemTime::UNIX_EPOCH);
    let options = GroupOptions { deregistration_delay: 5 * SECOND, ..GroupOptions::default() };
    let group = cloud.make_group("web", options).unwrap().arn.clone();
    cloud.make_balancer(NewBalancer { name: "b".to_owned(), ..NewBalancer::default() }).unwrap();
    cloud.make_listener("b", ([127, 0, 0, 1], 80).into(), "web").unwrap();
    let new = NewInstance { private_ipv4: Some([10, 0, 0, 1].into()), ..NewInstance::default() };
    let id = cloud.launch(new, Duration::ZERO).unwrap().id.clone();
    (cloud, group, id)
}

fn state(cloud: &Cloud, id: &str, now: Now) -> &'static str {
    cloud.instance(id, now).map_or("gone", |instance| instance.view(now).state.leak())
}

fn health(cloud: &Cloud, group: &str, now: Now) -> Vec<TargetState> {
    let group = cloud.group(group).unwrap();
    group.targets.iter().map(|target| cloud.state(group, target, now)).collect()
}

#[test]
fn an_instance_changes_by_the_clock_alone() {
    let (mut cloud, _, id) = cloud();
    assert_eq!((state(&cloud, &id, Duration::ZERO), state(&cloud, &id, SECOND)), ("pending", "running"));
    cloud.act(&id, Act::Stop, 2 * SECOND).unwrap();
    assert_eq!((state(&cloud, &id, 2 * SECOND), state(&cloud, &id, 3 * SECOND)), ("stopping", "stopped"));
    cloud.act(&id, Act::Terminate, 4 * SECOND).unwrap();
    assert_eq!(
        (state(&cloud, &id, 4 * SECOND), state(&cloud, &id, 5 * SECOND)),
        ("shutting-down", "terminated")
    );
    assert_eq!((state(&cloud, &id, 14 * SECOND), state(&cloud, &id, 15 * SECOND)), ("terminated", "gone"));
    assert!(cloud.act(&id, Act::Start, 6 * SECOND).is_err());
    assert!(cloud.instance(&id, 6 * SECOND).unwrap().addresses(6 * SECOND).is_none());
}

#[test]
fn an_address_is_one_instances_as_long_as_it_lives() {
    let (mut cloud, _, id) = cloud();
    let new = || NewInstance { private_ipv4: Some([10, 0, 0, 1].into()), ..NewInstance::default() };
    assert_eq!(cloud.launch(new(), SECOND).unwrap_err().code, "InvalidIPAddress.InUse");
    cloud.act(&id, Act::Terminate, SECOND).unwrap();
    let second = cloud.launch(new(), SECOND).unwrap().id.clone();
    assert_eq!(cloud.instance_at([10, 0, 0, 1].into(), SECOND).unwrap().id, second);
}

#[test]
fn a_target_is_healthy_after_one_check_and_unhealthy_after_as_many_as_its_group_says() {
    let (mut cloud, group, id) = cloud();
    let stay = cloud.register(&group, &[(id, Some(80))], SECOND).unwrap()[0];
    assert_eq!(health(&cloud, &group, SECOND), [TargetState::Registering]);
    assert_eq!(cloud.plan(&group, stay, SECOND), Plan::Wait(SECOND));
    assert_eq!(health(&cloud, &group, 2 * SECOND), [TargetState::Checking]);
    let mut check = |outcome| {
        cloud.checked(&group, stay, Some(outcome), 3 * SECOND);
        health(&cloud, &group, 3 * SECOND)
    };
    let bad = || Err(Failure::Code(503));
    assert_eq!(check(bad()), [TargetState::Checking]);
    assert_eq!(check(Ok(())), [TargetState::Healthy]);
    assert_eq!(check(bad()), [TargetState::Healthy]);
    assert_eq!(check(bad()), [TargetState::Unhealthy(Failure::Code(503))]);
    assert_eq!(check(Err(Failure::Timeout)), [TargetState::Unhealthy(Failure::Timeout)]);
    assert_eq!(check(Ok(())), [TargetState::Unhealthy(Failure::Timeout)]);
    assert_eq!(check(Ok(())), [TargetState::Healthy]);
}

#[test]
fn a_target_drains_for_the_delay_that_held_when_it_left() {
    let (mut cloud, group, id) = cloud();
    let target = [(id, Some(80))];
    let stay = cloud.register(&group, &target, SECOND).unwrap()[0];
    cloud.checked(&group, stay, Some(Ok(())), 2 * SECOND);
    cloud.deregister(&group, &target, 3 * SECOND).unwrap();
    cloud.group_mut(&group).unwrap().options.deregistration_delay = 100 * SECOND;
    cloud.deregister(&group, &target, 4 * SECOND).unwrap();
    let before = 8 * SECOND - Duration::from_millis(1);
    assert_eq!(health(&cloud, &group, before), [TargetState::Draining]);
    assert!(!cloud.is_due(before) && cloud.is_due(8 * SECOND));
    assert_eq!(health(&cloud, &group, 8 * SECOND), [TargetState::NotRegistered]);
    assert_eq!(cloud.plan(&group, stay, before), Plan::End);
    assert_eq!(cloud.advance(8 * SECOND).len(), 1);
    assert!(cloud.group(&group).unwrap().targets.is_empty());
    assert!(cloud.register(&group, &target, 9 * SECOND).unwrap().len() == 1);
}

#[test]
fn whoever_comes_back_while_it_drains_is_the_same_member_in_a_new_stay() {
    let (mut cloud, group, id) = cloud();
    let target = [(id, Some(80))];
    let first = cloud.register(&group, &target, SECOND).unwrap()[0];
    assert!(cloud.register(&group, &target, SECOND).unwrap().is_empty(), "it is registered already");
    let member = cloud.group(&group).unwrap().targets[0].member;
    cloud.deregister(&group, &target, 2 * SECOND).unwrap();
    let second = cloud.register(&group, &target, 3 * SECOND).unwrap()[0];
    assert_eq!(cloud.group(&group).unwrap().targets[0].member, member);
    assert_eq!(cloud.plan(&group, first, 4 * SECOND), Plan::End);
    assert!(!cloud.checked(&group, first, Some(Ok(())), 4 * SECOND), "a check of the stay before counted");
    assert!(cloud.checked(&group, second, Some(Ok(())), 4 * SECOND));
}

#[test]
fn requests_go_to_the_healthy_and_else_to_the_unhealthy_and_never_to_others() {
    let (mut cloud, group, id) = cloud();
    let stay = cloud.register(&group, &[(id.clone(), Some(80))], SECOND).unwrap()[0];
    let routable = |cloud: &Cloud, now| cloud.routable(&group, now).0.len();
    assert_eq!(routable(&cloud, 2 * SECOND), 0);
    for _ in 0..2 {
        cloud.checked(&group, stay, Some(Err(Failure::Broken)), 2 * SECOND);
    }
    assert_eq!((routable(&cloud, 2 * SECOND), cloud.routable(&group, 2 * SECOND).1), (1, false));
    let other = cloud
        .launch(NewInstance { private_ipv4: Some([10, 0, 0, 2].into()), ..NewInstance::default() }, SECOND);
    let other = other.unwrap().id.clone();
    let well = cloud.register(&group, &[(other.clone(), Some(80))], 2 * SECOND).unwrap()[0];
    cloud.checked(&group, well, Some(Ok(())), 3 * SECOND);
    let (targets, healthy) = cloud.routable(&group, 3 * SECOND);
    assert_eq!((targets.len(), targets[0].1, healthy), (1, ([10, 0, 0, 2], 80).into(), true));
    cloud.act(&other, Act::Terminate, 4 * SECOND).unwrap();
    cloud.advance(4 * SECOND);
    assert_eq!(health(&cloud, &group, 4 * SECOND)[1], TargetState::Draining);
    assert_eq!(cloud.routable(&group, 4 * SECOND).0[0].1, ([10, 0, 0, 1], 80).into());
}
