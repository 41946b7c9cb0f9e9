//! One client with one kept connection.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use ports::fault::Chain;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::{pieces::Pieces, service::RELEASE_HEADER};

/// Most bytes of a bad answer's text that its reason repeats.
const TEXT_LIMIT_BYTES: usize = 80;

pub(super) struct Caller {
    target: SocketAddr,
    kept: Option<Connection>,
    connections: u64,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

struct Connection {
    sender: SendRequest<Body>,
    _running: AbortOnDropHandle<()>,
}

/// What is asked of the service.
pub(super) enum Asked {
    /// A path, with its query.
    Get(String),
    /// An upload that takes so long to send.
    Upload(Duration),
}

impl Asked {
    /// As a reason names it: what differs only in its query is the same.
    fn name(&self) -> String {
        match self {
            Self::Get(path) => format!("GET {}", path.split('?').next().unwrap_or(path)),
            Self::Upload(_) => "POST /upload".to_owned(),
        }
    }

    fn request(&self) -> hyper::http::Result<Request<Body>> {
        let (builder, body) = match self {
            Self::Get(path) => (Request::get(path), Empty::new().boxed_unsync()),
            Self::Upload(takes) => {
                (Request::post("/upload"), Pieces::new(*takes, Bytes::from_static(b"!")).boxed_unsync())
            }
        };
        builder.header("host", "demo").body(body)
    }
}

/// How a request ended.
pub(super) struct Ended {
    /// The release that answered, or why there is no good answer.
    pub(super) outcome: Result<String, String>,
    /// Connections that were made for it.
    pub(super) connections: u64,
}

impl Caller {
    pub(super) fn new(target: SocketAddr) -> Self {
        Self { target, kept: None, connections: 0 }
    }

    /// Sends one request, and reads its answer to the end.
    pub(super) async fn call(&mut self, asked: &Asked, patience: Duration) -> Ended {
        self.connections = 0;
        let outcome = match tokio::time::timeout(patience, self.exchange(asked)).await {
            Ok(outcome) => outcome,
            Err(_) => Err("no complete answer in time".to_owned()),
        };
        let outcome = outcome.map_err(|why| format!("{}: {why}", asked.name()));
        Ended { outcome, connections: self.connections }
    }

    async fn exchange(&mut self, asked: &Asked) -> Result<String, String> {
        // Taken out, so that a connection whose exchange did not end well is never used again.
        let (connection, response) = match self.kept.take() {
            Some(kept) => match send(kept, asked).await {
                Sent::Answered(connection, response) => (connection, response),
                Sent::Failed(why) => return Err(why),
                Sent::Unsent(_) => self.send_anew(asked).await?,
            },
            None => self.send_anew(asked).await?,
        };
        let (head, body) = response.into_parts();
        let body =
            body.collect().await.map_err(|error| format!("read the answer: {}", Chain(&error)))?.to_bytes();
        self.kept = Some(connection);
        if !head.status.is_success() {
            let text = String::from_utf8_lossy(&body[..body.len().min(TEXT_LIMIT_BYTES)]).trim().to_owned();
            return Err(format!("answered {}: {text}", head.status.as_u16()));
        }
        let release = head.headers.get(RELEASE_HEADER).and_then(|value| value.to_str().ok());
        Ok(release.unwrap_or("unknown").to_owned())
    }

    async fn send_anew(&mut self, asked: &Asked) -> Result<(Connection, Response<Incoming>), String> {
        self.connections += 1;
        let connection = connect(self.target).await?;
        match send(connection, asked).await {
            Sent::Answered(connection, response) => Ok((connection, response)),
            Sent::Failed(why) | Sent::Unsent(why) => Err(why),
        }
    }
}

enum Sent {
    Answered(Connection, Response<Incoming>),
    /// It was sent, at least in part, and not answered.
    Failed(String),
    /// The connection had ended before anything of the request was written to it.
    Unsent(String),
}

async fn send(mut connection: Connection, asked: &Asked) -> Sent {
    if let Err(error) = connection.sender.ready().await {
        return Sent::Unsent(format!("send: {}", Chain(&error)));
    }
    let request = match asked.request() {
        Ok(request) => request,
        Err(error) => return Sent::Failed(format!("make the request: {}", Chain(&error))),
    };
    match connection.sender.try_send_request(request).await {
        Ok(response) => Sent::Answered(connection, response),
        Err(mut failed) => {
            let unwritten = failed.take_message().is_some();
            let why = format!("send: {}", Chain(&failed.into_error()));
            if unwritten { Sent::Unsent(why) } else { Sent::Failed(why) }
        }
    }
}

async fn connect(target: SocketAddr) -> Result<Connection, String> {
    let stream = TcpStream::connect(target).await.map_err(|error| format!("connect: {error}"))?;
    stream.set_nodelay(true).map_err(|error| format!("connect: {error}"))?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| format!("connect: {}", Chain(&error)))?;
    // Its errors reach the caller through the answer and its body.
    let running = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
    Ok(Connection { sender, _running: running })
}
