//! The admin API: JSON over HTTP/1.1.
//!
//! ```text
//! GET  /groups                          names
//! PUT  /groups/G                        group options: makes the group, or changes it
//! GET  /groups/G/targets                all targets
//! POST /groups/G/register   {host, address}
//! POST /groups/G/deregister {host, address}
//! POST /groups/G/describe   {host, address}
//! GET  /groups/G/counters
//! POST /groups/G/counters/reset
//! GET  /faults      PUT /faults         fault knobs, never themselves subject to faults
//! ```

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use ports::Target;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    shared::{Shared, Treatment},
    wire::{Faults, GroupOptions, Refusal, TargetName},
};

/// Longest request body.
const BODY_LIMIT_BYTES: usize = 64 * 1024;

type Outcome = Result<Bytes, (StatusCode, String)>;

/// Answers one call.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match route(&shared, request).await {
        Ok(body) => (StatusCode::OK, body),
        Err((status, error)) => (status, json(&Refusal { error }).unwrap_or_default()),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    Ok(response)
}

async fn route(shared: &Arc<Shared>, request: Request<Incoming>) -> Outcome {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_LIMIT_BYTES)
        .collect()
        .await
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("read the body: {error}")))?
        .to_bytes();
    let segments: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
    match (&head.method, segments.as_slice()) {
        (&Method::GET, ["groups"]) => json(&shared.group_names()),
        (&Method::PUT, ["groups", group]) if is_group_name(group) => {
            shared.configure(group, parse::<GroupOptions>(&body)?);
            json(&())
        }
        (&Method::GET, ["groups", group, "counters"]) => json(&shared.counters(group)),
        (&Method::POST, ["groups", group, "counters", "reset"]) => {
            shared.reset_counters(group);
            json(&())
        }
        (&Method::GET, ["faults"]) => json(&shared.faults()),
        (&Method::PUT, ["faults"]) => {
            shared.set_faults(parse::<Faults>(&body)?);
            json(&())
        }
        (method, ["groups", group, verb]) if is_group_name(group) => {
            with_faults(shared, || about_targets(shared, method, group, verb, &body)).await
        }
        (method, _) => Err((StatusCode::NOT_FOUND, format!("no such call: {method} {}", head.uri.path()))),
    }
}

/// Treats a call as the fault knobs say.
async fn with_faults(shared: &Shared, call: impl FnOnce() -> Outcome) -> Outcome {
    let (treatment, wait) = shared.treatment();
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    let fault = |status, text: &str| Err((status, text.to_owned()));
    match treatment {
        Treatment::Normal => call(),
        Treatment::Throttle => fault(StatusCode::TOO_MANY_REQUESTS, "throttled on demand"),
        Treatment::Error => fault(StatusCode::INTERNAL_SERVER_ERROR, "failed on demand"),
        Treatment::Refuse => fault(StatusCode::FORBIDDEN, "refused on demand"),
        Treatment::LoseAnswer => {
            call()?;
            fault(StatusCode::INTERNAL_SERVER_ERROR, "answer lost on demand")
        }
    }
}

fn about_targets(shared: &Arc<Shared>, method: &Method, group: &str, verb: &str, body: &Bytes) -> Outcome {
    let target = || parse::<TargetName>(body).map(|TargetName { host, address }| Target { host, address });
    match (method, verb) {
        (&Method::GET, "targets") => json(&shared.list(group)),
        (&Method::POST, "register") => {
            shared.register(group, target()?);
            json(&())
        }
        (&Method::POST, "deregister") => {
            shared.deregister(group, &target()?);
            json(&())
        }
        (&Method::POST, "describe") => json(&shared.describe(group, &target()?)),
        (method, verb) => Err((StatusCode::NOT_FOUND, format!("no such call: {method} {verb}"))),
    }
}

/// Whether a group may have this name: it stands in a path.
pub(crate) fn is_group_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, (StatusCode, String)> {
    serde_json::from_slice(body).map_err(|error| (StatusCode::BAD_REQUEST, format!("read the body: {error}")))
}

fn json<T: Serialize>(value: &T) -> Outcome {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("write the answer: {error}")))
}
