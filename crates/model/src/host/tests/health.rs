//! What one sees of a service's health, in a change and between changes.

use super::{
    process::{Behaviour, GOOD},
    *,
};
use crate::host::{
    Health, ProcessSeen,
    health::{Instance, Probe},
};

fn health(world: &World) -> Health {
    world.host.sighting(world.now).health
}

fn probe(world: &World) -> Probe {
    health(world).probe.expect("it was probed")
}

#[test]
fn up_ready_healthy_and_in_service_are_kept_apart() {
    let mut world = serving(HEADFUL, Some("a"));
    let seen = health(&world);
    assert_eq!(seen.instances, [Instance { pid: Some(world.pid), restarts: 0, ended: None }]);
    assert_eq!((seen.ready, seen.instances_wanted), (None, None), "it is not asked to say so");
    assert_eq!(seen.standing.as_deref(), Some("in service"));
    assert!(probe(&world).passed && probe(&world).ago <= secs(2), "{seen:?}");

    // The next one is up at once, healthy after 5 s, and in service a while after that.
    let slow = Behaviour { healthy: Some(secs(5)), in_service: Some(secs(4)), ..GOOD };
    world.behaves("b", slow);
    world.change(Some("a"), Some("b"));
    let started = |world: &World| world.running() == Some("b");
    assert!(world.run_until(secs(60), started));
    let tried = |world: &World| health(world).probe.is_some();
    assert!(world.run_until(secs(1), tried), "what was known of the one before does not count");
    let seen = health(&world);
    assert_eq!((seen.up(), probe(&world).passed), (1, false), "{seen:?}");
    assert_eq!(probe(&world).reason, "connection refused");
    assert!(world.run_until(secs(6), |world| probe(world).passed));
    assert_eq!(probe(&world).reason, "");
    assert!(world.run_until(secs(2), |world| health(world).standing.as_deref() == Some("initial")));
    assert!(world.run_until(secs(10), |world| health(world).standing.as_deref() == Some("in service")));
}

#[test]
fn a_steady_service_that_gets_sick_is_out_with_the_reason_and_comes_back() {
    let mut world = serving(HEADFUL, Some("a"));
    let before = world.process.clone();
    world.behaves("a", Behaviour { healthy: None, ..GOOD });
    let out = |world: &World| world.host.sighting(world.now).availability == Availability::Out;
    assert!(world.run_until(secs(10), out), "nobody notices: {:?}", world.host.sighting(world.now));
    assert_eq!(world.process, before, "it is left alone: what is to become of it is not decided here");
    assert_eq!((health(&world).up(), probe(&world).passed), (1, false));
    assert_eq!(world.told(), ["out"]);
    let trouble = world.host.sighting(world.now).trouble.unwrap_or_default();
    assert!(trouble.contains("connection refused"), "{trouble}");
    world.behaves("a", GOOD);
    assert!(world.run_until(secs(30), |world| !out(world)));
    assert_eq!(world.told(), ["out", "in"]);
}

#[test]
fn a_process_that_ended_is_not_up_and_says_how() {
    let mut world = serving(HEADFUL, Some("a"));
    world.exit_now();
    let ended = |world: &World| health(world).up() == 0;
    assert!(world.run_until(secs(1), ended));
    let seen = health(&world);
    assert_eq!(seen.instances[0].ended.as_deref(), Some("exited with code 1"));
    assert_eq!(seen.probe, None, "the last probe was of another process");
    let again = Instance { pid: Some(world.pid + 1), restarts: 1, ended: None };
    assert!(world.run_until(secs(5), |world| health(world).instances == [again.clone()]));
}

#[test]
fn a_service_that_is_asked_says_whether_it_is_ready_and_every_instance_is_seen() {
    let mut world = serving(Setup { asks_ready: true, instances: 3, ..HEADFUL }, Some("a"));
    let (first, mut second) = (world.process.clone(), world.process.clone());
    if let ProcessSeen::Running { pid, ready, status, .. } = &mut second {
        (*pid, *ready, *status) = (77, false, Some("warming up".to_owned()));
    }
    world.instances = vec![first, second.clone()];
    if let ProcessSeen::Running { ready, status, .. } = &mut world.process {
        (*ready, *status) = (false, Some("warming up".to_owned()));
    }
    world.news();
    world.run(secs(1));
    let seen = health(&world);
    assert_eq!((seen.ready, seen.status.as_deref()), (Some(false), Some("warming up")));
    assert_eq!((seen.up(), seen.instances.len(), seen.instances_wanted), (2, 2, Some(3)));
    assert_eq!(seen.instances[1].pid, Some(77));
}
