//! The data plane: who gets requests, and what becomes of them.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use fakeaws::{BalancerKind, CheckBy, GroupOptions, GroupView, NewBalancer, NewListener};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::stage::{Service, Stage, get, request, wait_for};

fn quick() -> GroupOptions {
    GroupOptions {
        health_interval: Duration::from_millis(20),
        deregistration_delay: Duration::from_millis(300),
        ..GroupOptions::default()
    }
}

/// A service that is registered and healthy.
async fn target(stage: &Stage, group: &GroupView, ip: [u8; 4]) -> (Service, String) {
    let service = Service::start(ip).await;
    let (id, port) = (stage.instance(service.address).await.id, service.address.port());
    stage.change("RegisterTargets", group, &id, Some(port)).await;
    stage.wait_for_state(group, &id, port, "healthy").await;
    (service, id)
}

#[tokio::test]
async fn only_healthy_targets_get_requests_in_turn_and_each_is_counted() {
    let stage = Stage::new().await;
    let (group, front) = stage.group("web", quick()).await;
    assert_eq!(get(front.address, "/").await.unwrap().status, 503);
    let (one, _) = target(&stage, &group, [127, 0, 0, 2]).await;
    let (two, id) = target(&stage, &group, [127, 0, 0, 3]).await;
    for _ in 0..10 {
        assert_eq!(get(front.address, "/").await.unwrap().status, 200);
    }
    assert_eq!((one.requests.load(Ordering::SeqCst), two.requests.load(Ordering::SeqCst)), (5, 5));
    let upload =
        request(&front.address.to_string(), "POST", "/upload", &[], "x".repeat(300_000)).await.unwrap();
    assert_eq!(upload.body, "300000");
    assert_eq!(get(front.address, "/error").await.unwrap().status, 500);
    let counters = stage.control.counters("web").await.unwrap();
    assert_eq!(
        (counters.requests, counters.completed, counters.no_target, counters.target_5xx),
        (13, 12, 1, 1)
    );
    assert_eq!(counters.failed(), 2);
    stage.control.reset("web").await.unwrap();

    // One that is dead and not yet found out gets its requests, and nobody hides it.
    let port = two.address.port();
    two.kill();
    let mut failed = 0;
    while stage.health(&group, &id, port).await.0 == "healthy" {
        failed += u64::from(get(front.address, "/").await.unwrap().status == 502);
    }
    let counters = stage.control.counters("web").await.unwrap();
    assert_eq!(counters.unreachable + counters.no_answer, failed);
    assert_eq!(stage.health(&group, &id, port).await.1, "Target.FailedHealthChecks");
}

#[tokio::test]
async fn requests_in_flight_go_on_while_a_target_drains_and_are_cut_when_it_is_gone() {
    let stage = Stage::new().await;
    let slow = GroupOptions { deregistration_delay: Duration::from_secs(1), ..quick() };
    let (group, front) = stage.group("web", slow).await;
    let (service, id) = target(&stage, &group, [127, 0, 0, 2]).await;
    for (delay_ms, ends_well) in [(150, true), (60_000, false)] {
        service.slow_ms.store(delay_ms, Ordering::SeqCst);
        stage.change("RegisterTargets", &group, &id, Some(service.address.port())).await;
        stage.wait_for_state(&group, &id, service.address.port(), "healthy").await;
        stage.control.reset("web").await.unwrap();
        let slow = tokio::spawn(get(front.address, "/slow"));
        wait_for("the request to be in flight", async || {
            stage.control.targets("web").await.unwrap().iter().any(|target| target.in_flight == 1)
        })
        .await;
        stage.change("DeregisterTargets", &group, &id, Some(service.address.port())).await;
        assert_eq!(get(front.address, "/").await.unwrap().status, 503, "a draining target got a request");
        let answer = slow.await.unwrap();
        assert_eq!(answer.as_ref().is_ok_and(|raw| raw.status == 200), ends_well, "{answer:?}");
        let counters = stage.control.counters("web").await.unwrap();
        assert_eq!(
            (counters.completed, counters.cut, counters.no_target),
            (ends_well.into(), (!ends_well).into(), 1)
        );
    }
}

#[tokio::test]
async fn a_target_that_says_nothing_for_too_long_is_given_up() {
    let stage = Stage::new().await;
    let group = stage.control.put_group("web", &quick()).await.unwrap();
    let balancer = NewBalancer { name: "b".to_owned(), idle_timeout_ms: Some(100), ..NewBalancer::default() };
    stage.control.make_balancer(&balancer).await.unwrap();
    let listener = NewListener { address: ([127, 0, 0, 1], 0).into(), group: "web".to_owned() };
    let front = stage.control.listen("b", &listener).await.unwrap();
    let (service, _) = target(&stage, &group, [127, 0, 0, 2]).await;
    service.slow_ms.store(60_000, Ordering::SeqCst);
    assert_eq!(get(front.address, "/slow").await.unwrap().status, 504);
    let counters = stage.control.counters("web").await.unwrap();
    assert_eq!((counters.requests, counters.timed_out, counters.failed()), (1, 1, 1));
    assert_eq!(stage.control.targets("web").await.unwrap()[0].in_flight, 0);
}

