//! The public API. Any agent answers any call: proposals go to the leader by themselves, the status comes from the leader, and what is
//! replicated is read here, or at a member of the group.

use std::{pin::Pin, sync::Arc, time::Duration};

use api::v1;
#[derive(Clone, Copy)]
pub enum Exit {
    Rejected,
    Unavailable,
}
impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Rejected => 5,
            Self::Unavailable => 69,
        }
    }
}
use model::{
    HostId, Policy, ReleaseId, ServiceName,
    fleet::{Act, Evidence, Operator, Refusal, Reply, Request as Ask, Verdict},
};
use ports::ReleaseStore as _;
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status};
use v1::deployinator_server::Deployinator;

use super::{Backend, refusals, status, streams};
use crate::core::Core;

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

    pub(super) fn core(&self) -> Result<Arc<Core>, Status> {
        self.backend.cell.get().ok_or_else(|| {
            let holds: Vec<String> = self.backend.forming.borrow().iter().map(ToString::to_string).collect();
            let why = if holds.is_empty() { "it is forming".to_owned() } else { holds.join("; ") };
            let next = "wait until the hosts have found each other; each agent's log says what it waits for";
            refusals::status(
                Code::Unavailable,
                format!("this agent is in no cluster yet: {why}"),
                Exit::Unavailable,
                Some(next),
            )
        })
    }

    pub(super) fn backend(&self) -> &Backend {
        &self.backend
    }

    async fn propose(&self, attempted: &str, act: Act) -> Result<(u64, Reply), Status> {
        let core = self.core()?;
        match core.link.propose(act, PROPOSAL).await {
            Ok((_, Reply::Refused(refusal))) => Err(refusals::refused(attempted, &refusal)),
            Ok((revision, reply)) => Ok((revision.0, reply)),
            Err(error) => {
                let missing = status::missing(&core).await;
                Err(refusals::no_quorum(attempted, &error.to_string(), &missing))
            }
        }
    }

    async fn operate(
        &self,
        attempted: String,
        service: &str,
        by: Option<v1::Operator>,
        request: Ask,
    ) -> Answer<v1::OperateResponse> {
        let service = service_name(service)?;
        let act = Act::Ask { service, by: operator(by), request };
        let (revision, _) = self.propose(&attempted, act).await?;
        Ok(Response::new(v1::OperateResponse { revision }))
    }

    async fn begin(
        &self,
        attempted: String,
        service: ServiceName,
        by: Option<v1::Operator>,
        request: Ask,
        release: Option<v1::Release>,
    ) -> Answer<v1::PushResponse> {
        let (_, reply) = self.propose(&attempted, Act::Ask { service, by: operator(by), request }).await?;
        let (rollout, joined) = match reply {
            Reply::Accepted(rollout) => (rollout, false),
            Reply::Joined(rollout) => (rollout, true),
            other => return Err(Status::internal(format!("{attempted}: unexpected reply {other:?}"))),
        };
        // A rollout is named by the log entry that made it: everything of it comes after the entry before.
        let after = v1::Cursor { revision: rollout.0.saturating_sub(1), index: u32::MAX };
        Ok(Response::new(v1::PushResponse { rollout: rollout.0, joined, release, after: Some(after) }))
    }
}

pub(super) fn service_name(text: &str) -> Result<ServiceName, Status> {
    text.parse().map_err(|error: model::ids::InvalidId| refusals::malformed("service", &error))
}

fn host_name(text: &str) -> Result<HostId, Status> {
    text.parse().map_err(|error: model::ids::InvalidId| refusals::malformed("host", &error))
}

fn release_id(text: &str) -> Result<ReleaseId, Status> {
    text.parse().map_err(|error: model::ids::InvalidId| refusals::malformed("release", &error))
}

fn operator(by: Option<v1::Operator>) -> Operator {
    by.map(|by| Operator { name: by.name, reason: by.reason }).unwrap_or_default()
}

