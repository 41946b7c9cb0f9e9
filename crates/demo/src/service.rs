//! The service that the demo rolls: it says who it is, can answer slowly, and stops the way a service should.
//!
//! ```text
//! GET /healthz     200, or 503 when it was told to be unhealthy
//! GET /            release and host
//! GET /slow?ms=N   the same, in pieces, complete after N ms
//! POST /upload     the same, once all of what was sent has been read
//! ```

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header::HeaderValue, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::pieces::Pieces;

pub mod migrate;
pub mod odd;

/// Names the release in every answer.
pub const RELEASE_HEADER: &str = "x-demo-release";
/// Names the host in every answer.
pub const HOST_HEADER: &str = "x-demo-host";

/// How long requests in flight may go on once the service was told to stop.
pub const STOP_GRACE: Duration = Duration::from_secs(5);

/// Longest time that a caller can ask `/slow` for.
const SLOW_LIMIT: Duration = Duration::from_secs(600);

/// Pause after a connection could not be accepted: asking at once changes nothing.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How the service is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens. Port 0: any free one.
    pub listen: SocketAddr,
    /// Its release, as it says in its answers.
    pub release: String,
    /// Its host, as it says in its answers.
    pub host: String,
    /// Whether `/healthz` answers 200.
    pub healthy: bool,
}

/// A service that runs. Dropping it is killing it: connections break.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    stop: CancellationToken,
    kill: CancellationToken,
    tasks: TaskTracker,
}

/// What answers need to know.
#[derive(Debug)]
struct Identity {
    release: String,
    host: String,
    healthy: bool,
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

impl Service {
    /// Starts a service on the current runtime.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let Options { release, host, healthy, .. } = options;
        let identity = Arc::new(Identity { release, host, healthy });
        let (stop, kill, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let accepting = accept(listener, identity, stop.clone(), kill.clone(), tasks.clone());
        let (stopped, killed) = (stop.clone(), kill.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = accepting => (),
                () = stopped.cancelled() => (),
                () = killed.cancelled() => (),
            }
        });
        Ok(Self { address, stop, kill, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more, lets requests in flight go on for up to `grace`, and returns when it is gone.
    pub async fn stop(self, grace: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            self.kill.cancel();
            self.tasks.wait().await;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill.cancel();
    }
}

async fn accept(
    listener: TcpListener,
    identity: Arc<Identity>,
    stop: CancellationToken,
    kill: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let serving = serve(stream, identity.clone(), stop.clone());
                tasks.spawn(kill.clone().run_until_cancelled_owned(serving));
            }
            Err(error) => {
                eprintln!("accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, identity: Arc<Identity>, stop: CancellationToken) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(move |request| {
        let identity = identity.clone();
        async move { Ok::<_, Infallible>(identity.answer(request).await) }
    });
    let mut connection =
        pin!(http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service));
    // A caller that breaks off is its own affair.
    let _ = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
}

impl Identity {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let mut answer = match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/healthz") if self.healthy => {
                plain(StatusCode::OK, "healthy\n".into())
            }
            (&Method::GET | &Method::HEAD, "/healthz") => {
                plain(StatusCode::SERVICE_UNAVAILABLE, "told to be unhealthy\n".into())
            }
            (&Method::GET | &Method::HEAD, "/") => plain(StatusCode::OK, self.line()),
            (&Method::GET | &Method::HEAD, "/slow") => self.slow(request.uri().query()),
            (&Method::POST, "/upload") => self.upload(request.into_body()).await,
            _ => plain(
                StatusCode::NOT_FOUND,
                "there is GET /, /healthz and /slow?ms=N, and POST /upload\n".into(),
            ),
        };
        for (name, value) in [(RELEASE_HEADER, &self.release), (HOST_HEADER, &self.host)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                answer.headers_mut().insert(name, value);
            }
        }
        answer
    }

    fn slow(&self, query: Option<&str>) -> Answer {
        let asked = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("ms="));
        match asked.and_then(|ms| ms.parse().ok()).map(Duration::from_millis) {
            Some(time) if time <= SLOW_LIMIT => {
                Response::new(Pieces::new(time, self.line().into()).boxed_unsync())
            }
            _ => plain(StatusCode::BAD_REQUEST, "ms must be a number from 0 to 600000\n".into()),
        }
    }

    async fn upload(&self, mut body: Incoming) -> Answer {
        while let Some(frame) = body.frame().await {
            if let Err(error) = frame {
                return plain(StatusCode::BAD_REQUEST, format!("read the upload: {error}\n"));
            }
        }
        plain(StatusCode::OK, self.line())
    }

    fn line(&self) -> String {
        format!("{} on {}\n", self.release, self.host)
    }
}

fn plain(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text)).boxed_unsync());
    *answer.status_mut() = status;
    answer
}
