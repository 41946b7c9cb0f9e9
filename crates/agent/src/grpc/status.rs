//! How the cluster is now: what is replicated, with what the leader has heard.

use std::{net::SocketAddr, time::Duration};

use api::{
    v1::{self, deployinator_client::DeployinatorClient},
    view::{self, Stale},
};
use model::{
    Fence, HostId, ReleaseId, ServiceName,
    fleet::{Fleet, HostService, MigrationState, PhaseKind, Purpose, Quarantine, Refusal, Service},
    host::{
        Sighting,
        health::{Health, Probe},
    },
    time::WallTime,
};
use raft::NodeId;
use tokio::{task::JoinSet, time::timeout};
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{
    passed::{self, Passed},
    public::Public,
};
use crate::{
    core::Core,
    leader::{self, View},
    link::Link,
};

/// Longest wait for the leader's answer, and for its quorum.
pub(super) const LEADER: Duration = Duration::from_millis(2500);
/// Most agents that are asked at once for what they know of a group without a leader.
const OTHERS: usize = 8;
/// How long the leader is waited for alone.
const HEAD_START: Duration = Duration::from_millis(500);
/// Longest wait for a voter to say that it is there.
const REACH: Duration = Duration::from_millis(700);

/// The leader's view, if this agent leads and a quorum says so.
pub(super) async fn reign(public: &Public, core: &Core) -> Option<View> {
    let view = public.backend().cell.parts().reign.view()?;
    core.link.node().confirm_leader(LEADER).await.then_some(view)
}

pub(super) async fn status(
    public: &Public,
    request: v1::StatusRequest,
    passed: Passed,
) -> Result<v1::StatusResponse, Status> {
    let core = public.core()?;
    let service = api::service(request.service.as_deref())?;
    if let Some(view) = reign(public, &core).await {
        if let Some(service) = &service {
            known(&core.link.node().state().borrow(), service)?;
        }
        return Ok(picture(&core, service.as_ref(), Some(&view)).into());
    }
    let (led, others) = match (core.link.is_member(), passed) {
        (true, Passed::ToMember) => (None, None),
        (false, Passed::ToMember) => return Err(passed::no_member()),
        (true, _) | (_, Passed::ToAnyone) => (ask_leader(&core.link, request.clone()).await, None),
        (false, Passed::Not) => {
            let led = ask_leader(&core.link, request.clone());
            sooner(led, newest_of_others(&core.link, &request)).await
        }
    };
    if let Some(answer) = led {
        return answer;
    }
    match others {
        // Any old view is better than none, and the newest of them the best.
        Some(Ok(other)) if !core.link.has_replica() || mine_is_older(&core, &other) => Ok(other),
        Some(Err(refusal)) => Err(refusal),
        Some(Ok(_)) | None => {
            let mut answer = picture(&core, service.as_ref(), None);
            answer.stale = Some(stale(&core).await);
            Ok(answer.into())
        }
    }
}

/// The leader's answer; where it is long in coming, what others know as well. A leader that is frozen must not take all of the caller's time.
async fn sooner(led: impl Future<Output = Heard>, others: impl Future<Output = Heard>) -> (Heard, Heard) {
    tokio::pin!(led, others);
    match timeout(HEAD_START, &mut led).await {
        Ok(Some(answer)) => return (Some(answer), None),
        Ok(None) => return (None, others.await),
        Err(_) => (),
    }
    tokio::select! {
        led = &mut led => match led {
            Some(answer) => (Some(answer), None),
            None => (None, others.await),
        },
        other = &mut others => match other {
            Some(Ok(fresh)) if !fresh.stale => (None, Some(Ok(fresh))),
            other => (led.await, other),
        },
    }
}

fn mine_is_older(core: &Core, other: &v1::StatusResponse) -> bool {
    core.link.node().state().borrow().revision.0 < other.revision || !other.stale
}

/// What others know, for an agent that has no part in the group: the first fresh answer, else the newest one.
async fn newest_of_others(link: &Link, request: &v1::StatusRequest) -> Heard {
    let others = link.members().all().into_iter().filter(|address| *address != link.me());
    let mut asked = JoinSet::new();
    for address in others.take(OTHERS) {
        let (link, request) = (link.clone(), request.clone());
        asked.spawn(async move { ask(&link, address, request, Passed::ToAnyone).await });
    }
    let mut newest: Heard = None;
    while let Some(answer) = asked.join_next().await {
        match answer.ok().flatten() {
            Some(Ok(answer)) if !answer.stale => return Some(Ok(answer)),
            Some(Ok(answer)) => {
                let known = newest.as_ref().and_then(|known| known.as_ref().ok()).map(|known| known.revision);
                if known.is_none_or(|known| known < answer.revision) {
                    newest = Some(Ok(answer));
                }
            }
            Some(Err(refusal)) => newest = newest.or(Some(Err(refusal))),
            None => (),
        }
    }
    newest
}

