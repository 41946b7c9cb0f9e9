//! Targets: what every balancer owes, and what is AWS's own.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use aws::{Group, TargetGroups};
use fakeaws::{Fault, FaultKind as Cause, GroupOptions, GroupView, TargetType};
use ports::{
    Balancer as _, FaultKind, Standing, Target,
    balancer::contract::{self, Surroundings},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Mutex,
    task::JoinHandle,
};

use crate::stage::{REGION, Service, Stage, quick, target_of, wait_for};

struct World {
    stage: Stage,
    balancer: TargetGroups,
    services: [Service; 2],
    targets: [Target; 2],
    front: SocketAddr,
    request: Mutex<Option<JoinHandle<String>>>,
}

impl World {
    async fn new(kind: TargetType) -> Self {
        let stage = Stage::new().await;
        let first = Service::new(0).await;
        let second = Service::new(first.address.port()).await;
        let ids = [stage.instance(first.ip()).await, stage.instance(second.ip()).await];
        let (group, front) = stage.group("web", &quick(kind)).await;
        let (balancer, one) = target_of(&stage.session(), &[&group], &ids[0], first.address);
        let two = Target { host: ids[1].parse().unwrap(), address: second.address };
        let (services, targets) = ([first, second], [one, two]);
        Self { stage, balancer, services, targets, front, request: Mutex::default() }
    }

    fn service(&self, target: &Target) -> &Service {
        self.services.iter().find(|service| service.address == target.address).expect("one of ours")
    }
}

impl Surroundings for World {
    type Balancer = TargetGroups;

    fn balancer(&self) -> &TargetGroups {
        &self.balancer
    }

    fn targets(&self) -> [Target; 2] {
        self.targets.clone()
    }

    async fn set_healthy(&self, target: &Target, healthy: bool) {
        self.service(target).healthy.store(healthy, Ordering::Release);
    }

    async fn begin_request(&self, target: &Target) {
        let front = self.front;
        let request = tokio::spawn(async move {
            let mut connection = TcpStream::connect(front).await.expect("reach the load balancer");
            let text = format!("GET /hold HTTP/1.1\r\nHost: {front}\r\nConnection: close\r\n\r\n");
            connection.write_all(text.as_bytes()).await.expect("send");
            let mut answer = String::new();
            let _ = connection.read_to_string(&mut answer).await;
            answer
        });
        *self.request.lock().await = Some(request);
        let held = self.service(target).held.clone();
        arrived(&held).await;
    }

    async fn end_request(&self, target: &Target) {
        self.service(target).release.notify_one();
        let request = self.request.lock().await.take().expect("it was begun");
        let answer = request.await.expect("the caller does not panic");
        assert!(answer.starts_with("HTTP/1.1 200"), "the request was lost: {answer:?}");
    }

    async fn fail_next(&self, kind: FaultKind) {
        let cause = match kind {
            FaultKind::Throttled => Cause::Throttle,
            FaultKind::Transient => Cause::Html,
            FaultKind::Permanent => Cause::Denied,
        };
        self.stage.control.add_fault(&Fault::of("elasticloadbalancing:*", cause).calls(1)).await.unwrap();
    }

    async fn lose_next_answer(&self) {
        let fault = Fault::of("elasticloadbalancing:*", Cause::LoseAnswer).calls(1);
        self.stage.control.add_fault(&fault).await.unwrap();
    }

