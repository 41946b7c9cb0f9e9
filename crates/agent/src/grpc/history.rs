//! The rollouts of a service, as the leader knows them; or, without one, as a replica does, marked as stale.

use std::{net::SocketAddr, time::Duration};

use api::{
    v1::{self, deployinator_client::DeployinatorClient},
    view::{History, Stale},
};
use model::{ServiceName, fleet::Rollout};
use tokio::time::timeout;
use tonic::{Code, Status};

use super::{
    passed::{self, Passed},
    public::Public,
    refusals, status,
};
use crate::core::Core;

/// Longest wait for the leader's answer: a caller is to hear of an old one within its own five seconds.
const ANSWER: Duration = Duration::from_millis(1500);

pub(super) async fn history(
    public: &Public,
    request: v1::HistoryRequest,
    passed: Passed,
) -> Result<v1::HistoryResponse, Status> {
    let core = public.core()?;
    let name = status::name(&request.service)?;
    if status::reign(public, &core).await.is_some() {
        return here(&core, &name, request.limit, None);
    }
    if passed != Passed::ToMember
        && let Some(leader) = core.link.leader().filter(|leader| *leader != core.link.me())
    {
        let heard = ask(&core, leader, request.clone()).await;
        if let Some(answer) = heard.filter(|heard| !heard.as_ref().is_ok_and(|answer| answer.stale)) {
            return answer;
        }
    }
    let asking = |mut member: passed::Client, passed: Passed| {
        let request = passed.mark(request.clone());
        async move { member.history(request).await }
    };
    match passed::elsewhere(&core, passed, asking).await {
        Ok(Some(answer)) => return Ok(answer.into_inner()),
        Ok(None) => (),
        Err(refusal) if refusal.code() == Code::NotFound => return Err(refusal),
        Err(_) => return Err(refusals::no_quorum("no member answers", &status::stale(&core).await)),
    }
    here(&core, &name, request.limit, Some(status::stale(&core).await))
}

async fn ask(
    core: &Core,
    address: SocketAddr,
    request: v1::HistoryRequest,
) -> Option<Result<v1::HistoryResponse, Status>> {
    let mut client = DeployinatorClient::new(core.link.channels().to(address))
        .max_decoding_message_size(api::MESSAGE_LIMIT_BYTES);
    match timeout(ANSWER, client.history(Passed::ToMember.mark(request))).await.ok()? {
        Ok(answer) => Some(Ok(answer.into_inner())),
        Err(refusal) if refusal.code() == Code::NotFound => Some(Err(refusal)),
        Err(_) => None,
    }
}

/// As this replica knows it.
fn here(
    core: &Core,
    name: &ServiceName,
    limit: u32,
    stale: Option<Stale>,
) -> Result<v1::HistoryResponse, Status> {
    let fleet = core.link.node().state().borrow().clone();
    let service = status::known(&fleet, name)?;
    let limit = if limit == 0 { usize::MAX } else { limit as usize };
    let history = History {
        rollouts: service
            .rollouts
            .values()
            .rev()
            .take(limit)
            .map(|rollout| Rollout::clone(rollout))
            .collect(),
        answered_by: Some(core.link.host().clone()),
        revision: fleet.revision,
        stale,
    };
    Ok(history.into())
}
