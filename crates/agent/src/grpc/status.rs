//! How the cluster is now: what is replicated, with what the leader has heard.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use api::v1::{self, deployinator_client::DeployinatorClient};
use model::{
    HostId, ServiceName,
    fleet::{Fleet, HostService, MigrationState, Service},
    host::Sighting,
    planner::TimedHold,
};
use tokio::{net::TcpStream, time::timeout};
use tonic::{Request, Status};

use super::{
    public::{Public, service_name},
    refusals,
};
use crate::{core::Core, leader::View, link::Link};

/// Metadata key of a call that another agent passes on: it is answered here, not passed on again.
const FORWARDED_KEY: &str = "deployinator-forwarded";
/// Longest wait for the leader's answer, and for its quorum.
const LEADER: Duration = Duration::from_millis(2500);
/// Longest wait for a voter to take a connection.
const REACH: Duration = Duration::from_millis(700);

pub(super) fn is_forwarded<T>(request: &Request<T>) -> bool {
    request.metadata().contains_key(FORWARDED_KEY)
}

fn forwarded<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(FORWARDED_KEY, tonic::metadata::MetadataValue::from_static("1"));
    request
}

/// The leader's view, if this agent leads and a quorum says so.
async fn reign(public: &Public, core: &Core) -> Option<View> {
    let view = public.backend().cell.parts().reign.view()?;
    core.link.node().confirm_leader(LEADER).await.then_some(view)
}

pub(super) async fn status(
    public: &Public,
    request: v1::StatusRequest,
    was_forwarded: bool,
) -> Result<v1::StatusResponse, Status> {
    let core = public.core()?;
    let service = request.service.as_deref().map(service_name).transpose()?;
    if let Some(view) = reign(public, &core).await {
        return Ok(picture(&core, service.as_ref(), Some(&view)));
    }
    if !was_forwarded && let Some(answer) = ask_leader(&core.link, request.clone()).await {
        return Ok(answer);
    }
    if !core.link.is_member() && !was_forwarded {
        // A follower has no replica; any member's old view is better than none.
        for address in core.link.members().all().into_iter().filter(|address| *address != core.link.me()) {
            if let Some(answer) = ask(&core.link, address, request.clone()).await {
                return Ok(answer);
            }
        }
    }
    let mut answer = picture(&core, service.as_ref(), None);
    answer.stale = true;
    answer.missing = missing(&core).await;
    answer.stale_reason = stale_reason(&answer.missing);
    Ok(answer)
}

fn stale_reason(missing: &[String]) -> String {
    if missing.is_empty() {
        return "no leader is known; an election may be under way".into();
    }
    format!("no leader answers; no answer from {}", missing.join(", "))
}

async fn ask_leader(link: &Link, request: v1::StatusRequest) -> Option<v1::StatusResponse> {
    let leader = link.leader().await.filter(|leader| *leader != link.me())?;
    ask(link, leader, request).await.filter(|answer| !answer.stale)
}

async fn ask(link: &Link, address: SocketAddr, request: v1::StatusRequest) -> Option<v1::StatusResponse> {
    let mut client = DeployinatorClient::new(link.channels().to(address))
        .max_decoding_message_size(api::MESSAGE_LIMIT_BYTES);
    let answer = timeout(LEADER, client.status(forwarded(request))).await.ok()?;
    answer.ok().map(tonic::Response::into_inner)
}

/// The voters that take no connection now.
pub(super) async fn missing(core: &Core) -> Vec<String> {
    let standing = core.link.node().standing().borrow().clone();
    let others = standing.voters.iter().filter(|(_, address)| **address != core.link.me());
    let asked: Vec<_> = others
        .map(|(node, address)| {
            let (address, name) = (*address, format!("{} ({address})", host_of(node.as_str())));
            tokio::spawn(async move {
                let reached = timeout(REACH, TcpStream::connect(address)).await;
                (!matches!(reached, Ok(Ok(_)))).then_some(name)
            })
        })
        .collect();
    let mut missing = Vec::new();
    for answer in asked {
        missing.extend(answer.await.ok().flatten());
    }
    missing
}

fn host_of(node: &str) -> &str {
    node.rsplit_once('.').map_or(node, |(host, _)| host)
}