    async fn pass_time(&self) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn targets_by_instance_obey_the_contract() {
    contract::check(&World::new(TargetType::Instance).await).await;
}

#[tokio::test]
async fn targets_by_address_obey_the_contract() {
    contract::check(&World::new(TargetType::Ip).await).await;
}

/// Waits until the service has the request.
async fn arrived(held: &AtomicU32) {
    for _ in 0..1_000 {
        if held.load(Ordering::Acquire) == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited for a request to arrive");
}

async fn until(balancer: &TargetGroups, target: &Target, wanted: Standing) {
    wait_for(&format!("{wanted:?}"), async || balancer.standing(target).await.expect("standing") == wanted)
        .await;
}

#[tokio::test]
async fn in_several_groups_it_is_in_service_in_all_and_gone_from_all() {
    let stage = Stage::new().await;
    let service = Service::new(0).await;
    let id = stage.instance(service.ip()).await;
    let (http, _) = stage.group("http", &quick(TargetType::Instance)).await;
    let (tls, _) = stage.group("tls", &quick(TargetType::Ip)).await;
    let (balancer, target) = target_of(&stage.session(), &[&http, &tls], &id, service.address);
    balancer.check(&target).await.expect("both can be used");
    balancer.join(&target).await.expect("join");
    until(&balancer, &target, Standing::InService).await;
    let own = |group: &GroupView| target_of(&stage.session(), &[group], &id, service.address).0;
    own(&tls).leave(&target).await.expect("leave one of them");
    assert_eq!(
        balancer.standing(&target).await.unwrap(),
        Standing::Initial,
        "one of them still sends requests"
    );
    until(&own(&tls), &target, Standing::Absent).await;
    assert_eq!(balancer.standing(&target).await.unwrap(), Standing::Initial, "gone from one only");
    balancer.leave(&target).await.expect("leave");
    until(&balancer, &target, Standing::Absent).await;
}

#[tokio::test]
async fn instances_of_a_service_are_targets_of_their_own() {
    let stage = Stage::new().await;
    let first = Service::new(0).await;
    let id = stage.instance(first.ip()).await;
    let (group, _) = stage.group("web", &quick(TargetType::Instance)).await;
    let group_port = 9000;
    let of = Group { arn: group.arn.clone(), name: group.name.clone(), port: group_port };
    let balancer = stage.session().target_groups(REGION, vec![of], first.address.port());
    let target = |n: u16| Target {
        host: id.parse().unwrap(),
        address: SocketAddr::new(first.address.ip(), first.address.port() + n),
    };
    for n in 0..3 {
        balancer.join(&target(n)).await.expect("join");
    }
    let ports = async || {
        let targets = stage.control.targets("web").await.unwrap();
        let draining = targets.iter().filter(|target| target.state != "draining");
        draining.map(|target| target.port).collect::<Vec<_>>()
    };
    assert_eq!(ports().await, [9000, 9001, 9002]);
    balancer.leave(&target(1)).await.expect("leave");
    assert_eq!(ports().await, [9000, 9002]);
}

#[tokio::test]
async fn a_target_that_somebody_else_took_out_is_absent_and_one_that_is_stopped_says_so() {
    let stage = Stage::new().await;
    let service = Service::new(0).await;
    let id = stage.instance(service.ip()).await;
    let (group, _) = stage.group("web", &quick(TargetType::Instance)).await;
    let (balancer, target) = target_of(&stage.session(), &[&group], &id, service.address);
    balancer.join(&target).await.expect("join");
    until(&balancer, &target, Standing::InService).await;
    stage.control.drop_target("web", &id, service.address.port()).await.unwrap();
    until(&balancer, &target, Standing::Absent).await;
    balancer.join(&target).await.expect("join");
    until(&balancer, &target, Standing::InService).await;
    stage.control.act(&id, fakeaws::Act::Stop).await.unwrap();
    wait_for("the balancer to say that it is stopped", async || {
        let standing = balancer.standing(&target).await.expect("standing");
        matches!(standing, Standing::Unhealthy { reason } if reason.contains("Target.InvalidState"))
    })
    .await;
}

#[tokio::test]
async fn all_calls_of_an_agent_share_one_allowance() {
    let stage = Stage::new().await;
    let service = Service::new(0).await;
    let id = stage.instance(service.ip()).await;
    let (group, _) = stage.group("web", &quick(TargetType::Instance)).await;
    // The allowance that ships.
    let session = aws::Session::new(stage.config());
    let (one, target) = target_of(&session, &[&group], &id, service.address);
    let (two, _) = target_of(&session, &[&group], &id, service.address);
    let began = std::time::Instant::now();
    let mut told = 0;
    while began.elapsed() < Duration::from_secs(3) {
        let both = tokio::join!(one.standing(&target), two.standing(&target));
        told += [both.0, both.1].iter().filter(|standing| standing.is_err()).count();
    }
    let took = u64::from(aws::pace::CALLS_PER_SECOND) * (began.elapsed().as_secs() + 1);
    let most = u64::from(aws::pace::BURST) + took;
    let calls = stage.calls("elasticloadbalancing:DescribeTargetHealth").await
        + stage.calls("elasticloadbalancing:DescribeTargetGroups").await;
    assert!(u64::from(aws::pace::BURST) <= calls && calls <= most, "{calls} calls, and {told} refused");
}

#[tokio::test]
async fn the_calls_that_are_made_are_those_of_the_policy() {
    let stage = Stage::new().await;
    let service = Service::new(0).await;
    let id = stage.instance(service.ip()).await;
    let (group, _) = stage.group("web", &quick(TargetType::Instance)).await;
    let metadata = stage.control.open_metadata(&id, ([127, 0, 0, 1], 0).into()).await.expect("metadata");
    let session = stage.session().on_instance_of(&format!("http://{metadata}")).expect("an address");
    let (balancer, target) = target_of(&session, &[&group], &id, service.address);
    balancer.check(&target).await.expect("check");
    balancer.join(&target).await.expect("join");
    balancer.standing(&target).await.expect("standing");
    balancer.leave(&target).await.expect("leave");
    let tags = [("a".to_owned(), vec!["b".to_owned()])].into();
    let (address, poll) = (aws::AddressKind::PrivateIpv4, Duration::from_secs(60));
    let fleet = aws::Fleet { tags, address, port: 1, poll };
    ports::Inventory::list(&session.inventory(fleet)).await.expect("list");
    stage.control.put_object("releases", "web", b"/a".to_vec()).await.expect("an object");
    let object = session.object(&"s3://releases/web".parse().expect("an address")).expect("a channel");
    ports::Channel::look(&object, None).await.expect("look");
    let called: std::collections::BTreeSet<String> =
        stage.control.calls().await.unwrap().into_iter().map(|count| count.action).collect();
    let called: std::collections::BTreeSet<String> =
        called.into_iter().filter(|action| !action.starts_with("imds:")).collect();
    let allowed = aws::permissions::Action::ALL.map(|action| action.permission().to_owned());
    assert_eq!(called, allowed.into());
}

#[tokio::test]
async fn only_unhealthy_targets_at_addresses_that_are_gone_are_swept() {
    let stage = Stage::new().await;
    let (lives, dead, other) = (Service::new(0).await, Service::new(0).await, Service::new(0).await);
    let (group, _) = stage.group("web", &quick(TargetType::Ip)).await;
    for service in [&lives, &dead, &other] {
        stage.instance(service.ip()).await;
        let (balancer, target) = target_of(&stage.session(), &[&group], "h1", service.address);
        balancer.join(&target).await.expect("join");
        until(&balancer, &target, Standing::InService).await;
    }
    dead.healthy.store(false, Ordering::Release);
    other.healthy.store(false, Ordering::Release);
    let state = async |service: &Service| {
        let targets = stage.control.targets("web").await.unwrap();
        let ip = service.address.ip().to_string();
        targets.into_iter().find(|target| target.id == ip).map_or("gone".to_owned(), |target| target.state)
    };
    for service in [&dead, &other] {
        wait_for("it to be found unhealthy", async || state(service).await == "unhealthy").await;
    }
    let gone = [lives.address.ip(), dead.address.ip()].into();
    for port in [lives.address.port(), dead.address.port()] {
        let of = Group { arn: group.arn.clone(), name: group.name.clone(), port };
        let swept = stage.session().sweep(REGION, &of, &gone).await.expect("sweep");
        assert!(swept.deregistered.iter().all(|target| *target == dead.address.to_string()), "{swept:?}");
        assert!(swept.left.iter().all(|target| *target == lives.address.to_string()), "{swept:?}");
    }
    wait_for("the dead one to be gone", async || state(&dead).await == "gone").await;
    assert_eq!((state(&lives).await.as_str(), state(&other).await.as_str()), ("healthy", "unhealthy"));
}

#[tokio::test]
async fn who_leaves_is_told_how_long_the_longest_drain_takes_where_that_is_known() {
    const ASK: &str = "elasticloadbalancing:DescribeTargetGroupAttributes";
    let stage = Stage::new().await;
    let service = Service::new(0).await;
    let id = stage.instance(service.ip()).await;
    let (short, _) = stage.group("short", &quick(TargetType::Instance)).await;
    let longer = GroupOptions { deregistration_delay: Duration::from_secs(7), ..quick(TargetType::Instance) };
    let (long, _) = stage.group("long", &longer).await;
    let (balancer, target) = target_of(&stage.session(), &[&short, &long], &id, service.address);
    balancer.join(&target).await.expect("join");
    let all = [0, 1, 2, 3].map(|_| balancer.leave(&target));
    for told in futures_util::future::join_all(all).await {
        assert_eq!(told.expect("leave"), Some(Duration::from_secs(7)));
    }
    assert_eq!(stage.calls(ASK).await, 2, "each group is asked once, whoever leaves");
    // Whoever cannot be told leaves all the same, and soon.
    for cause in [Cause::Error, Cause::Denied, Cause::Slow { ms: 60_000 }] {
        let (balancer, target) = target_of(&stage.session(), &[&short, &long], &id, service.address);
        balancer.join(&target).await.expect("join");
        stage.control.add_fault(&Fault::of(ASK, cause)).await.unwrap();
        assert_eq!(balancer.leave(&target).await.expect("it leaves all the same"), None, "{cause:?}");
        assert_eq!(balancer.standing(&target).await.expect("standing"), Standing::Draining, "{cause:?}");
        stage.control.clear_faults().await.unwrap();
    }
}
