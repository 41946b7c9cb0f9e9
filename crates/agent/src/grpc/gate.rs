//! Stands in front of Raft: a message may start a node here only if the forming machine agrees to the cluster it is of.

use api::v1::{PeerRequest, PeerResponse, peer_server::Peer};
use model::{ClusterId, HostId};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use super::Backend;
use crate::forming::Knock;

/// The gate.
pub struct Gate {
    backend: Backend,
}

impl Gate {
    /// In front of this agent's node.
    #[must_use]
    pub fn new(backend: Backend) -> Self {
        Self { backend }
    }

    async fn knock(&self, request: &PeerRequest) -> Result<(), Status> {
        let bad = |what: &str| Status::invalid_argument(format!("the sender's {what} is malformed"));
        let cluster: ClusterId = request.cluster.parse().map_err(|_| bad("cluster"))?;
        let host = request.from.rsplit_once('.').map(|(host, _)| host.parse::<HostId>());
        let host = host.and_then(Result::ok).ok_or_else(|| bad("node"))?;
        let (done, answered) = oneshot::channel();
        let closed = || Status::unavailable("this agent is stopping");
        self.backend.knocks.send(Knock::Contacted(cluster, host, done)).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())
    }
}

#[tonic::async_trait]
impl Peer for Gate {
    async fn exchange(&self, request: Request<PeerRequest>) -> Result<Response<PeerResponse>, Status> {
        if self.backend.cell.get().is_none() {
            self.knock(request.get_ref()).await?;
        }
        match self.backend.cell.get() {
            Some(core) => core.peer.exchange(request).await,
            None => Err(Status::unavailable("this agent is in no cluster yet")),
        }
    }
}
