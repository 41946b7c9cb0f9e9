//! The public API. Any agent answers any call: proposals go to the leader by themselves, the status comes from the leader, and what is
//! replicated is read here, or at a member of the group.

use std::{pin::Pin, sync::Arc, time::Duration};

use api::{
    Invalid, refusal, v1,
    view::{Ask, Cursor, Push, Pushed},
};
use model::{
    HostId, Release, Revision,
    fleet::{Act, Evidence, Operator, Refusal, Reply, Request as Wanted},
};
use ports::ReleaseStore as _;
use tokio::sync::oneshot;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};
use v1::deployinator_server::Deployinator;

use super::{
    Backend, backup, cluster, history, logs, passed::Passed, preview, recover, refusals, status, streams,
};
use crate::{core::Core, forming::Knock, link::LinkError};

/// Longest wait for a proposal: within five seconds the caller knows that there is no quorum.
const PROPOSAL: Duration = Duration::from_millis(3500);

/// The public API of this agent.
#[derive(Clone)]
pub struct Public {
    backend: Backend,
}

type Answer<T> = Result<Response<T>, Status>;

impl Public {
    /// Of this agent.
    #[must_use]
    pub fn new(backend: Backend) -> Self {
        Self { backend }
    }

    pub(super) fn backend(&self) -> &Backend {
        &self.backend
    }

    pub(super) fn core(&self) -> Result<Arc<Core>, Status> {
        self.backend.cell.get().ok_or_else(|| refusals::not_formed(&self.backend.forming.borrow()))
    }

    pub(super) async fn propose(&self, act: Act) -> Result<(Revision, Reply), Status> {
        let core = self.core()?;
        let service = if let Act::Ask { service, .. } = &act { Some(service.clone()) } else { None };
        match core.link.propose(act, PROPOSAL).await {
            Ok((_, Reply::Refused(refused))) => Err(match service {
                Some(service) => refusal::refused_of(&service, &refused),
                None => refusal::refused(&refused),
            }),
            Ok(done) => Ok(done),
            Err(LinkError::AnswerLost { last }) => {
                Err(refusals::answer_lost(&last, &status::stale(&core).await))
            }
            Err(error) => Err(refusals::no_quorum(&error.to_string(), &status::stale(&core).await)),
        }
    }

    async fn operate(&self, ask: Result<Ask, Invalid>) -> Answer<v1::OperateResponse> {
        let Ask { service, by, request } = ask?;
        let (revision, _) = self.propose(Act::Ask { service, by, request }).await?;
        Ok(Response::new(v1::OperateResponse { revision: revision.0 }))
    }

    async fn begin(&self, ask: Ask, release: Option<Release>) -> Answer<v1::PushResponse> {
        let Ask { service, by, request } = ask;
        let (_, reply) = self.propose(Act::Ask { service, by, request }).await?;
        let (rollout, joined) = match reply {
            Reply::Accepted(rollout) => (rollout, false),
            Reply::Joined(rollout) => (rollout, true),
            other => return Err(Status::internal(format!("unexpected reply {other:?}"))),
        };
        // A rollout is named by the log entry that made it: everything of it comes after the entry before.
        let after = Some(Cursor::end_of(Revision(rollout.0.saturating_sub(1))));
        Ok(Response::new(Pushed { rollout, joined, release, after }.into()))
    }

    /// Says no early, before a large directory is hashed for a service that nobody has.
    pub(super) fn check_declared(core: &Core, push: &Push) -> Result<(), Status> {
        let fleet = core.link.node().state().borrow().clone();
        if !core.link.is_member()
            || fleet.services.is_empty()
            || fleet.declaring(&push.service).next().is_some()
        {
            return Ok(());
        }
        let declared = fleet.services.keys().cloned().collect();
        Err(refusal::refused(&Refusal::UnknownService { service: push.service.clone(), declared }))
    }
}

#[tonic::async_trait]
impl Deployinator for Public {
    async fn push(&self, request: Request<v1::PushRequest>) -> Answer<v1::PushResponse> {
        let push = Push::try_from(request.into_inner())?;
        let core = self.core()?;
        Self::check_declared(&core, &push)?;
        let Push { service, source, policy, by, provenance } = push;
        let resolved = self.backend.cell.parts().store.resolve(&source).await;
        let release = resolved.map_err(|error| refusals::not_a_release(&error))?;
        let request = Wanted::Push { release: release.clone(), policy, provenance };
        self.begin(Ask { service, by, request }, Some(release)).await
    }

    async fn preview_push(
        &self,
        request: Request<v1::PreviewPushRequest>,
    ) -> Answer<v1::PreviewPushResponse> {
        let passed = Passed::of(&request);
        Ok(Response::new(preview::push(self, request.into_inner(), passed).await?))
    }

    async fn rollback(&self, request: Request<v1::RollbackRequest>) -> Answer<v1::PushResponse> {
        let ask = Ask::try_from(request.into_inner())?;
        self.begin(ask, None).await
    }

