//! A balancer and a prober of all, over ones in memory.

use std::{net::SocketAddr, time::Duration};

use ports::{
    Balancer, ProbeSpec, Prober, Standing, Target,
    balancer::fake::{Call, FakeBalancer},
    prober::fake::FakeProber,
};
use tempfile::TempDir;

use super::*;

fn first() -> Target {
    Target { host: "h1".parse().unwrap(), address: at(0) }
}

fn at(number: usize) -> SocketAddr {
    address_of("127.0.0.1:8080".parse().unwrap(), number)
}

fn target(number: usize) -> Target {
    Target { address: at(number), ..first() }
}

/// Three were started, and so many are in the configuration by now.
fn started_with_three(wanted: usize) -> (TempDir, std::sync::Arc<Count>) {
    let dir = tempfile::tempdir().unwrap();
    Count::open(dir.path(), 3).unwrap().renew().unwrap();
    let count = Count::open(dir.path(), wanted).unwrap();
    (dir, count)
}

#[tokio::test]
async fn all_join_and_all_leave_whatever_the_configuration_says_by_then() {
    let (_dir, count) = started_with_three(1);
    let balancer = FakeBalancer::new();
    for number in 0..3 {
        balancer.set_healthy(&target(number), true);
    }
    let all = Balancers::new(balancer.clone(), count.clone());
    all.join(&first()).await.unwrap();
    assert_eq!(standings(&balancer).await, 3);
    assert_eq!(all.leave(&first()).await.unwrap(), None);
    balancer.say_drains_take(Some(Duration::from_secs(4)));
    assert_eq!(all.leave(&first()).await.unwrap(), Some(Duration::from_secs(4)));
    assert_eq!(standings(&balancer).await, 0);
    assert_eq!(all.standing(&first()).await.unwrap(), Standing::Absent);

    // The next start has one, and so have the next join and the next drain.
    count.renew().unwrap();
    all.join(&first()).await.unwrap();
    assert_eq!(standings(&balancer).await, 1);
    // One that another agent has registered meanwhile is not left behind.
    balancer.join(&target(2)).await.unwrap();
    all.leave(&first()).await.unwrap();
    assert_eq!(standings(&balancer).await, 0);
}

#[tokio::test]
async fn what_is_the_same_for_all_is_looked_at_once() {
    let (_dir, count) = started_with_three(3);
    let balancer = FakeBalancer::new();
    Balancers::new(balancer.clone(), count).check(&first()).await.unwrap();
    assert_eq!(balancer.calls(), [Call::Check(first())]);
}

#[tokio::test]
async fn after_a_reboot_with_fewer_instances_none_stays_registered() {
    let (dir, count) = started_with_three(1);
    let balancer = FakeBalancer::new();
    (0..3).for_each(|number| balancer.set_healthy(&target(number), true));
    Balancers::new(balancer.clone(), count.clone()).join(&first()).await.unwrap();
    // The host boots: nothing runs, nobody has drained anything, and the next start has one. The balancer is busy just then.
    count.renew().unwrap();
    let all = Balancers::new(balancer.clone(), count);
    balancer.outage(Some(ports::FaultKind::Throttled));
    all.standing(&first()).await.unwrap_err();
    balancer.outage(None);
    assert_eq!(standings(&balancer).await, 3);
    // Another agent, with the same configuration, does not forget them.
    let count = Count::open(dir.path(), 1).unwrap();
    let all = Balancers::new(balancer.clone(), count.clone());
    all.join(&first()).await.unwrap();
    assert_eq!(standings(&balancer).await, 1);
    assert_eq!(count.left_behind(), 1..1);
    assert_eq!(Count::open(dir.path(), 1).unwrap().reach(), 1);
}

/// How many are registered, and do not drain.
async fn standings(balancer: &FakeBalancer) -> usize {
    let mut registered = 0;
    for number in 0..4 {
        let standing = balancer.standing(&target(number)).await.unwrap();
        registered += usize::from(!matches!(standing, Standing::Absent | Standing::Draining));
    }
    registered
}

#[tokio::test]
async fn the_probe_passes_where_all_do_and_says_which_does_not() {
    let (_dir, count) = started_with_three(3);
    let fake = FakeProber::new();
    let all = Probers::new(|_| fake.clone(), count.clone());
    let spec = ProbeSpec::Tcp { timeout: Duration::from_secs(1) };
    let probe = async || all.probe(&spec, at(0)).await.map_err(|failure| failure.to_string());
    (0..3).for_each(|number| fake.pass(at(number)));
    assert_eq!(probe().await, Ok(()));
    fake.fail(at(2), "GET / answered 503");
    assert_eq!(probe().await, Err("instance 2: GET / answered 503".to_owned()));
    fake.forget(at(1));
    assert_eq!(probe().await, Err("instance 1: connect: connection refused".to_owned()));
}

#[test]
fn the_first_has_the_services_own_place() {
    let dir = Path::new("/state/services/web");
    assert_eq!(dir_of(dir, 0), dir);
    assert_eq!(dir_of(dir, 2), dir.join("instances/2"));
    assert_eq!((at(0).port(), at(3).port()), (8080, 8083));
}
