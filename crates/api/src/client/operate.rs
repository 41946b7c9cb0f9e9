//! What operators ask: calls that are answered with "done" or "no".

use model::{
    Fence, HostId, Revision,
    fleet::{Lock, Operator, Request},
};
use tonic::{Response, Status, transport::Channel};

use super::{
    Client, ClientError,
    calls::{Attempted, Repeat},
};
use crate::{
    convert::{self, Invalid},
    v1::{self, break_lock_request, deployinator_client::DeployinatorClient as Wire},
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
        let call = async |wire: Wire<Channel>| send(wire, ask.clone()).await;
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
        Request::Follow(word) => format!("push what {} says to {service}", word.channel),
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
        Request::BreakSlot { host } | Request::BreakGrant { lock: Lock::SlotOf(host), .. } => {
            format!("break the slot of {host} for {service}")
        }
        Request::BreakMigrationLock | Request::BreakGrant { lock: Lock::Migration, .. } => {
            format!("break the migration lock of {service}")
        }
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

async fn send(mut wire: Wire<Channel>, ask: Ask) -> Result<Response<v1::OperateResponse>, Status> {
    let Ask { service, by, request } = ask;
    let (service, by) = (service.to_string(), Some(v1::Operator::from(by)));
    match request {
        Request::Pause => wire.pause(v1::PauseRequest { service, by }).await,
        Request::Resume => wire.resume(v1::ResumeRequest { service, by }).await,
        Request::Abort { leave } => wire.abort(v1::AbortRequest { service, by, leave }).await,
        Request::SetPolicy { policy } => {
            wire.set_policy(v1::SetPolicyRequest { service, by, policy: Some(policy.into()) }).await
        }
        Request::ResolveMigration { release, verdict } => {
            let (release, verdict) = (release.into(), convert::verdict(verdict));
            wire.resolve_migration(v1::ResolveMigrationRequest { service, by, release, verdict }).await
        }
        Request::ReleaseQuarantine { release } => {
            let release = release.into();
            wire.release_quarantine(v1::ReleaseQuarantineRequest { service, by, release }).await
        }
        Request::BreakSlot { host } => wire.break_lock(broken(service, by, Lock::SlotOf(host), None)).await,
        Request::BreakMigrationLock => wire.break_lock(broken(service, by, Lock::Migration, None)).await,
        Request::BreakGrant { lock, fence } => wire.break_lock(broken(service, by, lock, Some(fence))).await,
        Request::Exclude { host } => {
            wire.exclude_host(v1::HostRequest { service, by, host: host.into() }).await
        }
        Request::Include { host } => {
            wire.include_host(v1::HostRequest { service, by, host: host.into() }).await
        }
        Request::Drain { host } => wire.drain_host(v1::HostRequest { service, by, host: host.into() }).await,
        Request::Admit { host } => wire.admit_host(v1::HostRequest { service, by, host: host.into() }).await,
        Request::Push { .. } | Request::Follow(_) | Request::Rollback | Request::Restart => {
            Err(Status::invalid_argument("it begins a rollout, and has a call of its own"))
        }
    }
}

fn broken(
    service: String,
    by: Option<v1::Operator>,
    lock: Lock,
    fence: Option<Fence>,
) -> v1::BreakLockRequest {
    let lock = Some(match lock {
        Lock::SlotOf(host) => break_lock_request::Lock::SlotOf(host.into()),
        Lock::Migration => break_lock_request::Lock::Migration(true),
    });
    v1::BreakLockRequest { service, by, lock, expected_fence: fence.map(Into::into) }
}