/// A status, or the refusal that it comes to; nothing from an agent that cannot say.
type Heard = Option<Result<v1::StatusResponse, Status>>;

async fn ask_leader(link: &Link, request: v1::StatusRequest) -> Heard {
    let leader = link.leader().filter(|leader| *leader != link.me())?;
    ask(link, leader, request, Passed::ToMember)
        .await
        .filter(|heard| !heard.as_ref().is_ok_and(|answer| answer.stale))
}

async fn ask(link: &Link, address: SocketAddr, request: v1::StatusRequest, passed: Passed) -> Heard {
    let mut client = DeployinatorClient::new(link.channels().to(address))
        .max_decoding_message_size(api::MESSAGE_LIMIT_BYTES);
    match timeout(LEADER, client.status(passed.mark(request))).await.ok()? {
        Ok(answer) => Some(Ok(answer.into_inner())),
        Err(refusal) if refusal.code() == Code::NotFound => Some(Err(refusal)),
        Err(_) => None,
    }
}

/// Why an answer may be old: the voters that do not answer now. A connection alone is no answer: the system takes it for a frozen agent, too.
pub(super) async fn stale(core: &Core) -> Stale {
    let standing = core.link.node().standing().borrow().clone();
    let others = standing.voters.iter().filter(|(_, address)| **address != core.link.me());
    let asked: Vec<_> = others
        .filter_map(|(node, address)| Some((host_of(node)?, *address)))
        .map(|(host, address)| {
            let mut client = HealthClient::new(core.link.channels().to(address));
            tokio::spawn(async move {
                let reached = timeout(REACH, client.check(HealthCheckRequest::default())).await;
                (!matches!(reached, Ok(Ok(_)))).then_some(host)
            })
        })
        .collect();
    let mut missing = Vec::new();
    for answer in asked {
        missing.extend(answer.await.ok().flatten());
    }
    let names = missing.iter().map(HostId::as_str).collect::<Vec<_>>().join(", ");
    let reason = if missing.is_empty() {
        "no leader is known; an election may be under way".to_owned()
    } else {
        format!("no leader answers; no answer from {names}")
    };
    Stale { reason, missing }
}

pub(super) fn host_of(node: &NodeId) -> Option<HostId> {
    node.as_str().rsplit_once('.')?.0.parse().ok()
}

fn picture(core: &Core, only: Option<&ServiceName>, view: Option<&View>) -> view::Status {
    let fleet = core.link.node().state().borrow().clone();
    let standing = core.link.node().standing().borrow().clone();
    let services = fleet.services.iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
    view::Status {
        cluster: core.link.cluster().to_string(),
        leader: standing.leader.as_ref().and_then(host_of),
        revision: fleet.revision,
        answered_by: core.link.host().clone(),
        stale: None,
        services: services.map(|(name, service)| service_status(&fleet, name, service, view)).collect(),
        cursor: view::Cursor::end_of(fleet.revision),
    }
}

fn service_status(
    fleet: &Fleet,
    name: &ServiceName,
    service: &Service,
    view: Option<&View>,
) -> view::ServiceStatus {
    let holds = view.map(|view| {
        view.holds.iter().filter(|timed| timed.hold.service == *name).map(view::HoldStatus::from).collect()
    });
    let hosts = fleet.declaring(name).map(|(host, here)| {
        let heard = view.and_then(|view| view.hosts.get(host));
        let seen = heard.and_then(|(_, seen)| seen.get(name));
        let quiet = heard.map_or(Duration::ZERO, |(quiet, _)| *quiet);
        let mut status = host_status(service, host, here, seen, quiet);
        if let Some(change) = &mut status.change {
            change.granted_at = granted_at(fleet, change.fence);
        }
        if let Some(record) = fleet.hosts.get(host) {
            status.address = record.address.to_string();
            status.zone.clone_from(&record.zone);
        }
        status.silent = view.and_then(|view| view.silent.get(host)).copied();
        status
    });
    let holders = fleet.declaring(name).filter(|(_, here)| here.change.is_some());
    view::ServiceStatus {
        service: name.clone(),
        policy: service.policy.clone(),
        active: service.active().cloned(),
        next: service.next().cloned(),
        completed: service.last_completed().cloned(),
        quarantine: quarantine(service),
        migrations: migrations(service),
        holds: holds.unwrap_or_default(),
        hosts: hosts.collect(),
        slots: view::Slots {
            limit: service.policy.max_unavailable.get(),
            holders: holders.map(|(host, _)| host.clone()).collect(),
        },
        migration_lock: service.migration_lock.as_ref().map(|lock| view::MigrationLockStatus {
            host: lock.host.clone(),
            fence: lock.fence,
            release: lock.release.clone(),
            granted_at: granted_at(fleet, lock.fence),
        }),
        mixed: service.mixed,
        channel: channel(fleet, name, service, view),
    }
}