fn picture(core: &Core, only: Option<&ServiceName>, view: Option<&View>) -> v1::StatusResponse {
    let fleet = core.link.node().state().borrow().clone();
    let standing = core.link.node().standing().borrow().clone();
    let services = fleet.services.iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
    let services = services.map(|(name, service)| service_status(&fleet, name, service, view)).collect();
    v1::StatusResponse {
        cluster: core.link.cluster().to_string(),
        leader: standing.leader.as_ref().map(|leader| host_of(leader.as_str()).to_owned()),
        revision: fleet.revision.0,
        answered_by: core.link.host().to_string(),
        stale: false,
        stale_reason: String::new(),
        missing: Vec::new(),
        services,
        cursor: Some(v1::Cursor { revision: fleet.revision.0, index: u32::MAX }),
    }
}

fn service_status(
    fleet: &Fleet,
    name: &ServiceName,
    service: &Service,
    view: Option<&View>,
) -> v1::ServiceStatus {
    let holds =
        view.map(|view| view.holds.iter().filter(|timed| timed.hold.service == *name).map(hold).collect());
    let hosts = fleet.declaring(name).map(|(host, here)| {
        let record = &fleet.hosts[host];
        let heard = view.and_then(|view| view.hosts.get(host));
        let seen = heard.and_then(|(_, seen)| seen.get(name));
        let mut status = host_status(service, host, here, seen);
        status.address = record.address.to_string();
        status.zone.clone_from(&record.zone);
        status.silent_ms = heard.map(|(quiet, _)| millis(*quiet));
        status
    });
    v1::ServiceStatus {
        service: name.to_string(),
        policy: Some(super::convert::policy(&service.policy)),
        active: service.active().map(super::convert::rollout),
        next: service.next().map(super::convert::rollout),
        completed: service.last_completed().map(super::convert::release),
        quarantine: service
            .quarantine
            .iter()
            .map(|(release, why)| v1::Quarantine {
                release: release.to_string(),
                reason: why.reason.clone(),
                rollout: why.rollout.map(|rollout| rollout.0),
            })
            .collect(),
        migrations: migrations(service),
        holds: holds.unwrap_or_default(),
        hosts: hosts.collect(),
        slots: Some(slots(fleet, name, service)),
        migration_lock: service.migration_lock.as_ref().map(|lock| v1::MigrationLock {
            host: lock.host.to_string(),
            fence: Some(super::convert::fence(lock.fence)),
            release: lock.release.id.to_string(),
        }),
        mixed: service.mixed,
    }
}

fn slots(fleet: &Fleet, name: &ServiceName, service: &Service) -> v1::Slots {
    let holders = fleet.declaring(name).filter(|(_, here)| here.change.is_some());
    v1::Slots {
        limit: service.policy.max_unavailable.get(),
        holders: holders.map(|(host, _)| host.to_string()).collect(),
    }
}

fn migrations(service: &Service) -> Vec<v1::Migration> {
    let known = service
        .migrations
        .iter()
        .flat_map(|(release, known)| known.states().map(move |(host, state)| (release, host, state)));
    known
        .filter(|(_, _, state)| **state != MigrationState::Never)
        .map(|(release, host, state)| v1::Migration {
            release: release.to_string(),
            host: host.map(ToString::to_string),
            state: Some(super::convert::migration(state)),
        })
        .collect()
}

fn hold(timed: &TimedHold) -> v1::Hold {
    let why = &timed.hold.why;
    v1::Hold {
        name: why.name().to_owned(),
        text: why.to_string(),
        ends_when: why.ends_when(),
        lasted_ms: millis(timed.lasted),
        ends_in_ms: timed.ends_in.map(millis),
        host: why.host().map(ToString::to_string),
        rollout: timed.hold.rollout.map(|rollout| rollout.0),
        runbook: why.name().to_owned(),
    }
}

fn host_status(
    service: &Service,
    host: &HostId,
    here: &HostService,
    seen: Option<&Sighting>,
) -> v1::HostStatus {
    let part = service.active().and_then(|active| active.parts.get(host));
    let target = service.active().and_then(|active| active.target.as_ref());
    let trouble = target.and_then(|target| here.stage_trouble.get(&target.id));
    v1::HostStatus {
        host: host.to_string(),
        address: String::new(),
        zone: None,
        current: here.current.as_ref().map(super::convert::release),
        change: here.change.as_ref().map(|change| {
            let mut shown = super::convert::change(change);
            // How long it has been so is the host's own word, and is worth something only for the same phase.
            let same = seen.filter(|seen| seen.phase == change.phase && seen.fence == Some(change.fence));
            shown.since_ms = same.map_or(0, |seen| millis(seen.since));
            shown
        }),
        availability: super::convert::availability(here.availability).into(),
        counted: here.counted,
        excluded: here.excluded.as_ref().map(super::convert::operator),
        parked: here.parked.as_ref().map(super::convert::operator),
        staged: here.staged.iter().map(ToString::to_string).collect(),
        stage_trouble: trouble.cloned(),
        silent_ms: None,
        pid: seen.and_then(|seen| seen.pid),
        restarts: seen.map(|seen| seen.restarts),
        trouble: detail(here, seen),
        waits_for: String::new(),
        last_failure: here.failed.as_ref().map(|(release, failure)| {
            let mut shown = super::convert::failure(host, failure);
            shown.release = Some(release.to_string());
            shown
        }),
        part: part.map_or(v1::PartState::Unspecified, |part| super::convert::part(part.state)).into(),
    }
}

