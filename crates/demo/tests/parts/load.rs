//! The load sees nothing of a fleet that is rolled well, and sees it when one is not.

use std::{net::SocketAddr, time::Duration};

use demo::{
    load::{Load, LoadOptions, Totals},
    service::{Options, STOP_GRACE, Service},
};
use localbalancer::{Client, Faults, GroupOptions, Options as BalancerOptions, Server};
use ports::{Balancer, Standing, Target};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::support::wait_for;

const HOSTS: [&str; 3] = ["h1", "h2", "h3"];

struct Fleet {
    server: Server,
    client: Client,
    services: Vec<Service>,
}

impl Fleet {
    async fn start(release: &str) -> Self {
        let groups = GroupOptions { health_interval: Duration::from_millis(20), ..GroupOptions::default() };
        let server = Server::start(BalancerOptions { groups, ..BalancerOptions::default() }).await.unwrap();
        let client = Client::new(&server.admin_url(), "web").unwrap();
        let mut services = Vec::new();
        for host in HOSTS {
            services.push(serve(([127, 0, 0, 1], 0).into(), release, host).await);
        }
        let fleet = Self { server, client, services };
        for index in 0..HOSTS.len() {
            fleet.admit(index).await;
        }
        fleet.server.reset_counters("web");
        fleet
    }

    fn target(&self, index: usize) -> Target {
        Target { host: HOSTS[index].parse().unwrap(), address: self.services[index].address() }
    }

    async fn until(&self, index: usize, wanted: Standing) {
        let target = self.target(index);
        wait_for(&format!("{} to be {wanted:?}", target.host), || async {
            (self.client.standing(&target).await.unwrap() == wanted).then_some(())
        })
        .await;
    }

    async fn admit(&self, index: usize) {
        self.client.join(&self.target(index)).await.unwrap();
        self.until(index, Standing::InService).await;
    }

    /// Takes a host from the balancer and gives it another release, the way an agent does.
    async fn change(&mut self, index: usize, release: &str) {
        let address = self.services[index].address();
        self.client.leave(&self.target(index)).await.unwrap();
        self.until(index, Standing::Absent).await;
        self.services.remove(index).stop(STOP_GRACE).await;
        self.services.insert(index, serve(address, release, HOSTS[index]).await);
        self.admit(index).await;
    }

    /// A load on the fleet that has this many long requests, and short ones, in flight.
    async fn load(&self, long_workers: usize) -> Load {
        let target = self.server.data_address();
        let options = LoadOptions { long_workers, long_ms: 200..=400, ..LoadOptions::new(target) };
        let load = Load::start(options);
        grow(&load, 4).await;
        load
    }
}

async fn serve(listen: SocketAddr, release: &str, host: &str) -> Service {
    let (release, host) = (release.to_owned(), host.to_owned());
    Service::start(Options { listen, release, host, healthy: true }).await.unwrap()
}

/// Waits until so many more long requests, and at least as many short ones, have ended.
async fn grow(load: &Load, by: u64) {
    let before = load.snapshot();
    wait_for("the load to go on", || async {
        let Totals { requests, long_requests, uploads, .. } = load.snapshot();
        let (all, long) = (requests - before.requests, long_requests - before.long_requests);
        let uploads = uploads - before.uploads;
        (long >= by && all - long - uploads >= by).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_fleet_that_is_rolled_well_fails_no_request() {
    let mut fleet = Fleet::start("r1").await;
    let load = fleet.load(4).await;
    for index in 0..HOSTS.len() {
        fleet.change(index, "r2").await;
    }
    grow(&load, 4).await;
    let totals = load.stop().await;
    assert_eq!((totals.failed, &totals.reasons), (0, &Default::default()));
    assert!(totals.releases["r1"] > 0 && totals.releases["r2"] > 0, "{totals:?}");
    assert!(totals.uploads > 0, "{totals:?}");
    assert_eq!(totals.connections, 14, "callers keep their connections through a roll");
    let counters = fleet.server.counters("web");
    assert_eq!((counters.requests, counters.failed()), (totals.requests, 0), "both sides count the same");
    assert_eq!((counters.in_service_min, counters.in_service), (2, 3));
    fleet.server.shutdown().await;
}

#[tokio::test]
async fn the_control_bites_without_a_drain() {
    let mut fleet = Fleet::start("r1").await;
    fleet.server.set_faults(Faults { drain_off: true, ..Faults::default() });
    // So many that no host is ever without one.
    let load = fleet.load(24).await;
    for index in 0..HOSTS.len() {
        grow(&load, 2).await;
        fleet.change(index, "r2").await;
    }
    let totals = load.stop().await;
    assert!(totals.failed > 0, "nobody noticed: {totals:?}");
    assert_eq!(totals.failed, totals.reasons.values().sum::<u64>() + totals.other_reasons);
    fleet.server.shutdown().await;
}

#[tokio::test]
async fn a_host_that_is_killed_shows() {
    let mut fleet = Fleet::start("r1").await;
    let load = fleet.load(4).await;
    drop(fleet.services.remove(0));
    let failed = wait_for("a failed request", || async {
        let totals = load.snapshot();
        (totals.failed > 0).then_some(totals)
    })
    .await;
    assert!(!failed.reasons.is_empty());
    load.stop().await;
    fleet.server.shutdown().await;
}

/// A server of one connection at a time. It answers the first request of each well and closes the connection; the
/// answer to the `bad`th request breaks off.
async fn closing_server(bad: u32) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for request in 1.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let text = if request == bad { "ha" } else { "whole" };
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{text}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn a_connection_closed_between_requests_is_no_failure_and_half_an_answer_is_one() {
    let address = closing_server(5).await;
    let think = Duration::from_millis(50);
    let load = Load::start(LoadOptions {
        short_workers: 1,
        long_workers: 0,
        upload_workers: 0,
        think,
        ..LoadOptions::new(address)
    });
    wait_for("ten requests", || async { (load.snapshot().requests >= 10).then_some(()) }).await;
    let totals = load.stop().await;
    assert_eq!((totals.failed, totals.connections), (1, totals.requests), "{totals:?}");
    let reason = totals.reasons.keys().next().unwrap();
    assert!(reason.starts_with("GET /: read the answer: "), "{reason}");
}

#[tokio::test]
async fn a_target_that_is_not_there_is_a_failure() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let load = Load::start(LoadOptions::new(gone));
    wait_for("failures", || async { (load.snapshot().failed > 20).then_some(()) }).await;
    let totals = load.stop().await;
    assert_eq!(totals.failed, totals.requests);
}
