//! What every test needs: an account, a session that speaks with it, and hosts that answer.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use aws::{Group, Session, TargetGroups, pace::Bucket};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use fakeaws::{
    CheckBy, Control, GroupOptions, GroupView, NewBalancer, NewInstance, NewListener, Options, Server,
    Settings, TargetType,
};
use ports::Target;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// Longest wait for anything that has to come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// The one region of the account.
pub(crate) const REGION: &str = "eu-central-1";
/// The tag of the fleet.
pub(crate) const TAG: (&str, &str) = ("deployinator:cluster", "prod");

/// An account, and how it is spoken with.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) control: Control,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let settings = Settings { pending: Duration::ZERO, ..Settings::default() };
        let server = Server::start(Options { settings, ..Options::default() }).await.expect("start fakeaws");
        let control = server.control();
        Self { server, control }
    }

    /// Where calls go, signed with credentials that stand for nobody's.
    pub(crate) fn config(&self) -> SdkConfig {
        let credentials = Credentials::new("AKIDTEST", "secret", None, None, "test");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(REGION))
            .endpoint_url(self.server.api_url())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build()
    }

    /// One that may call as often as it likes: the account's clocks are fast.
    pub(crate) fn session(&self) -> Session {
        Session::new(self.config()).paced_by(Bucket::new(1_000_000, 1_000_000))
    }

    /// A group that a load balancer sends requests to, and where these arrive.
    pub(crate) async fn group(&self, name: &str, options: &GroupOptions) -> (GroupView, SocketAddr) {
        let group = self.control.put_group(name, options).await.expect("make a group");
        let balancer = NewBalancer { name: format!("lb-{name}"), ..NewBalancer::default() };
        self.control.make_balancer(&balancer).await.expect("make a load balancer");
        let listener = NewListener { address: ([127, 0, 0, 1], 0).into(), group: name.to_owned() };
        let listener = self.control.listen(&balancer.name, &listener).await.expect("listen");
        (group, listener.address)
    }

    /// An instance of the fleet at this address.
    pub(crate) async fn instance(&self, ip: Ipv4Addr) -> String {
        self.instance_in(None, ip).await
    }

    /// The same in this zone.
    pub(crate) async fn instance_in(&self, zone: Option<&str>, ip: Ipv4Addr) -> String {
        let tags = [(TAG.0.to_owned(), TAG.1.to_owned())].into();
        let zone = zone.map(str::to_owned);
        let new = NewInstance { private_ipv4: Some(ip), zone, tags, ..NewInstance::default() };
        self.control.launch(&new).await.expect("launch an instance").id
    }

    /// How often these calls were made since the counters were reset.
    pub(crate) async fn calls(&self, action: &str) -> u64 {
        let calls = self.control.calls().await.expect("count the calls");
        calls.iter().filter(|count| count.action == action).map(|count| count.calls).sum()
    }
}

/// A service of one host, which passes health checks unless it is told not to, and holds requests for `/hold`.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) healthy: Arc<AtomicBool>,
    pub(crate) held: Arc<AtomicU32>,
    pub(crate) release: Arc<Notify>,
}

impl Service {
    /// On an address that no other test has.
    pub(crate) async fn new(port: u16) -> Self {
        let address = SocketAddr::new(fresh().into(), port);
        let listener = TcpListener::bind(address).await.expect("bind a service");
        let address = listener.local_addr().expect("it is bound");
        let healthy = Arc::new(AtomicBool::new(true));
        let (held, release) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let service =
            Self { address, healthy: healthy.clone(), held: held.clone(), release: release.clone() };
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(answer(connection, healthy.clone(), held.clone(), release.clone()));
            }
        });
        service
    }

    pub(crate) fn ip(&self) -> Ipv4Addr {
        match self.address.ip() {
            std::net::IpAddr::V4(ip) => ip,
            std::net::IpAddr::V6(ip) => panic!("{ip} was not asked for"),
        }
    }
}

async fn answer(
    mut connection: TcpStream,
    healthy: Arc<AtomicBool>,
    held: Arc<AtomicU32>,
    release: Arc<Notify>,
) {
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        match connection.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    if head.starts_with(b"GET /hold ") {
        held.fetch_add(1, Ordering::AcqRel);
        release.notified().await;
        held.fetch_sub(1, Ordering::AcqRel);
    }
    let status = if healthy.load(Ordering::Acquire) { "200 OK" } else { "503 Service Unavailable" };
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    let _ = connection.write_all(text.as_bytes()).await;
    let _ = connection.shutdown().await;
}

/// A loopback address that nobody else in this process has.
pub(crate) fn fresh() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let [a, b] = u16::try_from(std::process::id() % 60_000).expect("it is small").to_be_bytes();
    let next = u8::try_from(NEXT.fetch_add(1, Ordering::Relaxed)).expect("few addresses");
    Ipv4Addr::new(127, 16 + a % 100, b, next + 2)
}

/// Waits until it is so.
pub(crate) async fn wait_for(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !so().await {
        assert!(Instant::now() < until, "waited {DEADLINE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A group whose targets are named so and get well fast.
pub(crate) fn quick(target_type: TargetType) -> GroupOptions {
    GroupOptions {
        target_type,
        check_by: CheckBy::Http,
        health_interval: Duration::from_millis(30),
        deregistration_delay: Duration::from_millis(600),
        ..GroupOptions::default()
    }
}

/// A host that is one target of these groups, and the balancer that says so.
pub(crate) fn target_of(
    session: &Session,
    groups: &[&GroupView],
    host: &str,
    service: SocketAddr,
) -> (TargetGroups, Target) {
    let of =
        |group: &&GroupView| Group { arn: group.arn.clone(), name: group.name.clone(), port: service.port() };
    let balancer = session.target_groups(REGION, groups.iter().map(of).collect(), service.port());
    (balancer, Target { host: host.parse().expect("a name"), address: service })
}