    async fn restart(&self, request: Request<v1::RestartRequest>) -> Answer<v1::PushResponse> {
        let ask = Ask::try_from(request.into_inner())?;
        self.begin(ask, None).await
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Answer<Self::WatchStream> {
        let passed = Passed::of(&request);
        Ok(Response::new(streams::watch(self, request.into_inner(), passed).await?))
    }

    async fn status(&self, request: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        let passed = Passed::of(&request);
        Ok(Response::new(status::status(self, request.into_inner(), passed).await?))
    }

    async fn history(&self, request: Request<v1::HistoryRequest>) -> Answer<v1::HistoryResponse> {
        let passed = Passed::of(&request);
        Ok(Response::new(history::history(self, request.into_inner(), passed).await?))
    }

    type EventsStream = Pin<Box<dyn Stream<Item = Result<v1::EventsResponse, Status>> + Send>>;

    async fn events(&self, request: Request<v1::EventsRequest>) -> Answer<Self::EventsStream> {
        let passed = Passed::of(&request);
        Ok(Response::new(streams::events(self, request.into_inner(), passed).await?))
    }

    type LogsStream = Pin<Box<dyn Stream<Item = Result<v1::LogsResponse, Status>> + Send>>;

    async fn logs(&self, request: Request<v1::LogsRequest>) -> Answer<Self::LogsStream> {
        Ok(Response::new(logs::all_hosts(self, request.into_inner()).await?))
    }

    async fn pause(&self, request: Request<v1::PauseRequest>) -> Answer<v1::OperateResponse> {
        self.operate(request.into_inner().try_into()).await
    }

    async fn resume(&self, request: Request<v1::ResumeRequest>) -> Answer<v1::OperateResponse> {
        self.operate(request.into_inner().try_into()).await
    }

    async fn abort(&self, request: Request<v1::AbortRequest>) -> Answer<v1::OperateResponse> {
        self.operate(request.into_inner().try_into()).await
    }

    async fn set_policy(&self, request: Request<v1::SetPolicyRequest>) -> Answer<v1::OperateResponse> {
        self.operate(request.into_inner().try_into()).await
    }

    async fn resolve_migration(
        &self,
        request: Request<v1::ResolveMigrationRequest>,
    ) -> Answer<v1::OperateResponse> {
        self.operate(request.into_inner().try_into()).await
    }

    async fn release_quarantine(
        &self,
        request: Request<v1::ReleaseQuarantineRequest>,
    ) -> Answer<v1::OperateResponse> {
        self.operate(request.into_inner().try_into()).await
    }

    async fn break_lock(&self, request: Request<v1::BreakLockRequest>) -> Answer<v1::OperateResponse> {
        self.operate(request.into_inner().try_into()).await
    }

    async fn exclude_host(&self, request: Request<v1::HostRequest>) -> Answer<v1::OperateResponse> {
        self.operate(Ask::exclude(request.into_inner())).await
    }

    async fn include_host(&self, request: Request<v1::HostRequest>) -> Answer<v1::OperateResponse> {
        self.operate(Ask::include(request.into_inner())).await
    }

    async fn drain_host(&self, request: Request<v1::HostRequest>) -> Answer<v1::OperateResponse> {
        self.operate(Ask::drain(request.into_inner())).await
    }

    async fn admit_host(&self, request: Request<v1::HostRequest>) -> Answer<v1::OperateResponse> {
        self.operate(Ask::admit(request.into_inner())).await
    }

    async fn remove_host(&self, request: Request<v1::RemoveHostRequest>) -> Answer<v1::OperateResponse> {
        let (host, by): (HostId, Operator) = request.into_inner().try_into()?;
        let (revision, _) = self.propose(Act::Depart { host, evidence: Evidence::Removed(by) }).await?;
        Ok(Response::new(v1::OperateResponse { revision: revision.0 }))
    }

    async fn cluster_bootstrap(
        &self,
        request: Request<v1::ClusterBootstrapRequest>,
    ) -> Answer<v1::ClusterBootstrapResponse> {
        let v1::ClusterBootstrapRequest { without, by } = request.into_inner();
        let by = api::asker(by)?;
        let named = |host: &String| {
            host.parse::<HostId>().map_err(|error| refusal::rejected(error.to_string(), None))
        };
        let without = without.iter().map(named).collect::<Result<_, _>>()?;
        let (done, answer) = oneshot::channel();
        let stopping = || Status::unavailable("this agent is stopping");
        let knock = Knock::Bootstrap(without, by.reason, done);
        self.backend.knocks.send(knock).await.map_err(|_| stopping())?;
        let answer = answer.await.map_err(|_| stopping())?;
        answer.map_err(|why| refusal::rejected(why, None))?;
        Ok(Response::new(v1::ClusterBootstrapResponse {}))
    }

    type ClusterBackupStream = backup::Parts;

    async fn cluster_backup(
        &self,
        request: Request<v1::ClusterBackupRequest>,
    ) -> Answer<Self::ClusterBackupStream> {
        let passed = Passed::of(&request);
        Ok(Response::new(backup::backup(self, passed).await?))
    }

    async fn cluster_recover(
        &self,
        request: Request<Streaming<v1::ClusterRecoverRequest>>,
    ) -> Answer<v1::ClusterRecoverResponse> {
        Ok(Response::new(recover::recover(self, request).await?))
    }

    async fn cluster_show(
        &self,
        request: Request<v1::ClusterShowRequest>,
    ) -> Answer<v1::ClusterShowResponse> {
        let passed = Passed::of(&request);
        Ok(Response::new(cluster::cluster(self, passed).await?))
    }
}
