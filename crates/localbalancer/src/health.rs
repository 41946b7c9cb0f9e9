//! Health checks: asks a target again and again, as long as it is registered.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, StatusCode};

use crate::{group::Stay, http, shared::Shared};

/// Checks one target until its stay is over.
pub(crate) async fn check(shared: Arc<Shared>, group: String, stay: Stay, address: SocketAddr) {
    while let Some(options) = shared.check_options(&group, stay) {
        let outcome =
            match tokio::time::timeout(options.health_timeout, ask(address, &options.health_path)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(format!("no answer within {} ms", options.health_timeout.as_millis())),
            };
        shared.checked(&group, stay, outcome);
        tokio::time::sleep(options.health_interval).await;
    }
}

async fn ask(address: SocketAddr, path: &str) -> Result<(), String> {
    let request = Request::get(path)
        .header("host", address.to_string())
        .header("user-agent", "localbalancer-health")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    match http::send(address, request).await {
        Ok(answer) if answer.response.status() == StatusCode::OK => Ok(()),
        Ok(answer) => Err(format!("answered {}", answer.response.status().as_u16())),
        Err(error) => Err(ports::fault::Chain(&error).to_string()),
    }
}
