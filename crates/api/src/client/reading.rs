//! Questions. An answer that is stale is given only when no agent has a better one.

use std::sync::{Mutex, PoisonError};

use model::ServiceName;
use tonic::{Response, Status, transport::Channel};

use super::{Client, ClientError};
use crate::{
    convert::Invalid,
    refusal,
    v1::{self, deployinator_client::DeployinatorClient as Wire},
    view::{self, ClusterView, History, Stale},
};

impl Client {
    /// How the cluster is now.
    ///
    /// # Errors
    /// Refused, or no agent answers.
    pub async fn status(&self, service: Option<&ServiceName>) -> Result<view::Status, ClientError> {
        let request = v1::StatusRequest { service: service.map(ToString::to_string) };
        let attempted = service.map_or_else(|| "status".to_owned(), |service| format!("status of {service}"));
        let call = async |mut wire: Wire<Channel>| wire.status(request.clone()).await;
        self.read(attempted, call, view::Status::try_from).await
    }

    /// The last rollouts of a service, newest first; all that are kept when `limit` is 0.
    ///
    /// # Errors
    /// Refused, or no agent answers.
    pub async fn history(&self, service: &ServiceName, limit: u32) -> Result<History, ClientError> {
        let request = v1::HistoryRequest { service: service.to_string(), limit };
        let call = async |mut wire: Wire<Channel>| wire.history(request.clone()).await;
        self.read(format!("history of {service}"), call, History::try_from).await
    }

    /// Who makes up the cluster.
    ///
    /// # Errors
    /// No agent answers.
    pub async fn cluster(&self) -> Result<ClusterView, ClientError> {
        let call = async |mut wire: Wire<Channel>| wire.cluster_show(v1::ClusterShowRequest {}).await;
        self.read("show the cluster".into(), call, ClusterView::try_from).await
    }

    async fn read<R: MayBeStale, T>(
        &self,
        attempted: String,
        call: impl AsyncFn(Wire<Channel>) -> Result<Response<R>, Status>,
        read: impl Fn(R) -> Result<T, Invalid>,
    ) -> Result<T, ClientError> {
        let stale = Mutex::new(None);
        let fresh = async |wire: Wire<Channel>| {
            let answer = call(wire).await?;
            let Some(reason) = answer.get_ref().stale_reason() else { return Ok(answer) };
            let reason = reason.to_owned();
            keep(&stale, answer.into_inner());
            Err(refusal::no_quorum(&Stale { reason, missing: Vec::new() }))
        };
        let answer = self.ask_around(attempted.clone(), fresh, &read).await;
        match (answer, stale.into_inner().unwrap_or_else(PoisonError::into_inner)) {
            (Err(ClientError::NoQuorum { address, .. }), Some(kept)) => {
                read(kept).map_err(|source| ClientError::Malformed { attempted, address, source })
            }
            (answer, _) => answer,
        }
    }
}

/// An answer that an agent without a majority gives as well.
trait MayBeStale {
    /// Why it may be old, if it may be.
    fn stale_reason(&self) -> Option<&str>;
    fn revision(&self) -> u64;
}

macro_rules! may_be_stale {
    ($($answer:ident),+) => {$(
        impl MayBeStale for v1::$answer {
            fn stale_reason(&self) -> Option<&str> {
                self.stale.then_some(&self.stale_reason)
            }

            fn revision(&self) -> u64 {
                self.revision
            }
        }
    )+};
}

may_be_stale!(StatusResponse, HistoryResponse, ClusterShowResponse);

/// Keeps the newest of what is old.
fn keep<R: MayBeStale>(kept: &Mutex<Option<R>>, answer: R) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.as_ref().is_none_or(|kept| kept.revision() < answer.revision()) {
        *kept = Some(answer);
    }
}
