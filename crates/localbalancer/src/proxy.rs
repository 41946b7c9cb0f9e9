//! The data path: one request to one target, and its answer back, both streamed.

use std::{
    error::Error,
    fmt,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use ::http::{
    HeaderMap, HeaderName, HeaderValue, Uri, Version,
    header::{CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Frame, Incoming, SizeHint},
};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::AbortOnDropHandle,
};

use crate::http::{self, Answer, Unanswered};

type BoxError = Box<dyn Error + Send + Sync>;

/// The body of what a caller is answered.
pub type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;

/// Headers that are about one connection and are not passed on.
const HOP_BY_HOP: [HeaderName; 7] =
    [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// Where one request goes.
#[derive(Debug, Clone)]
pub struct Way {
    /// The target.
    pub address: SocketAddr,
    /// Cancelled when the target is removed while the request is in flight.
    pub cut: CancellationToken,
}

/// What became of a request that was sent to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Answered in full, whatever the status was.
    Completed,
    /// The target did not take the connection.
    Unreachable,
    /// The target broke off before its answer began.
    NoAnswer,
    /// The target broke off in its answer.
    BrokenAnswer,
    /// Still in flight when the target was removed.
    Cut,
    /// The caller broke off.
    CallerGone,
}

/// A request in flight. Whoever drops it before its end was the caller breaking off.
pub struct Flight(Option<Box<dyn FnOnce(End) + Send>>);

impl Flight {
    /// A flight whose end is told to `ended`, once.
    pub fn new(ended: impl FnOnce(End) + Send + 'static) -> Self {
        Self(Some(Box::new(ended)))
    }

    /// Says what became of the request. Only the first word counts.
    pub fn end(&mut self, end: End) {
        if let Some(ended) = self.0.take() {
            ended(end);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.end(End::CallerGone);
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("is_over", &self.0.is_none()).finish()
    }
}

/// Marks, in its extensions, an answer that a target gave: without it, the answer is the balancer's own.
#[derive(Debug, Clone, Copy)]
pub struct Answered;

/// Answers one request with what a target says to it; 502 where the target says nothing.
pub async fn pass<B>(
    way: Way,
    mut flight: Flight,
    request: Request<B>,
    caller: SocketAddr,
) -> Response<AnswerBody>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let asked = tokio::select! {
        () = way.cut.cancelled() => Err((End::Cut, "the target was removed")),
        asked = ask(way.address, request, caller) => asked,
    };
    match asked {
        Ok(answer) => pass_on(answer, flight, way.cut),
        Err((end, why)) => {
            flight.end(end);
            refuse(StatusCode::BAD_GATEWAY, why)
        }
    }
}

async fn ask<B>(
    address: SocketAddr,
    request: Request<B>,
    caller: SocketAddr,
) -> Result<Answer, (End, &'static str)>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = path.parse().unwrap_or_else(|_| Uri::from_static("/"));
    head.version = Version::HTTP_11;
    strip(&mut head.headers);
    if let Ok(caller) = HeaderValue::from_str(&caller.ip().to_string()) {
        head.headers.insert("x-forwarded-for", caller);
    }
    http::send(address, Request::from_parts(head, body)).await.map_err(|error| {
        tracing::debug!(target = %address, error = %ports::fault::Chain(&error), "no answer");
        match error {
            Unanswered::Connect(_) => (End::Unreachable, "the target cannot be reached"),
            Unanswered::Exchange(_) => (End::NoAnswer, "the target broke off before it answered"),
        }
    })
}

fn pass_on(answer: Answer, mut flight: Flight, cut: CancellationToken) -> Response<AnswerBody> {
    let Answer { response, connection } = answer;
    let (mut head, inner) = response.into_parts();
    head.version = Version::HTTP_11;
    strip(&mut head.headers);
    head.extensions.insert(Answered);
    if inner.is_end_stream() {
        flight.end(End::Completed);
    }
    let cut = Box::pin(cut.cancelled_owned());
    let body = Passing { inner, flight, cut, _connection: connection };
    Response::from_parts(head, body.boxed_unsync())
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.into_iter().chain(named) {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

/// Answers a caller in the target's place.
#[must_use]
pub fn refuse(status: StatusCode, why: &'static str) -> Response<AnswerBody> {
    let body = Full::new(Bytes::from(format!("{why}\n"))).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    response
}

/// An answer's body on its way to the caller. The request is in flight until it ends.
struct Passing {
    inner: Incoming,
    flight: Flight,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Closed with the body.
    _connection: AbortOnDropHandle<()>,
}

impl Body for Passing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.cut.as_mut().poll(cx).is_ready() {
            this.flight.end(End::Cut);
            return Poll::Ready(Some(Err("the target was removed".into())));
        }
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        match &frame {
            Some(Err(_)) => this.flight.end(End::BrokenAnswer),
            // The caller's side may never ask again once it has all.
            Some(Ok(_)) if !this.inner.is_end_stream() => (),
            Some(Ok(_)) | None => this.flight.end(End::Completed),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
