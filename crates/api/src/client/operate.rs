//! What operators ask: calls that are answered with "done" or "no".

use model::{
    HostId, Revision,
    fleet::{Operator, Request},
};
use tonic::{Response, Status, transport::Channel};

use super::{
    Client, ClientError,
    calls::{Attempted, Repeat},
};
use crate::{
    convert::{self, Invalid},
    v1::{self, break_lock_request::Lock, deployinator_client::DeployinatorClient as Wire},
    view::Ask,
};

impl Client {
    /// Asks something of a service that is answered with "done": everything but what begins a rollout, which has calls of its own.
    /// Returns the revision at which it was done.
    ///
    /// # Errors
    /// Refused, no quorum, no agent answers, or the answer was lost; and refused here when it begins a rollout.
    pub async fn operate(&self, ask: Ask) -> Result<Revision, ClientError> {
        let attempted = Attempted {
            what: attempted(&ask),
            repeat: repeat(&ask.request),
            look: format!("`deployinator events --service {}`", ask.service),
            limit: self.agents.patience.call,
        };
        let request = wire_request(ask);
        let call = async |wire: Wire<Channel>| send(wire, request.clone()).await;
        self.call(attempted, call, revision).await
    }

    /// Says that a host is no more, in place of the cloud.
    ///
    /// # Errors
    /// Refused, no quorum, or no agent answers.
    pub async fn remove_host(&self, host: &HostId, by: Operator) -> Result<Revision, ClientError> {
        let request = v1::RemoveHostRequest { host: host.to_string(), by: Some(by.into()) };
        let call = async |mut wire: Wire<Channel>| wire.remove_host(request.clone()).await;
        let attempted = self.freely(format!("remove host {host}"), "`deployinator hosts list`");
        self.call(attempted, call, revision).await
    }

    /// Has the first agent that answers form a cluster without some hosts.
    ///
    /// # Errors
    /// Refused, or no agent answers.
    pub async fn bootstrap_without(&self, without: &[HostId], by: Operator) -> Result<(), ClientError> {
        let names: Vec<String> = without.iter().map(ToString::to_string).collect();
        let attempted = format!("form a cluster without {}", names.join(", "));
        let attempted = self.freely(attempted, "`deployinator cluster show`");
        let request = v1::ClusterBootstrapRequest { without: names, by: Some(by.into()) };
        let call = async |mut wire: Wire<Channel>| wire.cluster_bootstrap(request.clone()).await;
        self.call(attempted, call, |_| Ok(())).await
    }

    fn freely(&self, what: String, look: &str) -> Attempted {
        Attempted { what, repeat: Repeat::Freely, look: look.into(), limit: self.agents.patience.call }
    }
}

fn revision(answer: v1::OperateResponse) -> Result<Revision, Invalid> {
    Ok(Revision(answer.revision))
}

/// In words, as errors name it.
fn attempted(ask: &Ask) -> String {
    let service = &ask.service;
    match &ask.request {
        Request::Push { release, .. } => format!("push {} to {service}", release.id),
        Request::Rollback => format!("roll back {service}"),
        Request::Restart => format!("restart {service}"),
        Request::Pause => format!("pause the rollout of {service}"),
        Request::Resume => format!("resume the rollout of {service}"),
        Request::Abort { .. } => format!("abort the rollout of {service}"),
        Request::SetPolicy { .. } => format!("set the policy of {service}"),
        Request::ResolveMigration { release, .. } => {
            format!("resolve the migration of {release} of {service}")
        }
        Request::ReleaseQuarantine { release } => {
            format!("release {release} of {service} from quarantine")
        }
        Request::BreakSlot { host } => format!("break the slot of {host} for {service}"),
        Request::BreakMigrationLock => format!("break the migration lock of {service}"),
        Request::Exclude { host } => format!("exclude {host} from {service}"),
        Request::Include { host } => format!("include {host} in {service}"),
        Request::Drain { host } => format!("drain {host} of {service}"),
        Request::Admit { host } => format!("admit {host} to {service}"),
    }
}

