//! What a listener does with a request: one target gets it, once.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use hyper::{Request, Response, StatusCode, body::Incoming};
use localbalancer::proxy::{AnswerBody, Answered, Flight, pass, refuse};

use crate::shared::Shared;

/// Answers a request that arrived at the listener with this ARN.
pub(crate) async fn forward(
    shared: Arc<Shared>,
    listener: Arc<str>,
    request: Request<Incoming>,
    caller: SocketAddr,
) -> Result<Response<AnswerBody>, Infallible> {
    let Some((group, way, flight)) = pick(&shared, &listener) else {
        return Ok(refuse(StatusCode::SERVICE_UNAVAILABLE, "no target is healthy"));
    };
    let answer = pass(way, flight, request, caller).await;
    if answer.extensions().get::<Answered>().is_some() && answer.status().is_server_error() {
        shared.lock().plane.answered_5xx(&group);
    }
    Ok(answer)
}

fn pick(shared: &Arc<Shared>, listener: &str) -> Option<(String, localbalancer::proxy::Way, Flight)> {
    let now = shared.now();
    let mut world = shared.lock();
    let (cloud, plane) = world.with_plane();
    let group = cloud.listeners.iter().find(|known| known.arn == listener)?.group.clone();
    let (member, way) = plane.pick(cloud, &group, now)?;
    let (of_flight, ended_in) = (shared.clone(), group.clone());
    let flight = Flight::new(move |end| of_flight.lock().plane.ended(&ended_in, member, end));
    Some((group, way, flight))
}
