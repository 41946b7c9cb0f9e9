//! Raw calls to one agent, and what a refusal says.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use api::v1::{self, deployinator_client::DeployinatorClient};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(15);

/// A client of the agent at `address`.
///
/// # Errors
/// It takes no connection.
pub async fn client(address: SocketAddr) -> Result<DeployinatorClient<Channel>> {
    let endpoint =
        Endpoint::from_shared(format!("http://{address}"))?.connect_timeout(CONNECT).timeout(ANSWER);
    let channel = endpoint.connect().await.with_context(|| format!("connect to {address}"))?;
    Ok(DeployinatorClient::new(channel).max_decoding_message_size(api::MESSAGE_LIMIT_BYTES))
}

/// Whoever asks in a test.
#[must_use]
pub fn by(reason: &str) -> Option<v1::Operator> {
    Some(v1::Operator { name: "test".into(), reason: reason.into() })
}

/// The exit code that a refusal carries.
#[must_use]
pub fn exit_of(refusal: &Status) -> Option<u8> {
    refusal.metadata().get("deployinator-exit")?.to_str().ok()?.parse().ok()
}

/// The next step that a refusal names.
#[must_use]
pub fn next_of(refusal: &Status) -> Option<String> {
    Some(refusal.metadata().get("deployinator-next")?.to_str().ok()?.to_owned())
}
