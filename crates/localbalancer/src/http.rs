//! One request over one new connection: how the balancer reaches targets and the client reaches the admin API.

use std::{io, time::Duration};

use bytes::Bytes;
use hyper::{
    Request, Response,
    body::{Body, Incoming},
};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio_util::task::AbortOnDropHandle;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// No connection.
    #[error("connect")]
    Connect(#[source] io::Error),
    /// The connection ended before the answer began.
    #[error("exchange")]
    Exchange(#[source] hyper::Error),
}

/// An answer, and the connection that its body comes over: dropping that closes it.
#[derive(Debug)]
pub struct Answer {
    /// Its head, and its body as it comes in.
    pub response: Response<Incoming>,
    /// The connection.
    pub connection: AbortOnDropHandle<()>,
}

/// Sends one request to `address` over a connection of its own.
///
/// # Errors
/// When there is no answer.
pub async fn send<B>(address: impl ToSocketAddrs, request: Request<B>) -> Result<Answer, Unanswered>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .and_then(prepare)
        .map_err(Unanswered::Connect)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(Unanswered::Exchange)?;
    // Its errors reach the caller through the response and its body.
    let connection = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
    let response = sender.send_request(request).await.map_err(Unanswered::Exchange)?;
    Ok(Answer { response, connection })
}

/// A connection for each request would leave tens of thousands of them waiting for late packets, and run out of
/// ports; with a linger of zero the side that closes first keeps nothing. The answer was read before.
fn prepare(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_zero_linger()?;
    Ok(stream)
}
