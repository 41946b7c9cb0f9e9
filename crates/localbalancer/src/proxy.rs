//! The data path: one request to one target, and its answer back, both streamed.

use std::{
    convert::Infallible,
    error::Error,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
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
use tokio_util::{sync::WaitForCancellationFutureOwned, task::AbortOnDropHandle};

use crate::{
    group::{End, Pick},
    http::{self, Answer, Unanswered},
    shared::{Flight, Shared},
};

/// Names the target group of a request. Without it, the group that was made first gets the request.
pub const GROUP_HEADER: &str = "x-target-group";

type BoxError = Box<dyn Error + Send + Sync>;
pub(crate) type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;

/// Headers that are about one connection and are not passed on.
const HOP_BY_HOP: [HeaderName; 7] =
    [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// Answers one request with what a target says to it.
pub(crate) async fn forward(
    shared: Arc<Shared>,
    request: Request<Incoming>,
    caller: SocketAddr,
) -> Result<Response<AnswerBody>, Infallible> {
    let group = request.headers().get(GROUP_HEADER).and_then(|value| value.to_str().ok());
    let Some((pick, mut flight)) = shared.pick(group) else {
        return Ok(refuse(StatusCode::SERVICE_UNAVAILABLE, "no target in service"));
    };
    let asked = tokio::select! {
        () = pick.cut.cancelled() => Err((End::Cut, "the target was removed")),
        asked = ask(&pick, request, caller) => asked,
    };
    Ok(match asked {
        Ok(answer) => pass_on(answer, flight, pick),
        Err((end, why)) => {
            flight.end(end);
            refuse(StatusCode::BAD_GATEWAY, why)
        }
    })
}

async fn ask(
    pick: &Pick,
    request: Request<Incoming>,
    caller: SocketAddr,
) -> Result<Answer, (End, &'static str)> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = path.parse().unwrap_or_else(|_| Uri::from_static("/"));
    head.version = Version::HTTP_11;
    strip(&mut head.headers);
    if let Ok(caller) = HeaderValue::from_str(&caller.ip().to_string()) {
        head.headers.insert("x-forwarded-for", caller);
    }
    http::send(pick.address, Request::from_parts(head, body)).await.map_err(|error| {
        tracing::debug!(target = %pick.address, error = %ports::fault::Chain(&error), "no answer");
        match error {
            Unanswered::Connect(_) => (End::Unreachable, "the target cannot be reached"),
            Unanswered::Exchange(_) => (End::NoAnswer, "the target broke off before it answered"),
        }
    })
}

fn pass_on(answer: Answer, mut flight: Flight, pick: Pick) -> Response<AnswerBody> {
    let Answer { response, connection } = answer;
    let (mut head, inner) = response.into_parts();
    head.version = Version::HTTP_11;
    strip(&mut head.headers);
    if inner.is_end_stream() {
        flight.end(End::Completed);
    }
    let cut = Box::pin(pick.cut.cancelled_owned());
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

fn refuse(status: StatusCode, why: &'static str) -> Response<AnswerBody> {
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