fn policy(policy: v1::Policy) -> Result<Policy, Status> {
    Ok(super::convert::policy_from(policy))
}

#[tonic::async_trait]
impl Deployinator for Public {
    async fn push(&self, request: Request<v1::PushRequest>) -> Answer<v1::PushResponse> {
        let v1::PushRequest { service, source, policy: wanted, by } = request.into_inner();
        let name = service_name(&service)?;
        let core = self.core()?;
        let wanted = wanted.map(policy).transpose()?;
        // Hashing a large directory for a service that nobody has would be a long way to a no.
        if core.link.is_member() {
            let fleet = core.link.node().state().borrow().clone();
            if !fleet.services.is_empty() && fleet.declaring(&name).next().is_none() {
                let refusal = Refusal::UnknownService {
                    service: name,
                    declared: fleet.services.keys().cloned().collect(),
                };
                return Err(refusals::refused(&format!("push to {service}"), &refusal));
            }
        }
        let resolved = self.backend.cell.parts().store.resolve(&source).await;
        let release = resolved.map_err(|error| refusals::not_a_release(&service, &error))?;
        let shown = super::convert::release(&release);
        self.begin(
            format!("push {} to {service}", release.id),
            name,
            by,
            Ask::Push { release, policy: wanted },
            Some(shown),
        )
        .await
    }

    async fn rollback(&self, request: Request<v1::RollbackRequest>) -> Answer<v1::PushResponse> {
        let v1::RollbackRequest { service, by } = request.into_inner();
        let name = service_name(&service)?;
        self.begin(format!("roll back {service}"), name, by, Ask::Rollback, None).await
    }

