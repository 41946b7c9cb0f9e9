//! One client with one kept connection.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use ports::fault::Chain;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::service::RELEASE_HEADER;

/// Most bytes of a bad answer's text that its reason repeats.
const TEXT_LIMIT_BYTES: usize = 80;

pub(super) struct Caller {
    target: SocketAddr,
    kept: Option<Connection>,
    connections: u64,
}

struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    _running: AbortOnDropHandle<()>,
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
    pub(super) async fn call(&mut self, path: &str, patience: Duration) -> Ended {
        self.connections = 0;
        // Reasons that differ only in their query are the same reason.
        let what = format!("GET {}", path.split('?').next().unwrap_or(path));
        let outcome = match tokio::time::timeout(patience, self.exchange(path)).await {
            Ok(outcome) => outcome,
            Err(_) => Err("no complete answer in time".to_owned()),
        };
        let outcome = outcome.map_err(|why| format!("{what}: {why}"));
        Ended { outcome, connections: self.connections }
    }

    async fn exchange(&mut self, path: &str) -> Result<String, String> {
        // Taken out, so that a connection whose exchange did not end well is never used again.
        let (connection, response) = match self.kept.take() {
            Some(kept) => match send(kept, path).await {
                Sent::Answered(connection, response) => (connection, response),
                Sent::Failed(why) => return Err(why),
                Sent::Unsent(_) => self.send_anew(path).await?,
            },
            None => self.send_anew(path).await?,
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

    async fn send_anew(&mut self, path: &str) -> Result<(Connection, Response<Incoming>), String> {
        self.connections += 1;
        let connection = connect(self.target).await?;
        match send(connection, path).await {
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

async fn send(mut connection: Connection, path: &str) -> Sent {
    if let Err(error) = connection.sender.ready().await {
        return Sent::Unsent(format!("send: {}", Chain(&error)));
    }
    let request = match Request::get(path).header("host", "demo").body(Empty::new()) {
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