#[tokio::test]
async fn a_callers_connection_is_kept_for_its_next_request() {
    let stage = Stage::new().await;
    let (group, front) = stage.group("web", quick()).await;
    let (_service, _) = target(&stage, &group, [127, 0, 0, 2]).await;
    let stream = TcpStream::connect(front.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..3 {
        let request = Request::get("/").header("host", "web").body(Empty::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap();
    }
    assert_eq!(stage.control.counters("web").await.unwrap().completed, 3);
    connection.abort();
}

#[tokio::test]
async fn an_nlb_carries_connections_and_lets_them_outlive_the_delay() {
    let stage = Stage::new().await;
    let options = GroupOptions { check_by: CheckBy::Tcp, ..quick() };
    let group = stage.control.put_group("web", &options).await.unwrap();
    let balancer =
        NewBalancer { name: "n".to_owned(), kind: BalancerKind::Network, ..NewBalancer::default() };
    assert!(stage.control.make_balancer(&balancer).await.unwrap().arn.contains(":loadbalancer/net/n/"));
    let listener = NewListener { address: ([127, 0, 0, 1], 0).into(), group: "web".to_owned() };
    let front = stage.control.listen("n", &listener).await.unwrap();
    assert!(get(front.address, "/").await.is_err(), "nobody is there to take it");
    let (service, id) = target(&stage, &group, [127, 0, 0, 2]).await;
    stage.control.reset("web").await.unwrap();

    let stream = TcpStream::connect(front.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut ask = async || {
        let request = Request::get("/").header("host", "web").body(Empty::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap();
    };
    ask().await;
    stage.change("DeregisterTargets", &group, &id, Some(service.address.port())).await;
    stage.wait_for_state(&group, &id, service.address.port(), "unused").await;
    ask().await;
    assert_eq!(
        stage.control.counters("web").await.unwrap().requests,
        1,
        "requests of an NLB are connections"
    );
    service.kill();
    wait_for("the connection to be at its end", async || {
        stage.control.counters("web").await.unwrap().completed == 1
    })
    .await;
    connection.await.unwrap().unwrap();
    let groups = stage.elb("Action=DescribeTargetGroups&Names.member.1=web").await;
    assert_eq!((groups.text("Protocol"), groups.text("HealthCheckProtocol")), (Some("TCP"), Some("TCP")));
}

#[tokio::test]
async fn with_only_unhealthy_targets_all_of_them_get_requests() {
    let stage = Stage::new().await;
    let (group, front) = stage.group("web", quick()).await;
    let (service, id) = target(&stage, &group, [127, 0, 0, 2]).await;
    service.health.store(500, Ordering::SeqCst);
    stage.wait_for_state(&group, &id, service.address.port(), "unhealthy").await;
    assert_eq!(get(front.address, "/").await.unwrap().status, 200);
    assert_eq!(stage.control.counters("web").await.unwrap().failed_open, 1);
}

#[tokio::test]
async fn requests_follow_a_change_only_after_its_propagation() {
    let stage = Stage::new().await;
    let slow = GroupOptions { propagation: Duration::from_secs(600), ..quick() };
    let (group, front) = stage.group("web", quick()).await;
    let (service, id) = target(&stage, &group, [127, 0, 0, 2]).await;
    stage.change("DeregisterTargets", &group, &id, Some(service.address.port())).await;
    assert_eq!(get(front.address, "/").await.unwrap().status, 503);
    stage.control.put_group("web", &slow).await.unwrap();
    assert_eq!(get(front.address, "/").await.unwrap().status, 200, "it got none although nobody knew yet");
}

#[tokio::test]
async fn samples_tell_how_many_targets_there_were_at_any_time() {
    let stage = Stage::new().await;
    let (group, _) = stage.group("web", quick()).await;
    let (one, id) = target(&stage, &group, [127, 0, 0, 2]).await;
    let (_two, _) = target(&stage, &group, [127, 0, 0, 3]).await;
    stage.change("DeregisterTargets", &group, &id, Some(one.address.port())).await;
    stage.wait_for_state(&group, &id, one.address.port(), "unused").await;
    wait_for("the last sample", async || {
        stage.control.samples("web").await.unwrap().last().unwrap().draining == 0
    })
    .await;
    let samples = stage.control.samples("web").await.unwrap();
    let healthy: Vec<_> =
        samples.iter().map(|sample| (sample.initial, sample.healthy, sample.draining)).collect();
    assert_eq!(healthy, [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 2, 0), (0, 1, 1), (0, 1, 0)]);
    assert!(samples.is_sorted_by_key(|sample| sample.at_ms));
    assert!(u128::from(samples.last().unwrap().at_ms) <= stage.control.now().await.unwrap().as_millis());
}