/// The channel that is followed: what the fleet remembers of it, and what the leader knows.
fn channel(
    fleet: &Fleet,
    name: &ServiceName,
    service: &Service,
    view: Option<&View>,
) -> Option<view::ChannelStatus> {
    let url = leader::followed(fleet, name)?;
    let heard = service.channels.get(&url);
    Some(view::ChannelStatus {
        release: heard.and_then(|heard| heard.release.clone()),
        refused: heard.and_then(|heard| heard.refused.clone()),
        trouble: view.and_then(|view| view.troubles.get(name)).cloned(),
        url,
    })
}

/// When the entry that a fence is named after was proposed, if its events are still kept.
fn granted_at(fleet: &Fleet, fence: Fence) -> Option<WallTime> {
    if fence.incarnation != fleet.incarnation {
        return None;
    }
    let at = fleet.events.partition_point(|event| event.revision < fence.revision);
    fleet.events.get(at).filter(|event| event.revision == fence.revision).map(|event| event.at)
}

fn quarantine(service: &Service) -> Vec<view::QuarantineStatus> {
    let status = |(release, why): (&ReleaseId, &Quarantine)| view::QuarantineStatus {
        release: release.clone(),
        reason: why.reason.clone(),
        rollout: why.rollout,
    };
    service.quarantine.iter().map(status).collect()
}

fn migrations(service: &Service) -> Vec<view::MigrationStatus> {
    let known = service
        .migrations
        .iter()
        .flat_map(|(release, known)| known.states().map(move |(host, state)| (release, host, state)));
    known
        .filter(|(_, _, state)| **state != MigrationState::Never)
        .map(|(release, host, state)| view::MigrationStatus {
            release: release.clone(),
            host: host.cloned(),
            state: state.clone(),
        })
        .collect()
}

fn host_status(
    service: &Service,
    host: &HostId,
    here: &HostService,
    seen: Option<&Sighting>,
    quiet: Duration,
) -> view::HostStatus {
    let part = service.active().and_then(|active| active.parts.get(host));
    let target = service.active().and_then(|active| active.target.as_ref());
    let trouble = target.and_then(|target| here.stage_trouble.get(&target.id));
    // The host's own word is worth something only while it speaks of the same phase.
    let phase = here.change.as_ref().map_or(PhaseKind::Steady, |change| change.phase);
    let same = seen.filter(|seen| seen.phase == phase);
    let said = same.and_then(|seen| seen.trouble.clone());
    view::HostStatus {
        host: host.clone(),
        address: String::new(),
        zone: None,
        current: here.current.clone(),
        change: here.change.as_ref().map(|change| view::ChangeStatus {
            fence: change.fence,
            to: change.to.clone(),
            from: change.from.clone(),
            phase: change.phase,
            // The host counted up to its last word; the leader counts on from there.
            since: same.map_or(Duration::ZERO, |seen| seen.since + quiet),
            revert: change.revert,
            rollout: change.purpose.rollout(),
            park: change.purpose == Purpose::Park,
            granted_at: None,
        }),
        availability: here.availability,
        counted: here.counted,
        excluded: here.excluded.clone(),
        parked: here.parked.clone(),
        staged: here.staged.iter().cloned().collect(),
        stage_trouble: trouble.cloned(),
        silent: None,
        pid: seen.and_then(|seen| seen.pid),
        restarts: seen.map(|seen| seen.restarts),
        trouble: said
            .or_else(|| here.out_reason.clone().filter(|_| here.change.is_none()))
            .unwrap_or_default(),
        waits_for: same.and_then(|seen| seen.waits_for.clone()).unwrap_or_default(),
        health: seen.map(|seen| health(&seen.health, quiet)),
        staging: seen.and_then(|seen| {
            Some(view::Staging { release: seen.staging.clone()?, progress: seen.staging_progress? })
        }),
        last_failure: here.failed.as_ref().map(|(release, failure)| view::HostFailure {
            host: host.clone(),
            release: Some(release.clone()),
            failure: failure.clone(),
        }),
        part: part.map(|part| part.state),
    }
}

/// The host counted up to its last word; the leader counts on from there.
fn health(seen: &Health, quiet: Duration) -> Health {
    let probe = seen.probe.clone().map(|probe| Probe { ago: probe.ago + quiet, ..probe });
    Health { probe, ..seen.clone() }
}

/// The service that a request names.
pub(super) fn name(field: &str) -> Result<ServiceName, Status> {
    let named = api::service(Some(field))?;
    named.ok_or_else(|| Status::invalid_argument("service: must be present"))
}

pub(super) fn known<'a>(fleet: &'a Fleet, name: &ServiceName) -> Result<&'a Service, Status> {
    fleet.services.get(name).ok_or_else(|| {
        let declared = fleet.services.keys().cloned().collect();
        api::refusal::refused(&Refusal::UnknownService { service: name.clone(), declared })
    })
}