/// What says how something shall be may be said twice; what is about the rollout or the grant of this moment may not, as the
/// second time could meet the next one.
fn repeat(request: &Request) -> Repeat {
    match request {
        Request::SetPolicy { .. }
        | Request::Exclude { .. }
        | Request::Include { .. }
        | Request::Drain { .. }
        | Request::Admit { .. } => Repeat::Freely,
        _ => Repeat::Never,
    }
}

#[derive(Clone)]
enum Asked {
    Pause(v1::PauseRequest),
    Resume(v1::ResumeRequest),
    Abort(v1::AbortRequest),
    SetPolicy(v1::SetPolicyRequest),
    ResolveMigration(v1::ResolveMigrationRequest),
    ReleaseQuarantine(v1::ReleaseQuarantineRequest),
    BreakLock(v1::BreakLockRequest),
    Exclude(v1::HostRequest),
    Include(v1::HostRequest),
    Drain(v1::HostRequest),
    Admit(v1::HostRequest),
    /// Has a call of its own.
    Elsewhere,
}

fn wire_request(ask: Ask) -> Asked {
    let Ask { service, by, request } = ask;
    let (service, by) = (service.to_string(), Some(v1::Operator::from(by)));
    let host = |host: HostId, service, by| v1::HostRequest { service, by, host: host.into() };
    match request {
        Request::Pause => Asked::Pause(v1::PauseRequest { service, by }),
        Request::Resume => Asked::Resume(v1::ResumeRequest { service, by }),
        Request::Abort { leave } => Asked::Abort(v1::AbortRequest { service, by, leave }),
        Request::SetPolicy { policy } => {
            Asked::SetPolicy(v1::SetPolicyRequest { service, by, policy: Some(policy.into()) })
        }
        Request::ResolveMigration { release, verdict } => {
            let (release, verdict) = (release.into(), convert::verdict(verdict));
            Asked::ResolveMigration(v1::ResolveMigrationRequest { service, by, release, verdict })
        }
        Request::ReleaseQuarantine { release } => {
            Asked::ReleaseQuarantine(v1::ReleaseQuarantineRequest { service, by, release: release.into() })
        }
        Request::BreakSlot { host } => {
            Asked::BreakLock(v1::BreakLockRequest { service, by, lock: Some(Lock::SlotOf(host.into())) })
        }
        Request::BreakMigrationLock => {
            Asked::BreakLock(v1::BreakLockRequest { service, by, lock: Some(Lock::Migration(true)) })
        }
        Request::Exclude { host: named } => Asked::Exclude(host(named, service, by)),
        Request::Include { host: named } => Asked::Include(host(named, service, by)),
        Request::Drain { host: named } => Asked::Drain(host(named, service, by)),
        Request::Admit { host: named } => Asked::Admit(host(named, service, by)),
        Request::Push { .. } | Request::Rollback | Request::Restart => Asked::Elsewhere,
    }
}

async fn send(mut wire: Wire<Channel>, asked: Asked) -> Result<Response<v1::OperateResponse>, Status> {
    match asked {
        Asked::Pause(request) => wire.pause(request).await,
        Asked::Resume(request) => wire.resume(request).await,
        Asked::Abort(request) => wire.abort(request).await,
        Asked::SetPolicy(request) => wire.set_policy(request).await,
        Asked::ResolveMigration(request) => wire.resolve_migration(request).await,
        Asked::ReleaseQuarantine(request) => wire.release_quarantine(request).await,
        Asked::BreakLock(request) => wire.break_lock(request).await,
        Asked::Exclude(request) => wire.exclude_host(request).await,
        Asked::Include(request) => wire.include_host(request).await,
        Asked::Drain(request) => wire.drain_host(request).await,
        Asked::Admit(request) => wire.admit_host(request).await,
        Asked::Elsewhere => Err(Status::invalid_argument("it begins a rollout, and has a call of its own")),
    }
}
