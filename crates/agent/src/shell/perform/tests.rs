use model::{Incarnation, Revision};
use ports::{
    balancer::fake::FakeBalancer,
    prober::fake::FakeProber,
    store::{
        Progress,
        fake::{Call, FakeStore},
    },
    supervisor::FakeSupervisor,
};

use super::*;

type FakeWorld = World<FakeBalancer, FakeStore, FakeSupervisor, FakeProber>;

fn world(readiness: Readiness, prober: Option<(FakeProber, ProbeSpec)>) -> FakeWorld {
    World {
        address: ([127, 0, 0, 1], 8080).into(),
        balancer: None,
        store: Arc::new(FakeStore::new(3)),
        supervisor: FakeSupervisor::new(),
        prober,
        environment: BTreeMap::new(),
        readiness,
        programs: Programs::default(),
        stages: Stages::default(),
        ahead: Ahead::default(),
        cgroups: Err(NoCgroups::Missing),
    }
}

async fn start(world: &FakeWorld) {
    let fence = Fence { incarnation: Incarnation(1), revision: Revision(1) };
    let release = Release { id: "a".parse().unwrap(), source: "a".into(), migrates: false };
    let launch = world.describe(fence, &release, "/a".into(), false).await.unwrap();
    world.supervisor.start(&launch).await.unwrap();
}

#[tokio::test]
async fn a_service_is_not_healthy_before_it_has_said_that_it_is_ready() {
    let (prober, spec) = (FakeProber::new(), ProbeSpec::Tcp { timeout: Duration::from_secs(1) });
    let world = world(Readiness::Notify, Some((prober.clone(), spec)));
    prober.pass(world.address);
    start(&world).await;
    assert_eq!(world.probe().await, Err(Miss::Service("the service has not said READY=1 yet".to_owned())));
    world.supervisor.say(false, Some("reading 3 files"));
    let said = "the service has not said READY=1 yet (STATUS: reading 3 files)";
    assert_eq!(world.probe().await, Err(Miss::Service(said.to_owned())));
    assert_eq!(prober.calls(), [], "it is probed only once it is ready");
    world.supervisor.say(true, None);
    assert_eq!(world.probe().await, Ok(()));
    prober.fail(world.address, "503");
    assert_eq!(world.probe().await, Err(Miss::Service("503".to_owned())), "ready is not yet healthy");
}

#[tokio::test]
async fn without_a_probe_its_word_is_enough_and_without_that_to_run_is() {
    let speaks = world(Readiness::Notify, None);
    assert!(speaks.is_probed(), "to run is not enough");
    start(&speaks).await;
    speaks.supervisor.say(true, None);
    assert_eq!(speaks.probe().await, Ok(()));
    assert!(!world(Readiness::Up, None).is_probed());
}

#[tokio::test]
async fn a_keeper_that_does_not_answer_is_told_from_a_service_that_is_not_ready() {
    let world = world(Readiness::Notify, None);
    start(&world).await;
    world.supervisor.say(true, None);
    world.supervisor.fail(1);
    let Err(Miss::Unasked(why)) = world.probe().await else { panic!("the service was blamed") };
    assert!(why.contains("scripted failure"), "{why}");
    assert_eq!(world.probe().await, Ok(()));
}

#[test]
fn what_nobody_heard_is_no_word_against_the_service() {
    let process = |ready, unheard| ports::supervisor::Process::Running {
        release: "a".parse().unwrap(),
        fence: Fence { incarnation: Incarnation(1), revision: Revision(1) },
        pid: 7,
        restarts: 0,
        ready,
        status: None,
        unheard,
    };
    assert!(matches!(seen::readiness(&process(false, false)), Err(Miss::Service(_))));
    assert!(matches!(seen::readiness(&process(false, true)), Err(Miss::Unasked(_))));
    assert_eq!(seen::readiness(&process(true, true)), Ok(()));
}

#[tokio::test]
async fn a_release_is_not_fetched_while_the_balancer_cannot_be_used() {
    let target = Target { host: "h1".parse().unwrap(), address: ([127, 0, 0, 1], 8080).into() };
    let balancer = FakeBalancer::new();
    let world = World { balancer: Some((balancer.clone(), target)), ..world(Readiness::Up, None) };
    let release = Release { id: "a".parse().unwrap(), source: "a".into(), migrates: false };
    world.store.offer(&release);
    let stage =
        |preflight| world.perform(Effect::Stage { ticket: Ticket(1), release: release.clone(), preflight });
    balancer.outage(Some(ports::FaultKind::Permanent));
    let Some(Event::StageEnded { result: Err(fault), .. }) = stage(true).await else {
        panic!("it was staged")
    };
    assert!(fault.text.starts_with("the balancer cannot be used: "), "{fault:?}");
    assert_eq!(world.store.calls(), [], "nothing was fetched");
    let Some(Event::StageEnded { result, .. }) = stage(false).await else { panic!("another answer") };
    assert_eq!(result, Ok(()), "what a host is out without is fetched whatever the balancer says");
    balancer.outage(None);
    let Some(Event::StageEnded { result, .. }) = stage(true).await else { panic!("another answer") };
    assert_eq!(result, Ok(()));
}

#[tokio::test]
async fn a_release_is_verified_while_its_host_leaves_and_again_only_if_that_found_it_changed() {
    let target = Target { host: "h1".parse().unwrap(), address: ([127, 0, 0, 1], 8080).into() };
    let world = World { balancer: Some((FakeBalancer::new(), target)), ..world(Readiness::Up, None) };
    let release = Release { id: "a".parse().unwrap(), source: "a".into(), migrates: false };
    world.store.offer(&release);
    world.store.stage(&release, &Progress::new(|_| ())).await.unwrap();
    let verified = || {
        let calls = world.store.calls();
        calls.iter().filter(|call| **call == Call::Verify(release.id.clone())).count()
    };
    let leave = || world.perform(Effect::Leave { ticket: Ticket(1), next: Some(release.id.clone()) });
    let start = |revision| {
        let fence = Fence { incarnation: Incarnation(1), revision: Revision(revision) };
        let ticket = Ticket(2);
        world.perform(Effect::VerifyAndStart { ticket, fence, release: release.clone() })
    };
    leave().await;
    tokio::task::yield_now().await;
    assert_eq!(verified(), 1, "it is verified before anybody asks for a start");
    assert!(matches!(start(1).await, Some(Event::Started { result: Ok(_), .. })));
    assert_eq!(verified(), 1, "what was verified during the drain is not verified again");
    start(2).await;
    assert_eq!(verified(), 2, "it serves for one start");
    world.store.tamper(&release.id);
    leave().await;
    assert!(matches!(start(3).await, Some(Event::Started { result: Err(Denied::Fault(_)), .. })));
    assert_eq!(verified(), 4, "what was wrong is looked at once more");
}
