//! The balancer as a thing to start and to stop.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{
    Request, Response,
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    admin, proxy,
    shared::Shared,
    wire::{Change, Counters, Faults, GroupOptions, TargetView},
};

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
        shared.spawn(accept(shared.clone(), data_listener, move |request, caller| {
            proxy::forward(state.clone(), request, caller)
        }));
        let state = shared.clone();
        shared.spawn(accept(shared.clone(), admin_listener, move |request, _| {
            admin::answer(state.clone(), request)
        }));
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
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

/// Accepts connections until the server stops, and serves each with `answer`.
async fn accept<H, F, B, E>(shared: Arc<Shared>, listener: TcpListener, answer: H)
where
    H: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: std::error::Error + Send + Sync + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, caller)) => {
                let stop = shared.stop.clone();
                let answer = answer.clone();
                shared
                    .tasks
                    .spawn(async move { serve(stop, stream, move |request| answer(request, caller)).await });
            }
            Err(error) => {
                tracing::warn!(%error, "accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve<H, F, B, E>(stop: tokio_util::sync::CancellationToken, stream: TcpStream, answer: H)
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
