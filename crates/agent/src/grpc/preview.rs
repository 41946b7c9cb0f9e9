//! What a push would do. The leader plays it ahead, as it alone knows who is silent; any other agent passes the question on.

use std::time::Duration;

use api::{
    refusal,
    v1::{self, deployinator_client::DeployinatorClient},
    view::{HoldStatus, Push, PushPreview},
};
use model::{
    HostId, Release, ServiceName,
    planner::{Hold, TimedHold, preview::preview},
};
use ports::ReleaseStore as _;
use tokio::time::timeout;
use tonic::Status;

use super::{passed::Passed, public::Public, refusals, status};
use crate::{core::Core, leader::View};

/// Longest wait for the leader's answer: a large fleet takes a second or two.
const LEADER: Duration = Duration::from_secs(10);

pub(super) async fn push(
    public: &Public,
    request: v1::PreviewPushRequest,
    passed: Passed,
) -> Result<v1::PreviewPushResponse, Status> {
    let core = public.core()?;
    let push = Push::try_from(request.clone())?;
    let release = match request.release.clone().filter(|_| passed != Passed::Not) {
        Some(resolved) => Release::try_from(resolved)?,
        None => resolve(public, &core, &push).await?,
    };
    if let Some(view) = status::reign(public, &core).await
        && let Some(answer) = play(public, &core, push, release.clone(), &view).await
    {
        return answer.map(Into::into);
    }
    if passed == Passed::Not
        && let Some(leader) = core.link.leader().filter(|leader| *leader != core.link.me())
    {
        let mut client = DeployinatorClient::new(core.link.channels().to(leader))
            .max_decoding_message_size(api::MESSAGE_LIMIT_BYTES);
        let request = v1::PreviewPushRequest { release: Some(release.into()), ..request };
        match timeout(LEADER, client.preview_push(Passed::ToMember.mark(request))).await {
            Ok(Ok(answer)) => return Ok(answer.into_inner()),
            // The leader's own no: the push would be rejected.
            Ok(Err(refused)) if refusal::exit_of(&refused) == Some(api::Exit::Rejected) => {
                return Err(refused);
            }
            Ok(Err(_)) | Err(_) => (),
        }
    }
    Err(refusals::no_quorum("no leader answers", &status::stale(&core).await))
}

async fn resolve(public: &Public, core: &Core, push: &Push) -> Result<Release, Status> {
    Public::check_declared(core, push)?;
    let resolved = public.backend().cell.parts().store.resolve(&push.source).await;
    resolved.map_err(|error| refusals::not_a_release(&error))
}

/// Plays it, aside: a large fleet takes a while. Nothing when another agent leads by now.
async fn play(
    public: &Public,
    core: &Core,
    push: Push,
    release: Release,
    view: &View,
) -> Option<Result<PushPreview, Status>> {
    let (sightings, now) = public.backend().cell.parts().reign.sightings()?;
    let fleet = core.link.node().state().borrow().clone();
    let (revision, service) = (fleet.revision, push.service.clone());
    let played = tokio::task::spawn_blocking(move || {
        preview(&fleet, &sightings, now, &push.service, &release, push.policy.as_ref())
    });
    let played = match played.await {
        Ok(Ok(played)) => played,
        Ok(Err(refused)) => return Some(Err(refusal::refused(&refused))),
        Err(broken) => return Some(Err(Status::internal(format!("play the push ahead: {broken}")))),
    };
    Some(Ok(PushPreview {
        answered_by: core.link.host().clone(),
        revision,
        holds: played.holds.into_iter().map(status_of).collect(),
        troubles: troubles(view, &service),
        ahead: played.ahead,
    }))
}

fn status_of((hold, ends_in): (Hold, Option<Duration>)) -> HoldStatus {
    HoldStatus::from(&TimedHold { hold, lasted: Duration::ZERO, ends_in })
}

/// What hosts say of themselves: a balancer that does not answer, a probe that does not pass.
fn troubles(view: &View, service: &ServiceName) -> Vec<(HostId, String)> {
    let said = view.hosts.iter().filter_map(|(host, (_, seen))| {
        let trouble = seen.get(service)?.trouble.clone()?;
        Some((host.clone(), trouble))
    });
    said.collect()
}
