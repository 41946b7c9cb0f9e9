//! The agent's gRPC services: the public API, what agents say to each other, and the gate in front of Raft.

pub mod agents;
mod backup;
mod cluster;
pub mod gate;
mod history;
mod incoming;
mod logs;
mod passed;
mod pictures;
mod preview;
pub mod public;
mod recover;
mod refusals;
mod status;
mod streams;

use std::net::SocketAddr;

use api::v1::{agent_server::AgentServer, deployinator_server::DeployinatorServer, peer_server::PeerServer};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

pub use self::{
    incoming::{lower_open_files, raise_open_files},
    pictures::Pictures,
};

use crate::{
    core::Cell,
    forming::{Holds, Knock},
};

/// Largest Raft message: a snapshot.
const PEER_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// Why the agent does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken, or is not this machine's.
    #[error("listen on {address}; is another agent running there?")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// Takes the address; nothing is answered yet.
///
/// # Errors
/// It is taken, or is not this machine's.
pub fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    incoming::bind(address).map_err(|source| ListenError::Bind { address, source })
}

/// What the services need.
#[derive(Clone)]
pub struct Backend {
    /// The core, once there is one.
    pub cell: Cell,
    /// The forming machine.
    pub knocks: mpsc::Sender<Knock>,
    /// What keeps the cluster from forming.
    pub forming: Holds,
    /// What those who watch are shown.
    pub pictures: Pictures,
}

/// Answers until it is stopped, and then until what was asked has been answered.
///
/// # Errors
/// The listener failed.
pub async fn serve(
    listener: TcpListener,
    backend: Backend,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<DeployinatorServer<public::Public>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(api::DESCRIPTORS)
        .build_v1()
        .expect("the descriptors were made by the compiler");
    let peer = PeerServer::new(gate::Gate::new(backend.clone()))
        .max_decoding_message_size(PEER_LIMIT_BYTES)
        .max_encoding_message_size(PEER_LIMIT_BYTES);
    let agents = AgentServer::new(agents::Agents::new(backend.clone()))
        .max_decoding_message_size(api::MESSAGE_LIMIT_BYTES)
        .max_encoding_message_size(api::MESSAGE_LIMIT_BYTES);
    let public = DeployinatorServer::new(public::Public::new(backend))
        .max_decoding_message_size(api::MESSAGE_LIMIT_BYTES)
        .max_encoding_message_size(api::MESSAGE_LIMIT_BYTES);
    Server::builder()
        .http2_keepalive_interval(Some(std::time::Duration::from_secs(5)))
        .http2_keepalive_timeout(Some(std::time::Duration::from_secs(5)))
        .add_service(health_service)
        .add_service(reflection)
        .add_service(peer)
        .add_service(agents)
        .add_service(public)
        .serve_with_incoming_shutdown(incoming::accept(listener), stop.cancelled_owned())
        .await
}
