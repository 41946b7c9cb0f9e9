//! Probes of gRPC's health service, against real servers.

use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic_health::{ServingStatus, server::HealthReporter};

use super::*;

/// A gRPC server that ends with the test.
struct Health {
    address: SocketAddr,
    reporter: HealthReporter,
    task: JoinHandle<()>,
}

impl Drop for Health {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn health() -> Health {
    let (reporter, service) = tonic_health::server::health_reporter();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let serving = Server::builder().add_service(service);
    let task = tokio::spawn(async move {
        serving.serve_with_incoming(TcpListenerStream::new(listener)).await.expect("it serves");
    });
    Health { address, reporter, task }
}

fn grpc(service: Option<&str>, timeout: Duration) -> ProbeSpec {
    ProbeSpec::Grpc { service: service.map(str::to_owned), timeout }
}

#[tokio::test]
async fn a_server_that_serves_passes_as_a_whole_and_by_name() {
    let health = health().await;
    assert_eq!(probe(&grpc(None, PATIENCE), health.address).await, Ok(()));
    health.reporter.set_service_status("shop.Cart", ServingStatus::Serving).await;
    assert_eq!(probe(&grpc(Some("shop.Cart"), PATIENCE), health.address).await, Ok(()));
}

#[tokio::test]
async fn a_server_that_does_not_serve_says_so() {
    let health = health().await;
    health.reporter.set_service_status("", ServingStatus::NotServing).await;
    let refused = Err("gRPC health: not serving".to_owned());
    assert_eq!(probe(&grpc(None, PATIENCE), health.address).await, refused);
    health.reporter.set_service_status("shop.Cart", ServingStatus::NotServing).await;
    let refused = Err("gRPC health of shop.Cart: not serving".to_owned());
    assert_eq!(probe(&grpc(Some("shop.Cart"), PATIENCE), health.address).await, refused);
    health.reporter.set_service_status("shop.Cart", ServingStatus::Serving).await;
    assert_eq!(probe(&grpc(Some("shop.Cart"), PATIENCE), health.address).await, Ok(()));
}

#[tokio::test]
async fn a_service_that_the_server_does_not_know_fails() {
    let health = health().await;
    let refused = Err("gRPC health of shop.Crat: no such service".to_owned());
    assert_eq!(probe(&grpc(Some("shop.Crat"), PATIENCE), health.address).await, refused);
}

#[tokio::test]
async fn a_server_without_the_health_service_says_what_is_missing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let task = tokio::spawn(async move {
        let empty = Server::builder().add_optional_service(None::<NoService>);
        empty.serve_with_incoming(TcpListenerStream::new(listener)).await.expect("it serves");
    });
    let refused = Err("gRPC health: the server does not offer grpc.health.v1.Health".to_owned());
    let probed = probe(&grpc(None, PATIENCE), address).await;
    task.abort();
    assert_eq!(probed, refused);
}

type NoService = tonic_health::pb::health_server::HealthServer<tonic_health::server::HealthService>;

#[tokio::test]
async fn where_something_else_or_nobody_listens_it_fails() {
    let refused = Err("connect: connection refused".to_owned());
    assert_eq!(probe(&grpc(None, PATIENCE), nobody().await).await, refused);
    let service = service(Some("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let failure = probe(&grpc(None, PATIENCE), service.address).await.expect_err("HTTP/1.1 is no gRPC");
    assert!(failure.starts_with("gRPC health: "), "{failure}");
}

#[tokio::test]
async fn a_silent_server_is_left_when_the_time_is_over() {
    // The system takes connections for it, and nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let timeout = Duration::from_millis(100);
    let failure = probe(&grpc(None, timeout), address).await.expect_err("nobody answered");
    assert!(failure.ends_with("within 100 ms"), "{failure}");
}
