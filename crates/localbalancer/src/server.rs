//! The balancer as a thing to start and to stop.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admin,
    proxy::{self, AnswerBody},
    shared::Shared,
    wire::{Change, Counters, Faults, GroupOptions, TargetView},
};

/// Names the target group of a request. Without it, the group that was made first gets the request.
pub const GROUP_HEADER: &str = "x-target-group";

/// How long requests may go on after a shutdown began.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Pause after a connection could not be accepted: the process is out of descriptors, and asking at once changes
/// nothing.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a balancer is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where requests arrive. Port 0: any free one.
    pub data: SocketAddr,
    /// Where the admin API listens. Port 0: any free one.
    pub admin: SocketAddr,
    /// What groups are made with, unless their options are set by name.
    pub groups: GroupOptions,
}

impl Default for Options {
    /// Free ports on loopback.
    fn default() -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { data: loopback, admin: loopback, groups: GroupOptions::default() }
    }
}

/// A balancer that runs. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    data: SocketAddr,
    admin: SocketAddr,
}

impl Server {
    /// Starts a balancer on the current runtime.
    ///
    /// # Errors
    /// When one of the addresses cannot be listened on.
    pub async fn start(options: Options) -> io::Result<Self> {
        let data_listener = TcpListener::bind(options.data).await?;
        let admin_listener = TcpListener::bind(options.admin).await?;
        let (data, admin) = (data_listener.local_addr()?, admin_listener.local_addr()?);
        let shared = Arc::new(Shared::new(options.groups));
        let state = shared.clone();
        shared.tasks.listen(data_listener, move |request, caller| forward(state.clone(), request, caller));
        let state = shared.clone();
        shared.tasks.listen(admin_listener, move |request, _| admin::answer(state.clone(), request));
        Ok(Self { shared, data, admin })
    }

    /// Where requests arrive.
    #[must_use]
    pub fn data_address(&self) -> SocketAddr {
        self.data
    }

    /// Where the admin API listens.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// What a [`Client`](crate::Client) takes.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// Makes a group with these options, or changes those of one that is there.
    pub fn configure(&self, group: &str, options: GroupOptions) {
        self.shared.configure(group, options);
    }

    /// The targets of a group that are registered or drain.
    #[must_use]
    pub fn targets(&self, group: &str) -> Vec<TargetView> {
        self.shared.list(group)
    }

    /// The last changes of a group's targets, oldest first: the balancer's own account of when who was in service.
    #[must_use]
    pub fn changes(&self, group: &str) -> Vec<Change> {
        self.shared.changes(group)
    }

    /// What happened to a group's requests since the last reset.
    #[must_use]
    pub fn counters(&self, group: &str) -> Counters {
        self.shared.counters(group)
    }

    /// Counts a group's requests from zero, and its minimum in service from now.
    pub fn reset_counters(&self, group: &str) {
        self.shared.reset_counters(group);
    }

    /// The faults that are set, with what is left of the counted ones.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.shared.faults()
    }

    /// Sets all faults anew.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.set_faults(faults);
    }

    /// Stops listening and checking, and lets requests in flight go on for up to 2 s.
    pub async fn shutdown(self) {
        self.shared.tasks.end().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.tasks.stop();
    }
}

/// Answers one request with what a target says to it.
async fn forward(
    shared: Arc<Shared>,
    request: Request<Incoming>,
    caller: SocketAddr,
) -> Result<Response<AnswerBody>, Infallible> {
    let group = request.headers().get(GROUP_HEADER).and_then(|value| value.to_str().ok());
    let Some((way, flight)) = shared.pick(group) else {
        return Ok(proxy::refuse(StatusCode::SERVICE_UNAVAILABLE, "no target in service"));
    };
    Ok(proxy::pass(way, flight, request, caller).await)
}

/// The tasks of a server, and their end.
#[derive(Debug, Default)]
pub struct Tasks {
    stop: CancellationToken,
    running: TaskTracker,
}

impl Tasks {
    /// Runs `work` until the server stops.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.running.spawn(async move { stop.run_until_cancelled(work).await });
    }

    /// Accepts connections until the server stops, and serves each with `answer`. An error of `answer` closes the
    /// connection without a word.
    pub fn listen<H, F, B, E>(&self, listener: TcpListener, answer: H)
    where
        H: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Response<B>, E>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        E: std::error::Error + Send + Sync + 'static,
    {
        let (stop, running) = (self.stop.clone(), self.running.clone());
        self.spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, caller)) => {
                        let (stop, answer) = (stop.clone(), answer.clone());
                        running.spawn(async move {
                            serve(stop, stream, move |request| answer(request, caller)).await;
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        });
    }

    /// Stops listening and all work, without waiting. Requests in flight go on for up to 2 s.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Stops, and waits for the end of what is in flight.
    pub async fn end(&self) {
        self.stop.cancel();
        self.running.close();
        self.running.wait().await;
    }
}

async fn serve<H, F, B, E>(stop: CancellationToken, stream: TcpStream, answer: H)
where
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: std::error::Error + Send + Sync + 'static,
{
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service_fn(answer))
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(SHUTDOWN_GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %ports::fault::Chain(&error), "serve a connection");
    }
}
