//! Probes over HTTP and TCP.
//!
//! A probe opens its own connection, so that it meets whoever listens now, and ends within its time-out, the
//! connection included.

use std::{collections::BTreeMap, io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use ports::prober::ProbeFailure;
use tokio::{net::TcpStream, time};

use crate::words::{lacks_means, reason, shown};

/// A connection must be accepted.
pub(crate) async fn tcp(timeout: Duration, address: SocketAddr) -> Result<(), ProbeFailure> {
    let connected = time::timeout(timeout, connect(address)).await;
    connected.unwrap_or_else(|_| Err(no_connection(timeout))).map(drop)
}

/// A GET must be answered with `status`.
pub(crate) async fn http(
    path: &str,
    status: u16,
    headers: &BTreeMap<String, String>,
    timeout: Duration,
    address: SocketAddr,
) -> Result<(), ProbeFailure> {
    let request = request(path, headers, address)?;
    let answered = within(timeout, request, address).await?;
    if answered == status {
        return Ok(());
    }
    Err(ProbeFailure::Missed(format!("GET {path} answered {answered}")))
}

/// Sends the request; the answer's status must arrive before `timeout` is over, from the connection on.
async fn within(
    timeout: Duration,
    request: Request<Empty<Bytes>>,
    address: SocketAddr,
) -> Result<u16, ProbeFailure> {
    let deadline = time::Instant::now() + timeout;
    let connected = time::timeout_at(deadline, connect(address)).await;
    let stream = connected.unwrap_or_else(|_| Err(no_connection(timeout)))?;
    let answered = time::timeout_at(deadline, ask(stream, request)).await;
    answered.unwrap_or_else(|_| Err(ProbeFailure::Missed(format!("no answer within {}", shown(timeout)))))
}

async fn connect(address: SocketAddr) -> Result<TcpStream, ProbeFailure> {
    TcpStream::connect(address).await.map_err(|error| {
        let words = format!("connect: {}", reason(&error));
        if lacks_means(&error) { ProbeFailure::Unasked(words) } else { ProbeFailure::Missed(words) }
    })
}

async fn ask(stream: TcpStream, request: Request<Empty<Bytes>>) -> Result<u16, ProbeFailure> {
    let asked = format!("GET {}", request.uri());
    let failed = |error: hyper::Error| ProbeFailure::Missed(format!("{asked}: {}", why(&error)));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // The connection works while the answer is awaited, and is closed with it: the body is not read.
    let answer = sender.send_request(request);
    tokio::pin!(connection, answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer.map(|answer| answer.status().as_u16()).map_err(failed),
        // Its end is the answer's end too, which says more.
        _ = &mut connection => answer.await.map(|answer| answer.status().as_u16()).map_err(failed),
    }
}

fn request(
    path: &str,
    headers: &BTreeMap<String, String>,
    address: SocketAddr,
) -> Result<Request<Empty<Bytes>>, ProbeFailure> {
    let invalid = |error: &dyn std::fmt::Display| ProbeFailure::Missed(format!("GET {path}: {error}"));
    if !path.starts_with('/') {
        return Err(invalid(&"a path starts with `/`"));
    }
    let mut request = Request::get(path).body(Empty::new()).map_err(|error| invalid(&error))?;
    let sent = request.headers_mut();
    sent.insert(header::USER_AGENT, HeaderValue::from_static("deployinator-probe"));
    sent.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let host = HeaderValue::try_from(address.to_string()).map_err(|error| invalid(&error))?;
    sent.insert(header::HOST, host);
    for (name, value) in headers {
        let name = HeaderName::try_from(name).map_err(|error| invalid(&error))?;
        let value = HeaderValue::try_from(value).map_err(|error| invalid(&error))?;
        sent.insert(name, value);
    }
    Ok(request)
}

fn no_connection(timeout: Duration) -> ProbeFailure {
    ProbeFailure::Missed(format!("connect: no connection within {}", shown(timeout)))
}

fn why(error: &hyper::Error) -> String {
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return "the connection was closed before an answer".into();
    }
    if error.is_parse() {
        return "the answer is not HTTP".into();
    }
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.map_or_else(|| error.to_string(), reason)
}