    async fn restart(&self, request: Request<v1::RestartRequest>) -> Answer<v1::PushResponse> {
        let v1::RestartRequest { service, by } = request.into_inner();
        let name = service_name(&service)?;
        self.begin(format!("restart {service}"), name, by, Ask::Restart, None).await
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Answer<Self::WatchStream> {
        Ok(Response::new(streams::watch(self, request.into_inner()).await?))
    }

    async fn status(&self, request: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        let forwarded = status::is_forwarded(&request);
        Ok(Response::new(status::status(self, request.into_inner(), forwarded).await?))
    }

    async fn history(&self, request: Request<v1::HistoryRequest>) -> Answer<v1::HistoryResponse> {
        Ok(Response::new(status::history(self, request.into_inner()).await?))
    }

    type EventsStream = Pin<Box<dyn Stream<Item = Result<v1::EventsResponse, Status>> + Send>>;

    async fn events(&self, request: Request<v1::EventsRequest>) -> Answer<Self::EventsStream> {
        Ok(Response::new(streams::events(self, request.into_inner()).await?))
    }

    async fn pause(&self, request: Request<v1::PauseRequest>) -> Answer<v1::OperateResponse> {
        let v1::PauseRequest { service, by } = request.into_inner();
        self.operate(format!("pause {service}"), &service, by, Ask::Pause).await
    }

    async fn resume(&self, request: Request<v1::ResumeRequest>) -> Answer<v1::OperateResponse> {
        let v1::ResumeRequest { service, by } = request.into_inner();
        self.operate(format!("resume {service}"), &service, by, Ask::Resume).await
    }

    async fn abort(&self, request: Request<v1::AbortRequest>) -> Answer<v1::OperateResponse> {
        let v1::AbortRequest { service, by, leave } = request.into_inner();
        self.operate(format!("abort {service}"), &service, by, Ask::Abort { leave }).await
    }

    async fn set_policy(&self, request: Request<v1::SetPolicyRequest>) -> Answer<v1::OperateResponse> {
        let v1::SetPolicyRequest { service, by, policy: wanted } = request.into_inner();
        let wanted = wanted.ok_or_else(|| refusals::malformed("policy", &"is missing"))?;
        let request = Ask::SetPolicy { policy: policy(wanted)? };
        self.operate(format!("set the policy of {service}"), &service, by, request).await
    }

    async fn resolve_migration(
        &self,
        request: Request<v1::ResolveMigrationRequest>,
    ) -> Answer<v1::OperateResponse> {
        let request = request.into_inner();
        let verdict = match request.verdict() {
            v1::Verdict::Succeeded => Verdict::Succeeded,
            v1::Verdict::Failed => Verdict::Failed,
            v1::Verdict::Retry => Verdict::Retry,
            v1::Verdict::Unspecified => {
                return Err(refusals::malformed("verdict", &"must be succeeded, failed or retry"));
            }
        };
        let v1::ResolveMigrationRequest { service, by, release, .. } = request;
        let request = Ask::ResolveMigration { release: release_id(&release)?, verdict };
        self.operate(format!("resolve the migration of {release}"), &service, by, request).await
    }

    async fn release_quarantine(
        &self,
        request: Request<v1::ReleaseQuarantineRequest>,
    ) -> Answer<v1::OperateResponse> {
        let v1::ReleaseQuarantineRequest { service, by, release } = request.into_inner();
        let request = Ask::ReleaseQuarantine { release: release_id(&release)? };
        self.operate(format!("release {release} from quarantine"), &service, by, request).await
    }

    async fn break_lock(&self, request: Request<v1::BreakLockRequest>) -> Answer<v1::OperateResponse> {
        let v1::BreakLockRequest { service, by, lock } = request.into_inner();
        let request = match lock {
            Some(v1::break_lock_request::Lock::SlotOf(host)) => Ask::BreakSlot { host: host_name(&host)? },
            Some(v1::break_lock_request::Lock::Migration(true)) => Ask::BreakMigrationLock,
            _ => return Err(refusals::malformed("lock", &"must name a host's slot or the migration lock")),
        };
        self.operate(format!("break a lock of {service}"), &service, by, request).await
    }

    async fn exclude_host(&self, request: Request<v1::HostRequest>) -> Answer<v1::OperateResponse> {
        let v1::HostRequest { service, by, host } = request.into_inner();
        let request = Ask::Exclude { host: host_name(&host)? };
        self.operate(format!("exclude {host}"), &service, by, request).await
    }

    async fn include_host(&self, request: Request<v1::HostRequest>) -> Answer<v1::OperateResponse> {
        let v1::HostRequest { service, by, host } = request.into_inner();
        let request = Ask::Include { host: host_name(&host)? };
        self.operate(format!("include {host}"), &service, by, request).await
    }

    async fn drain_host(&self, request: Request<v1::HostRequest>) -> Answer<v1::OperateResponse> {
        let v1::HostRequest { service, by, host } = request.into_inner();
        let request = Ask::Drain { host: host_name(&host)? };
        self.operate(format!("drain {host}"), &service, by, request).await
    }

    async fn admit_host(&self, request: Request<v1::HostRequest>) -> Answer<v1::OperateResponse> {
        let v1::HostRequest { service, by, host } = request.into_inner();
        let request = Ask::Admit { host: host_name(&host)? };
        self.operate(format!("admit {host}"), &service, by, request).await
    }

    async fn remove_host(&self, request: Request<v1::RemoveHostRequest>) -> Answer<v1::OperateResponse> {
        let v1::RemoveHostRequest { host, by } = request.into_inner();
        let act = Act::Depart { host: host_name(&host)?, evidence: Evidence::Removed(operator(by)) };
        let (revision, _) = self.propose(&format!("remove {host}"), act).await?;
        Ok(Response::new(v1::OperateResponse { revision }))
    }

    async fn cluster_show(
        &self,
        request: Request<v1::ClusterShowRequest>,
    ) -> Answer<v1::ClusterShowResponse> {
        let forwarded = status::is_forwarded(&request);
        Ok(Response::new(status::cluster(self, forwarded).await?))
    }
}
