//! What every test needs: a server, raw requests, and a service to send requests to.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use fakeaws::{
    Control, GroupOptions, GroupView, InstanceView, ListenerView, NewBalancer, NewInstance, NewListener,
    Options, Server, Settings,
};
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, Response, body::Incoming};
use localbalancer::{Tasks, http::send};
use tokio::net::TcpListener;

/// Longest wait for anything that has to come.
const DEADLINE: Duration = Duration::from_secs(20);

/// A server and its control door.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) control: Control,
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Raw {
    /// The text of the first element with this name.
    pub(crate) fn text(&self, element: &str) -> Option<&str> {
        self.texts(element).into_iter().next()
    }

    /// The texts of all elements with this name.
    pub(crate) fn texts(&self, element: &str) -> Vec<&str> {
        let (open, close) = (format!("<{element}>"), format!("</{element}>"));
        let parts = self.body.split(open.as_str()).skip(1);
        parts.filter_map(|part| part.split(close.as_str()).next()).collect()
    }

    /// Status and error code.
    pub(crate) fn error(&self) -> (u16, &str) {
        (self.status, self.text("Code").unwrap_or_default())
    }
}

pub(crate) const IDENTITY: &str = "AWS4-HMAC-SHA256 Credential=AKIDTEST/20260101/eu-central-1/any/aws4_request, SignedHeaders=host, Signature=0";

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(Settings { pending: Duration::ZERO, ..Settings::default() }).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let server =
            Server::start(Options { settings, ..Options::default() }).await.expect("start the server");
        let control = server.control();
        Self { server, control }
    }

    /// An instance at this address that runs.
    pub(crate) async fn instance(&self, address: SocketAddr) -> InstanceView {
        let std::net::IpAddr::V4(ip) = address.ip() else { panic!("{address} is not IPv4") };
        let new = NewInstance { private_ipv4: Some(ip), ..NewInstance::default() };
        self.control.launch(&new).await.expect("launch an instance")
    }

    /// A group behind a load balancer of its own.
    pub(crate) async fn group(&self, name: &str, options: GroupOptions) -> (GroupView, ListenerView) {
        let group = self.control.put_group(name, &options).await.expect("make a group");
        let balancer = NewBalancer { name: format!("lb-{name}"), ..NewBalancer::default() };
        self.control.make_balancer(&balancer).await.expect("make a load balancer");
        let listener = NewListener { address: ([127, 0, 0, 1], 0).into(), group: name.to_owned() };
        let listener = self.control.listen(&balancer.name, &listener).await.expect("listen");
        (group, listener)
    }

    pub(crate) async fn ec2(&self, form: &str) -> Raw {
        self.query(&format!("Version=2016-11-15&{form}")).await.expect("an answer of EC2")
    }

    pub(crate) async fn elb(&self, form: &str) -> Raw {
        self.query(&format!("Version=2015-12-01&{form}")).await.expect("an answer of ELBv2")
    }

    pub(crate) async fn query(&self, form: &str) -> Result<Raw, String> {
        let url = self.server.api_url();
        request(&url, "POST", "/", &[("authorization", IDENTITY)], form.to_owned()).await
    }

    /// State and reason of a target, as the API tells them.
    pub(crate) async fn health(&self, group: &GroupView, id: &str, port: u16) -> (String, String) {
        let form = format!(
            "Action=DescribeTargetHealth&TargetGroupArn={}&Targets.member.1.Id={id}&Targets.member.1.Port={port}",
            group.arn
        );
        let raw = self.elb(&form).await;
        let own = |element| raw.text(element).unwrap_or_default().to_owned();
        assert_eq!((own("Id"), own("Port")), (id.to_owned(), port.to_string()), "{}", raw.body);
        (own("State"), own("Reason"))
    }

    pub(crate) async fn wait_for_state(&self, group: &GroupView, id: &str, port: u16, wanted: &str) {
        wait_for(&format!("{id}:{port} to be {wanted}"), || async {
            self.health(group, id, port).await.0 == wanted
        })
        .await;
    }

    /// Registers or deregisters a target.
    pub(crate) async fn change(&self, action: &str, group: &GroupView, id: &str, port: Option<u16>) -> Raw {
        let port = port.map(|port| format!("&Targets.member.1.Port={port}")).unwrap_or_default();
        let form = format!("Action={action}&TargetGroupArn={}&Targets.member.1.Id={id}{port}", group.arn);
        self.elb(&form).await
    }
}

/// One request over a connection of its own.
pub(crate) async fn request(
    url: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: String,
) -> Result<Raw, String> {
    let authority = url.trim_start_matches("http://");
    let mut request = Request::builder().method(method).uri(path).header("host", authority);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body))).expect("a request");
    let exchange = async {
        let answer = send(authority, request).await.map_err(|error| format!("{error:?}"))?;
        let (head, body) = answer.response.into_parts();
        let body = body.collect().await.map_err(|error| format!("read the answer: {error:?}"))?.to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Raw { status: head.status.as_u16(), headers: head.headers, body })
    };
    tokio::time::timeout(DEADLINE, exchange).await.map_err(|_| format!("no answer to {method} {path}"))?
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<Raw, String> {
    request(&address.to_string(), "GET", path, &[], String::new()).await
}

/// Waits until something is so.
pub(crate) async fn wait_for<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < DEADLINE, "waited {DEADLINE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A service that answers with its own address; `/slow` after as long as a test says, `/upload` with the length.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) health: Arc<AtomicU16>,
    pub(crate) slow_ms: Arc<AtomicU64>,
    pub(crate) requests: Arc<AtomicU64>,
    tasks: Tasks,
}

impl Service {
    pub(crate) async fn start(ip: [u8; 4]) -> Self {
        Self::start_at((ip, 0).into()).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("bind a service");
        let address = listener.local_addr().expect("the address of a service");
        let (health, slow_ms) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicU64::new(0)));
        let requests = Arc::new(AtomicU64::new(0));
        let tasks = Tasks::default();
        let (code, delay, count) = (health.clone(), slow_ms.clone(), requests.clone());
        tasks.listen(listener, move |request, _| {
            let (code, delay) = (code.load(Ordering::SeqCst), delay.load(Ordering::SeqCst));
            if request.uri().path() != "/healthz" {
                count.fetch_add(1, Ordering::SeqCst);
            }
            respond(address, code, delay, request)
        });
        Self { address, health, slow_ms, requests, tasks }
    }

    /// Ends it as a process ends that is killed: what is in flight gets no answer.
    pub(crate) fn kill(self) {
        self.tasks.stop();
    }
}

async fn respond(
    address: SocketAddr,
    health: u16,
    delay_ms: u64,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from(address.to_string())));
    match request.uri().path() {
        "/healthz" => *response.status_mut() = health.try_into().expect("a status"),
        "/slow" => tokio::time::sleep(Duration::from_millis(delay_ms)).await,
        "/upload" => {
            let length = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
            *response.body_mut() = Full::new(Bytes::from(length.to_string()));
        }
        "/error" => *response.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR,
        _ => (),
    }
    Ok(response)
}
