//! What other agents ask of this one.

use std::{pin::Pin, sync::Arc, time::Duration};

use api::v1::{
    FollowRequest, FollowResponse, FormRequest, FormResponse, HoldsRequest, HoldsResponse, HostLogsRequest,
    LogsResponse, ProposeRequest, ProposeResponse, SightRequest, SightResponse, SucceedRequest,
    SucceedResponse, agent_server::Agent,
};
use model::{HostId, fleet::Command, forming::Ask};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, metadata::MetadataValue};

use super::Backend;
use crate::{
    core::Core,
    feed::QUIET,
    forming::Knock,
    leader::Seen,
    link::{Elsewhere, LEADER_KEY, MEMBERS_KEY, VERSION},
    recovery::{News, survey},
    taken::TAKEN_KEY,
};

/// Longest wait for a command to be committed here.
const COMMIT: Duration = Duration::from_secs(3);

/// What other agents ask of this one.
pub struct Agents {
    backend: Backend,
}

impl Agents {
    /// Of this agent.
    #[must_use]
    pub fn new(backend: Backend) -> Self {
        Self { backend }
    }

    /// The core, for a sender of the same cluster and version.
    fn core(&self, version: u32, cluster: &str) -> Result<Arc<Core>, Status> {
        check_version(version)?;
        let core =
            self.backend.cell.get().ok_or_else(|| Status::unavailable("this agent is in no cluster yet"))?;
        if core.link.cluster().as_str() != cluster {
            return Err(core.stranger(cluster));
        }
        Ok(core)
    }

    fn check_name(&self, name: &str) -> Result<(), Status> {
        let ours = &self.backend.cell.parts().settings.cluster.name;
        if ours.as_str() == name {
            return Ok(());
        }
        Err(Status::permission_denied(format!("this agent is to form cluster {ours}, not {name}")))
    }
}

fn check_version(version: u32) -> Result<(), Status> {
    if version == VERSION {
        return Ok(());
    }
    Err(Status::failed_precondition(format!(
        "envelope version {version} is not known here, only {VERSION} is"
    )))
}

fn malformed(what: &str, error: &serde_json::Error) -> Status {
    Status::invalid_argument(format!("{what}: {error}"))
}

