//! Requests go where they may, and every failure shows.

use std::{net::SocketAddr, time::Duration};

use crate::support::{Backend, GROUP, Seen, admit, get, send, start, until_standing, wait_for};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use localbalancer::{Client, Counters, Faults, GROUP_HEADER, TargetState};
use ports::{Balancer, FaultKind, Standing};
use tokio::task::JoinHandle;

const LONG: Duration = Duration::from_secs(60);

/// Begins a request that stays in flight, and waits until the target has it.
async fn hold(
    data: SocketAddr,
    path: &'static str,
    backend: &Backend,
) -> JoinHandle<Result<Seen, hyper::Error>> {
    let before = backend.requests();
    let held = tokio::spawn(get(data, path));
    wait_for("the held request to arrive", || async { backend.requests() == before + 1 }).await;
    held
}

#[tokio::test]
async fn only_targets_in_service_get_requests() {
    let (server, client) = start(LONG).await;
    let data = server.data_address();
    assert_eq!(get(data, "/").await.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
    let [good, also_good, sick, stranger] = [
        Backend::start("h1").await,
        Backend::start("h2").await,
        Backend::start("h3").await,
        Backend::start("h4").await,
    ];
    sick.set_healthy(false);
    client.join(&sick.target).await.unwrap();
    wait_for("h3 to be unhealthy", || async {
        client.standing(&sick.target).await.unwrap()
            == Standing::Unhealthy { reason: "answered 503".to_owned() }
    })
    .await;
    assert_eq!(get(data, "/").await.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
    admit(&client, &good.target).await;
    admit(&client, &also_good.target).await;
    for _ in 0..20 {
        assert_eq!(get(data, "/").await.unwrap().status, StatusCode::OK);
    }
    let seen = [&good, &also_good, &sick, &stranger].map(Backend::requests);
    assert_eq!(seen, [10, 10, 0, 0]);
    server.shutdown().await;
}

#[tokio::test]
async fn a_draining_target_finishes_what_it_has_and_gets_nothing_new() {
    let (server, client) = start(LONG).await;
    let data = server.data_address();
    let [leaving, staying] = [Backend::start("h1").await, Backend::start("h2").await];
    admit(&client, &leaving.target).await;
    let before_answer = hold(data, "/hold", &leaving).await;
    let in_answer = hold(data, "/hold-body", &leaving).await;
    admit(&client, &staying.target).await;
    client.leave(&leaving.target).await.unwrap();
    for _ in 0..10 {
        assert_eq!(get(data, "/").await.unwrap().text, "h2");
    }
    let view = client.describe(&leaving.target).await.unwrap();
    assert_eq!((view.state, view.in_flight), (TargetState::Draining, 2));
    leaving.let_go();
    leaving.let_go();
    assert_eq!(before_answer.await.unwrap().unwrap().text, "h1");
    assert_eq!(in_answer.await.unwrap().unwrap().text, "begin end");
    until_standing(&client, &leaving.target, &Standing::Absent).await;
    let counters = client.counters().await.unwrap();
    assert_eq!((counters.requests, counters.completed, counters.failed()), (12, 12, 0));
    server.shutdown().await;
}

#[tokio::test]
async fn requests_are_cut_when_the_deregistration_delay_is_over() {
    let (server, client) = start(Duration::from_millis(200)).await;
    let data = server.data_address();
    let backend = Backend::start("h1").await;
    admit(&client, &backend.target).await;
    let before_answer = hold(data, "/hold", &backend).await;
    let in_answer = hold(data, "/hold-body", &backend).await;
    client.leave(&backend.target).await.unwrap();
    until_standing(&client, &backend.target, &Standing::Absent).await;
    assert_eq!(before_answer.await.unwrap().unwrap().status, StatusCode::BAD_GATEWAY);
    assert!(in_answer.await.unwrap().is_err(), "half an answer looked like a whole one");
    let counters = client.counters().await.unwrap();
    assert_eq!((counters.cut, counters.failed()), (2, 2));
    server.shutdown().await;
}

#[tokio::test]
async fn without_a_drain_a_target_that_leaves_is_cut_at_once() {
    let (server, client) = start(LONG).await;
    let backend = Backend::start("h1").await;
    admit(&client, &backend.target).await;
    client.set_faults(&Faults { drain_off: true, ..Faults::default() }).await.unwrap();
    let held = hold(server.data_address(), "/hold", &backend).await;
    client.leave(&backend.target).await.unwrap();
    assert_eq!(client.standing(&backend.target).await.unwrap(), Standing::Absent);
    assert_eq!(held.await.unwrap().unwrap().status, StatusCode::BAD_GATEWAY);
    server.shutdown().await;
}

#[tokio::test]
async fn a_killed_target_shows() {
    // The requests must notice, not the health checks.
    let (server, client) = start(LONG).await;
    let data = server.data_address();
    let backend = Backend::start("h1").await;
    admit(&client, &backend.target).await;
    let options = localbalancer::GroupOptions { unhealthy_threshold: u32::MAX, ..Default::default() };
    client.configure(&options).await.unwrap();
    let before_answer = hold(data, "/hold", &backend).await;
    let in_answer = hold(data, "/hold-body", &backend).await;
    backend.kill();
    assert_eq!(before_answer.await.unwrap().unwrap().status, StatusCode::BAD_GATEWAY);
    assert!(in_answer.await.unwrap().is_err(), "half an answer looked like a whole one");
    assert_eq!(get(data, "/").await.unwrap().status, StatusCode::BAD_GATEWAY);
    wait_for("all three failures to be counted", || async {
        let Counters { no_answer, broken_answer, unreachable, .. } = client.counters().await.unwrap();
        (no_answer, broken_answer, unreachable) == (1, 1, 1)
    })
    .await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_caller_that_breaks_off_frees_the_target() {
    let (server, client) = start(LONG).await;
    let backend = Backend::start("h1").await;
    admit(&client, &backend.target).await;
    let held = hold(server.data_address(), "/hold", &backend).await;
    client.leave(&backend.target).await.unwrap();
    assert_eq!(client.standing(&backend.target).await.unwrap(), Standing::Draining);
    // Its connection lives in a task that ends when nobody waits for the answer any more.
    held.abort();
    until_standing(&client, &backend.target, &Standing::Absent).await;
    let counters = client.counters().await.unwrap();
    assert_eq!((counters.caller_gone, counters.failed()), (1, 0));
    server.shutdown().await;
}

#[tokio::test]
async fn bodies_pass_both_ways_whatever_their_length() {
    let (server, client) = start(LONG).await;
    let backend = Backend::start("h1").await;
    admit(&client, &backend.target).await;
    for length in [0, 1, 3_000_000] {
        let body = Full::new(Bytes::from(vec![7; length]));
        let request = Request::post("/count?x=1").header("host", "test").body(body).unwrap();
        let seen = send(server.data_address(), request).await.unwrap();
        assert_eq!(seen.text, length.to_string());
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_request_goes_to_the_group_it_names() {
    let (server, web) = start(LONG).await;
    let other = Client::new(&server.admin_url(), "other").unwrap();
    let [one, two] = [Backend::start("h1").await, Backend::start("h2").await];
    admit(&web, &one.target).await;
    admit(&other, &two.target).await;
    for (group, host) in
        [(None, "h1"), (Some("web"), "h1"), (Some("other"), "h2"), (Some("none"), "no target in service\n")]
    {
        let mut request = Request::get("/").header("host", "test");
        if let Some(group) = group {
            request = request.header(GROUP_HEADER, group);
        }
        let request = request.body(Full::default()).unwrap();
        assert_eq!(send(server.data_address(), request).await.unwrap().text, host, "group {group:?}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn the_minimum_in_service_shows_a_target_that_was_out_for_a_moment() {
    let (server, client) = start(LONG).await;
    let [one, two] = [Backend::start("h1").await, Backend::start("h2").await];
    admit(&client, &one.target).await;
    admit(&client, &two.target).await;
    client.reset_counters().await.unwrap();
    client.leave(&two.target).await.unwrap();
    admit(&client, &two.target).await;
    let counters = client.counters().await.unwrap();
    assert_eq!((counters.in_service, counters.in_service_min), (2, 1));
    assert_eq!(server.targets(GROUP).len(), 2);
    server.shutdown().await;
}

#[tokio::test]
async fn a_slow_or_missing_admin_api_is_transient() {
    let (server, client) = start(LONG).await;
    let backend = Backend::start("h1").await;
    server.set_faults(Faults { slow_ms: 60_000, ..Faults::default() });
    let begun = std::time::Instant::now();
    let fault = client.join(&backend.target).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient, "{fault}: {}", fault.source);
    assert!(begun.elapsed() < Duration::from_secs(10), "the call waited {:?}", begun.elapsed());
    server.set_faults(Faults::default());
    server.shutdown().await;
    let fault = client.join(&backend.target).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient, "{fault}: {}", fault.source);
}
