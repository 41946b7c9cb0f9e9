//! Probes a service over HTTP or TCP, once per call, on a connection of its own.
//!
//! Promise: an answer within the probe's own time-out, in words that a person can act on.
//! Absent on purpose: retries, redirects, kept connections: whether and when to ask again is decided by the host machine.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, header::HOST};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use ports::{ProbeSpec, Prober, prober::ProbeFailure};
use tokio::{net::TcpStream, time::timeout};

/// Probes over HTTP/1.1 and TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct Probe;

impl Prober for Probe {
    async fn probe(&self, spec: &ProbeSpec, address: SocketAddr) -> Result<(), ProbeFailure> {
        let (ProbeSpec::Http { timeout: limit, .. } | ProbeSpec::Tcp { timeout: limit }) = spec;
        let asked = async {
            let stream = TcpStream::connect(address).await.map_err(|error| refused(&error))?;
            match spec {
                ProbeSpec::Tcp { .. } => Ok(()),
                ProbeSpec::Http { path, status, headers, .. } => get(stream, address, path, headers, *status).await,
            }
        };
        timeout(*limit, asked).await.unwrap_or_else(|_| Err(ProbeFailure(format!("{spec}: no answer within {}", words(*limit)))))
    }
}

async fn get(
    stream: TcpStream,
    address: SocketAddr,
    path: &str,
    headers: &std::collections::BTreeMap<String, String>,
    wanted: u16,
) -> Result<(), ProbeFailure> {
    let failed = |why: &dyn std::fmt::Display| ProbeFailure(format!("GET {path}: {why}"));
    let mut request = Request::get(path).header("user-agent", "deployinator");
    if !headers.keys().any(|name| name.eq_ignore_ascii_case(HOST.as_str())) {
        request = request.header(HOST, address.to_string());
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| failed(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
        Ok(answer.status().as_u16())
    };
    // The connection is driven only for as long as the answer is waited for, and ends with it.
    let status = tokio::select! {
        status = answer => status?,
        ended = connection => {
            let why = ended.err().map_or("the connection was closed".to_owned(), |error| error.to_string());
            return Err(failed(&why));
        }
    };
    if status == wanted {
        return Ok(());
    }
    Err(ProbeFailure(format!("GET {path} answered {status}, not {wanted}")))
}

fn refused(error: &io::Error) -> ProbeFailure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ProbeFailure("connection refused: nothing listens on the port".into()),
        _ => ProbeFailure(format!("connect: {error}")),
    }
}

fn words(limit: Duration) -> String {
    if limit.subsec_millis() == 0 { format!("{} s", limit.as_secs()) } else { format!("{} ms", limit.as_millis()) }
}
