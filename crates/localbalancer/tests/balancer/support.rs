//! Targets that do as they are told, and callers that see every byte.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use localbalancer::{Client, GroupOptions, Options, Server};
use ports::{Balancer, Standing, Target};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

/// The group that tests use.
pub(crate) const GROUP: &str = "web";

const DEADLINE: Duration = Duration::from_secs(20);

/// Polls until `done`, and panics with what it waited for.
pub(crate) async fn wait_for<F: Future<Output = bool>>(what: &str, done: impl Fn() -> F) {
    let poll = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, poll).await.is_ok(), "waited {DEADLINE:?} for {what}");
}

/// A balancer whose checks take little time.
pub(crate) async fn start(deregistration_delay: Duration) -> (Server, Client) {
    let health_interval = Duration::from_millis(10);
    let groups = GroupOptions { health_interval, deregistration_delay, ..GroupOptions::default() };
    let server = Server::start(Options { groups, ..Options::default() }).await.unwrap();
    let client = Client::new(&server.admin_url(), GROUP).unwrap();
    (server, client)
}

/// Registers the target and waits until it is in service.
pub(crate) async fn admit(client: &Client, target: &Target) {
    client.join(target).await.unwrap();
    until_standing(client, target, &Standing::InService).await;
}

/// Waits until the balancer says so of the target.
pub(crate) async fn until_standing(client: &Client, target: &Target, wanted: &Standing) {
    wait_for(&format!("{} to be {wanted:?}", target.host), || async {
        client.standing(target).await.unwrap() == *wanted
    })
    .await;
}

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

/// One GET over a connection of its own. An error is an answer that is not complete.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<Seen, hyper::Error> {
    send(address, Request::get(path).header("host", "test").body(Full::default()).unwrap()).await
}

/// One request over a connection of its own.
pub(crate) async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Seen, hyper::Error> {
    let stream = TcpStream::connect(address).await.expect("the balancer listens");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let text = String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec()).unwrap();
    Ok(Seen { status, text })
}

/// A target. `/healthz` answers as told, `/hold` answers after `let_go`, `/hold-body` begins its answer before, `/count`
/// answers with the length of the request's body, and everything else answers with the host's name.
pub(crate) struct Backend {
    pub(crate) target: Target,
    shared: Arc<Shared>,
    killed: CancellationToken,
}

struct Shared {
    host: String,
    healthy: AtomicBool,
    requests: AtomicU64,
    gate: Arc<Semaphore>,
}

impl Backend {
    pub(crate) async fn start(host: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target { host: host.parse().unwrap(), address: listener.local_addr().unwrap() };
        let shared = Arc::new(Shared {
            host: host.to_owned(),
            healthy: AtomicBool::new(true),
            requests: AtomicU64::new(0),
            gate: Arc::new(Semaphore::new(0)),
        });
        let killed = CancellationToken::new();
        let (state, stop) = (shared.clone(), killed.clone());
        tokio::spawn(killed.clone().run_until_cancelled_owned(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = state.clone();
                let service = service_fn(move |request| answer(state.clone(), request));
                let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(stop.clone().run_until_cancelled_owned(serving));
            }
        }));
        Self { target, shared, killed }
    }

    pub(crate) fn set_healthy(&self, healthy: bool) {
        self.shared.healthy.store(healthy, Ordering::SeqCst);
    }

    /// Requests that arrived, health checks not counted.
    pub(crate) fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Lets one held request go on.
    pub(crate) fn let_go(&self) {
        self.shared.gate.add_permits(1);
    }

    /// Ends at once, as a process does that is killed.
    pub(crate) fn kill(&self) {
        self.killed.cancel();
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.kill();
    }
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer, hyper::Error> {
    let path = request.uri().path().to_owned();
    if path == "/healthz" {
        let healthy = shared.healthy.load(Ordering::SeqCst);
        let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        return Ok(plain(status, ""));
    }
    shared.requests.fetch_add(1, Ordering::SeqCst);
    match path.as_str() {
        "/hold" => {
            pass(shared.gate.clone()).await;
            Ok(plain(StatusCode::OK, &shared.host))
        }
        "/hold-body" => {
            let parts = [Bytes::from("begin "), Bytes::from("end")];
            let body =
                Held { parts: parts.into_iter(), gate: Box::pin(pass(shared.gate.clone())), begun: false };
            Ok(Response::new(body.boxed_unsync()))
        }
        "/count" => {
            let length = request.into_body().collect().await?.to_bytes().len();
            Ok(plain(StatusCode::OK, &length.to_string()))
        }
        _ => Ok(plain(StatusCode::OK, &shared.host)),
    }
}

async fn pass(gate: Arc<Semaphore>) {
    gate.acquire().await.expect("never closed").forget();
}

fn plain(status: StatusCode, text: &str) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(text.to_owned())).boxed_unsync());
    *response.status_mut() = status;
    response
}

/// Sends its first part at once and the others when the gate opens.
struct Held {
    parts: std::array::IntoIter<Bytes, 2>,
    gate: Pin<Box<dyn Future<Output = ()> + Send>>,
    begun: bool,
}

impl Body for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.begun && self.parts.len() == 1 {
            ready!(self.gate.as_mut().poll(cx));
        }
        self.begun = true;
        Poll::Ready(self.parts.next().map(|part| Ok(Frame::data(part))))
    }
}