/// What the host waits for and what went wrong last, in its own words; else why it is out.
fn detail(here: &HostService, seen: Option<&Sighting>) -> String {
    let said = seen.map(|seen| [seen.trouble.clone(), seen.waits_for.clone()]);
    let said: Vec<String> = said.into_iter().flatten().flatten().collect();
    if said.is_empty() { here.out_reason.clone().unwrap_or_default() } else { said.join("; ") }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) async fn history(
    public: &Public,
    request: v1::HistoryRequest,
) -> Result<v1::HistoryResponse, Status> {
    let core = public.core()?;
    let name = service_name(&request.service)?;
    if !core.link.is_member() {
        for address in core.link.members().all().into_iter().filter(|address| *address != core.link.me()) {
            let mut client = DeployinatorClient::new(core.link.channels().to(address))
                .max_decoding_message_size(api::MESSAGE_LIMIT_BYTES);
            if let Ok(Ok(answer)) = timeout(LEADER, client.history(forwarded(request.clone()))).await {
                return Ok(answer.into_inner());
            }
        }
        let missing = missing(&core).await;
        return Err(refusals::no_quorum(
            &format!("history of {name}"),
            "this agent follows, and no member answers",
            &missing,
        ));
    }
    let fleet = core.link.node().state().borrow().clone();
    let service = fleet.services.get(&name).ok_or_else(|| {
        let declared = fleet.services.keys().cloned().collect();
        refusals::refused(
            "history",
            &model::fleet::Refusal::UnknownService { service: name.clone(), declared },
        )
    })?;
    let limit = if request.limit == 0 { usize::MAX } else { request.limit as usize };
    let rollouts = service.rollouts.values().rev().take(limit).map(super::convert::rollout).collect();
    Ok(v1::HistoryResponse { rollouts })
}

pub(super) async fn cluster(public: &Public, was_forwarded: bool) -> Result<v1::ClusterShowResponse, Status> {
    let core = public.core()?;
    let view = reign(public, &core).await;
    if view.is_none()
        && !was_forwarded
        && let Some(leader) = core.link.leader().await.filter(|leader| *leader != core.link.me())
    {
        let mut client = DeployinatorClient::new(core.link.channels().to(leader));
        if let Ok(Ok(answer)) =
            timeout(LEADER, client.cluster_show(forwarded(v1::ClusterShowRequest {}))).await
        {
            return Ok(answer.into_inner());
        }
    }
    let standing = core.link.node().standing().borrow().clone();
    let fleet = core.link.node().state().borrow().clone();
    let members = |nodes: &BTreeMap<raft::NodeId, SocketAddr>| {
        let member = |(node, address): (&raft::NodeId, &SocketAddr)| v1::Member {
            host: host_of(node.as_str()).to_owned(),
            node: node.to_string(),
            address: address.to_string(),
        };
        nodes.iter().map(member).collect()
    };
    let silent_after = public.backend().cell.parts().settings.timers.silent_after;
    let silent = view.as_ref().map(|view| {
        let heard = |host: &HostId| view.hosts.get(host).is_some_and(|(quiet, _)| *quiet < silent_after);
        fleet.present().map(|(host, _)| host).filter(|host| !heard(host)).map(ToString::to_string).collect()
    });
    let gone = if view.is_some() { Vec::new() } else { missing(&core).await };
    Ok(v1::ClusterShowResponse {
        cluster: core.link.cluster().to_string(),
        leader: standing.leader.as_ref().map(|leader| host_of(leader.as_str()).to_owned()),
        revision: fleet.revision.0,
        answered_by: core.link.host().to_string(),
        voters: members(&standing.voters),
        learners: members(&standing.learners),
        silent: silent.unwrap_or_default(),
        stale: view.is_none(),
        stale_reason: if view.is_none() { stale_reason(&gone) } else { String::new() },
    })
}
