//! What a listener does with a request: one target gets it, once.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http_body_util::BodyExt;
use hyper::{Request, Response, StatusCode, body::Incoming};
use localbalancer::proxy::{AnswerBody, Answered, End, Flight, Way, pass, refuse};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::idle::{Idle, Watched};
use crate::shared::Shared;

/// Answers a request that arrived at the listener with this ARN.
pub(crate) async fn forward(
    shared: Arc<Shared>,
    listener: Arc<str>,
    request: Request<Incoming>,
    caller: SocketAddr,
) -> Result<Response<AnswerBody>, Infallible> {
    let Some(Picked { group, way, flight, idle_timeout, is_late }) = pick(&shared, &listener) else {
        return Ok(refuse(StatusCode::SERVICE_UNAVAILABLE, "no target is healthy"));
    };
    let idle = Idle::default();
    let watch = watch(idle.clone(), idle_timeout, way.cut.clone(), is_late.clone());
    let request = request.map(|body| Watched::new(body, idle.clone(), None));
    let answer = pass(way, flight, request, caller).await;
    let is_targets = answer.extensions().get::<Answered>().is_some();
    if !is_targets && is_late.load(Ordering::SeqCst) {
        return Ok(refuse(StatusCode::GATEWAY_TIMEOUT, "the target did not answer in time"));
    }
    if is_targets && answer.status().is_server_error() {
        shared.lock().plane.answered_5xx(&group);
    }
    Ok(answer.map(|body| Watched::new(body, idle, Some(watch)).boxed_unsync()))
}

/// A request that was given a target.
pub(super) struct Picked {
    group: String,
    pub(super) way: Way,
    pub(super) flight: Flight,
    idle_timeout: Duration,
    /// Whether it was cut because nothing passed for too long.
    is_late: Arc<AtomicBool>,
}

pub(super) fn pick(shared: &Arc<Shared>, listener: &str) -> Option<Picked> {
    let now = shared.now();
    let mut world = shared.lock();
    let (cloud, plane) = world.with_plane();
    let listener = cloud.listeners.iter().find(|known| known.arn == listener)?;
    let idle_timeout = cloud.balancer(&listener.balancer).ok()?.idle_timeout;
    let group = listener.group.clone();
    let (member, Way { address, cut }) = plane.pick(cloud, &group, now)?;
    let is_late = Arc::new(AtomicBool::new(false));
    let (of_flight, ended_in, late) = (shared.clone(), group.clone(), is_late.clone());
    let flight = Flight::new(move |end| {
        let timed_out = end == End::Cut && late.load(Ordering::SeqCst);
        of_flight.lock().plane.ended(&ended_in, member, end, timed_out);
    });
    // Of this request alone, so that it can be cut without the others.
    let way = Way { address, cut: cut.child_token() };
    Some(Picked { group, way, flight, idle_timeout, is_late })
}

/// Cuts the request when nothing has passed for so long.
fn watch(
    idle: Idle,
    timeout: Duration,
    cut: CancellationToken,
    is_late: Arc<AtomicBool>,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        idle.lasts(timeout).await;
        is_late.store(true, Ordering::SeqCst);
        cut.cancel();
    }))
}