#[tonic::async_trait]
impl Agent for Agents {
    async fn propose(&self, request: Request<ProposeRequest>) -> Result<Response<ProposeResponse>, Status> {
        let ProposeRequest { version, cluster, command } = request.into_inner();
        let core = self.core(version, &cluster)?;
        let command: Command =
            serde_json::from_slice(&command).map_err(|error| malformed("the command", &error))?;
        if !core.link.is_member() {
            return Err(no_member(&core));
        }
        let (revision, reply) = core.link.offer_here(&command, COMMIT).await.map_err(not_here)?;
        let reply = serde_json::to_vec(&reply).map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(ProposeResponse { revision: revision.0, reply }))
    }

    type FollowStream = Pin<Box<dyn Stream<Item = Result<FollowResponse, Status>> + Send>>;

    async fn follow(&self, request: Request<FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        let FollowRequest { version, cluster, host } = request.into_inner();
        let core = self.core(version, &cluster)?;
        if !core.link.is_member() {
            return Err(no_member(&core));
        }
        let host: HostId = host
            .parse()
            .map_err(|error: model::ids::InvalidId| Status::invalid_argument(error.to_string()))?;
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(lead_along(core, host, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn sight(&self, request: Request<SightRequest>) -> Result<Response<SightResponse>, Status> {
        let SightRequest { version, cluster, host, sightings } = request.into_inner();
        let core = self.core(version, &cluster)?;
        let host: HostId = host
            .parse()
            .map_err(|error: model::ids::InvalidId| Status::invalid_argument(error.to_string()))?;
        let seen: Seen =
            serde_json::from_slice(&sightings).map_err(|error| malformed("the sightings", &error))?;
        if self.backend.cell.parts().reign.hear(&host, seen) {
            return Ok(Response::new(SightResponse {}));
        }
        if !core.link.is_member() {
            return Err(no_member(&core));
        }
        Err(not_here(Elsewhere::new(core.link.leader(), "this agent does not lead")))
    }

    type HostLogsStream = Pin<Box<dyn Stream<Item = Result<LogsResponse, Status>> + Send>>;

    async fn host_logs(
        &self,
        request: Request<HostLogsRequest>,
    ) -> Result<Response<Self::HostLogsStream>, Status> {
        let HostLogsRequest { version, cluster, host, request } = request.into_inner();
        let core = self.core(version, &cluster)?;
        if core.link.host().as_str() != host {
            let ours = core.link.host();
            return Err(Status::failed_precondition(format!("this is the agent of {ours}, not of {host}")));
        }
        Ok(Response::new(super::logs::this_host(&self.backend, core.link.host(), request)?))
    }

    async fn form(&self, request: Request<FormRequest>) -> Result<Response<FormResponse>, Status> {
        let FormRequest { version, name, question } = request.into_inner();
        check_version(version)?;
        self.check_name(&name)?;
        let ask: Ask =
            serde_json::from_slice(&question).map_err(|error| malformed("the question", &error))?;
        let (reply, answer) = oneshot::channel();
        let closed = || Status::unavailable("this agent is stopping");
        self.backend.knocks.send(Knock::Asked(ask, reply)).await.map_err(|_| closed())?;
        let answer = answer.await.map_err(|_| Status::unavailable("the question was not answered"))?;
        let answer = serde_json::to_vec(&answer).map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(FormResponse { answer }))
    }

    async fn holds(&self, request: Request<HoldsRequest>) -> Result<Response<HoldsResponse>, Status> {
        let HoldsRequest { version, cluster, name } = request.into_inner();
        check_version(version)?;
        self.check_name(&name)?;
        Ok(Response::new(survey::here(&*self.core(version, &cluster)?)))
    }

    async fn succeed(&self, request: Request<SucceedRequest>) -> Result<Response<SucceedResponse>, Status> {
        let SucceedRequest { version, name, succession, members } = request.into_inner();
        check_version(version)?;
        self.check_name(&name)?;
        let succession =
            serde_json::from_slice(&succession).map_err(|error| malformed("the succession", &error))?;
        let members = members.iter().filter_map(|address| address.parse().ok()).collect();
        let (reply, answer) = oneshot::channel();
        let stopping = || Status::unavailable("this agent is stopping");
        let knock = Knock::Succeeded(News { succession, members }, Some(reply));
        self.backend.knocks.send(knock).await.map_err(|_| stopping())?;
        Ok(Response::new(SucceedResponse { follows: answer.await.map_err(|_| stopping())? }))
    }
}

fn not_here(elsewhere: Elsewhere) -> Status {
    let mut status = Status::failed_precondition(elsewhere.why);
    if let Some(leader) = elsewhere.leader.and_then(|leader| leader.to_string().parse().ok()) {
        status.metadata_mut().insert(LEADER_KEY, leader);
    }
    if elsewhere.taken {
        status.metadata_mut().insert(TAKEN_KEY, MetadataValue::from_static("1"));
    }
    status
}

/// Who follows, or has lost its group, names whom it would ask itself. A newcomer may know nobody else.
fn no_member(core: &Core) -> Status {
    let why = "this agent is no member of the group itself".to_owned();
    let leader = core.link.leader().filter(|leader| *leader != core.link.me());
    let mut status = not_here(Elsewhere::new(leader, why));
    let members = core.link.members().members();
    let members = members.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    if let Ok(members) = members.parse() {
        status.metadata_mut().insert(MEMBERS_KEY, members);
    }
    status
}

/// Sends a follower its assignment after each change, and often enough that silence means a broken stream.
async fn lead_along(core: Arc<Core>, host: HostId, to: mpsc::Sender<Result<FollowResponse, Status>>) {
    let mut state = core.link.node().state();
    let mut last = None;
    let mut beat = tokio::time::interval(QUIET / 3);
    while core.link.is_member() {
        let assignment = state.borrow_and_update().assignment(&host);
        // A change elsewhere in the fleet is none for this host; its revision goes with the next beat.
        let unchanged = last.as_ref().is_some_and(|last: &model::fleet::Assignment| {
            (&last.services, last.enrolled, &last.introduced_by)
                == (&assignment.services, assignment.enrolled, &assignment.introduced_by)
        });
        if !unchanged && send(&core, &assignment, &to).await.is_err() {
            return;
        }
        last = Some(assignment);
        tokio::select! {
            () = to.closed() => return,
            changed = state.changed() => if changed.is_err() { return },
            _ = beat.tick() => {
                if let Some(last) = &last && send(&core, last, &to).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn send(
    core: &Core,
    assignment: &model::fleet::Assignment,
    to: &mpsc::Sender<Result<FollowResponse, Status>>,
) -> Result<(), ()> {
    let assignment = serde_json::to_vec(assignment).map_err(|_| ())?;
    let members = crate::core::member_addresses(core.link.node()).iter().map(ToString::to_string).collect();
    to.send(Ok(FollowResponse { assignment, members })).await.map_err(|_| ())
}
