//! An agent with scripted answers, for the tests of clients. It listens on loopback, on a port of its own.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::{Stream, StreamExt as _, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    Address,
    v1::{self, cluster_backup_response::Item},
    view::{EventItem, LogItem, PushPreview, Pushed, Recovery, WatchItem},
};

/// One thing that a scripted stream does.
#[derive(Debug, Clone)]
pub enum Play<T> {
    /// Sends a message.
    Say(T),
    /// Breaks off with this status, or as if the agent had died.
    Cut(Option<Status>),
    /// Says nothing for so long.
    Silence(Duration),
    /// Stays open and silent.
    Stay,
}

/// What the agent answers, and what it was asked.
#[derive(Default)]
pub struct Script {
    /// To a push and a roll back; unavailable where there is none.
    pub push: Option<Result<Pushed, Status>>,
    /// To a question what a push would do; unavailable where there is none.
    pub preview: Option<Result<PushPreview, Status>>,
    /// To a question for the status; unavailable where there is none.
    pub status: Option<Result<v1::StatusResponse, Status>>,
    /// To the next questions for the status, one each; after them, `status`.
    pub statuses: VecDeque<v1::StatusResponse>,
    /// After `statuses`, questions for the status are taken and never answered.
    pub silent: bool,
    /// To a question for the history.
    pub history: v1::HistoryResponse,
    /// To a question for the cluster; unavailable where there is none.
    pub cluster: Option<Result<v1::ClusterShowResponse, Status>>,
    /// To a question for a backup, the file itself; unavailable where there is none.
    pub backup: Option<(v1::Backup, Vec<u8>)>,
    /// To a recovery; unavailable where there is none.
    pub recovery: Option<Result<Recovery, Status>>,
    /// Whatever operators ask is refused with this; done where there is none.
    pub refusal: Option<Status>,
    /// One for each watch, in order; unavailable when they are used up.
    pub watches: VecDeque<Vec<Play<WatchItem>>>,
    /// The same for streams of events.
    pub events: VecDeque<Vec<Play<EventItem>>>,
    /// The same for streams of output.
    pub logs: VecDeque<Vec<Play<LogItem>>>,
    /// Every push received.
    pub pushed: Vec<v1::PushRequest>,
    /// Every roll back received.
    pub rolled_back: Vec<v1::RollbackRequest>,
    /// Every watch received.
    pub watched: Vec<v1::WatchRequest>,
    /// Every stream of events asked for.
    pub followed: Vec<v1::EventsRequest>,
    /// Every stream of output asked for.
    pub read: Vec<v1::LogsRequest>,
    /// Whatever operators asked, in order.
    pub operated: Vec<Operated>,
}

/// What an operator asked.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each is named as its call is")]
pub enum Operated {
    Restart(v1::RestartRequest),
    Bootstrap(v1::ClusterBootstrapRequest),
    Recover(Vec<v1::ClusterRecoverRequest>),
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
    Remove(v1::RemoveHostRequest),
}

/// An agent with scripted answers. Ends when it is dropped.
pub struct FakeAgent {
    address: Address,
    script: Arc<Mutex<Script>>,
    serving: JoinHandle<()>,
}

impl FakeAgent {
    /// Starts one.
    ///
    /// # Panics
    /// When no port of the loopback device is free.
    pub async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port on loopback");
        let address = listener.local_addr().expect("an address of its own").to_string();
        let script = Arc::new(Mutex::new(script));
        let server =
            tonic::transport::Server::builder().add_service(crate::server(Playing(Arc::clone(&script))));
        let serving = tokio::spawn(async move {
            // Ends by being dropped; a fault shows in the client that is tested.
            let _ = server.serve_with_incoming(TcpListenerStream::new(listener)).await;
        });
        Self { address: address.parse().expect("an address"), script, serving }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What it answers from now on, and what it was asked.
    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Playing(Arc<Mutex<Script>>);

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn unscripted() -> Status {
    Status::unavailable("nothing is scripted")
}

impl Playing {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pushed(&self) -> Result<Response<v1::PushResponse>, Status> {
        let answer = self.script().push.clone().unwrap_or_else(|| Err(unscripted()));
        answer.map(|pushed| Response::new(pushed.into()))
    }

    fn operated(&self, asked: Operated) -> Result<Response<v1::OperateResponse>, Status> {
        let mut script = self.script();
        script.operated.push(asked);
        match &script.refusal {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(Response::new(v1::OperateResponse { revision: 43 })),
        }
    }
}

fn play<T, M>(plays: Option<Vec<Play<T>>>) -> Result<Response<Messages<M>>, Status>
where
    T: Into<M> + Send + 'static,
    M: Send + 'static,
{
    let plays = plays.ok_or_else(unscripted)?;
    let stays = matches!(plays.last(), Some(Play::Stay));
    let message = async |play| match play {
        Play::Say(item) => Some(Ok(T::into(item))),
        Play::Cut(status) => Some(Err(status.unwrap_or_else(|| Status::unavailable("the agent is gone")))),
        Play::Silence(time) => {
            tokio::time::sleep(time).await;
            None
        }
        Play::Stay => None,
    };
    let messages = tokio_stream::iter(plays).then(message).filter_map(|message| message);
    if stays {
        return Ok(Response::new(Box::pin(messages.chain(tokio_stream::pending()))));
    }
    Ok(Response::new(Box::pin(messages)))
}

/// The answer to every call of one kind.
type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl v1::deployinator_server::Deployinator for Playing {
    type WatchStream = Messages<v1::WatchResponse>;
    type EventsStream = Messages<v1::EventsResponse>;
    type LogsStream = Messages<v1::LogsResponse>;

    async fn push(&self, request: Request<v1::PushRequest>) -> Answer<v1::PushResponse> {
        self.script().pushed.push(request.into_inner());
        self.pushed()
    }

    async fn preview_push(&self, _: Request<v1::PreviewPushRequest>) -> Answer<v1::PreviewPushResponse> {
        let answer = self.script().preview.clone().unwrap_or_else(|| Err(unscripted()));
        answer.map(|preview| Response::new(preview.into()))
    }

    async fn rollback(&self, request: Request<v1::RollbackRequest>) -> Answer<v1::PushResponse> {
        self.script().rolled_back.push(request.into_inner());
        self.pushed()
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Answer<Self::WatchStream> {
        let plays = {
            let mut script = self.script();
            script.watched.push(request.into_inner());
            script.watches.pop_front()
        };
        play(plays)
    }

    async fn status(&self, _: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        let answer = {
            let mut script = self.script();
            let next = script.statuses.pop_front().map(Ok);
            if next.is_none() && script.silent { None } else { Some(next.or_else(|| script.status.clone())) }
        };
        let Some(answer) = answer else { return std::future::pending().await };
        answer.unwrap_or_else(|| Err(unscripted())).map(Response::new)
    }

    async fn history(&self, _: Request<v1::HistoryRequest>) -> Answer<v1::HistoryResponse> {
        Ok(Response::new(self.script().history.clone()))
    }

    async fn events(&self, request: Request<v1::EventsRequest>) -> Answer<Self::EventsStream> {
        let plays = {
            let mut script = self.script();
            script.followed.push(request.into_inner());
            script.events.pop_front()
        };
        play(plays)
    }

    async fn logs(&self, request: Request<v1::LogsRequest>) -> Answer<Self::LogsStream> {
        let plays = {
            let mut script = self.script();
            script.read.push(request.into_inner());
            script.logs.pop_front()
        };
        play(plays)
    }

    async fn restart(&self, request: Request<v1::RestartRequest>) -> Answer<v1::PushResponse> {
        self.script().operated.push(Operated::Restart(request.into_inner()));
        self.pushed()
    }

    async fn cluster_bootstrap(
        &self,
        request: Request<v1::ClusterBootstrapRequest>,
    ) -> Answer<v1::ClusterBootstrapResponse> {
        self.operated(Operated::Bootstrap(request.into_inner()))?;
        Ok(Response::new(v1::ClusterBootstrapResponse {}))
    }

    type ClusterBackupStream = Messages<v1::ClusterBackupResponse>;

    async fn cluster_backup(
        &self,
        _: Request<v1::ClusterBackupRequest>,
    ) -> Answer<Self::ClusterBackupStream> {
        let (about, file) = self.script().backup.clone().ok_or_else(unscripted)?;
        let items = [Item::About(about), Item::Content(file)];
        let items = items.map(|item| Ok(v1::ClusterBackupResponse { item: Some(item) }));
        Ok(Response::new(Box::pin(tokio_stream::iter(items))))
    }

    async fn cluster_recover(
        &self,
        request: Request<Streaming<v1::ClusterRecoverRequest>>,
    ) -> Answer<v1::ClusterRecoverResponse> {
        let (mut parts, mut asked) = (request.into_inner(), Vec::new());
        while let Some(part) = parts.message().await? {
            asked.push(part);
        }
        let dry_run = asked.first().is_some_and(|first| first.dry_run);
        let mut script = self.script();
        script.operated.push(Operated::Recover(asked));
        let answer = script.recovery.clone().unwrap_or_else(|| Err(unscripted()))?;
        let cluster = answer.cluster.clone().filter(|_| !dry_run);
        Ok(Response::new(Recovery { cluster, ..answer }.into()))
    }

    async fn cluster_show(&self, _: Request<v1::ClusterShowRequest>) -> Answer<v1::ClusterShowResponse> {
        let answer = self.script().cluster.clone().unwrap_or_else(|| Err(unscripted()));
        answer.map(Response::new)
    }

    async fn pause(&self, request: Request<v1::PauseRequest>) -> Answer<v1::OperateResponse> {
        self.operated(Operated::Pause(request.into_inner()))
    }

    async fn resume(&self, request: Request<v1::ResumeRequest>) -> Answer<v1::OperateResponse> {
        self.operated(Operated::Resume(request.into_inner()))
    }

    async fn abort(&self, request: Request<v1::AbortRequest>) -> Answer<v1::OperateResponse> {
        self.operated(Operated::Abort(request.into_inner()))
    }

    async fn set_policy(&self, request: Request<v1::SetPolicyRequest>) -> Answer<v1::OperateResponse> {
        self.operated(Operated::SetPolicy(request.into_inner()))
    }

    async fn resolve_migration(
        &self,
        request: Request<v1::ResolveMigrationRequest>,
    ) -> Answer<v1::OperateResponse> {
        self.operated(Operated::ResolveMigration(request.into_inner()))
    }

    async fn release_quarantine(
        &self,
        request: Request<v1::ReleaseQuarantineRequest>,
    ) -> Answer<v1::OperateResponse> {
        self.operated(Operated::ReleaseQuarantine(request.into_inner()))
    }

    async fn break_lock(&self, request: Request<v1::BreakLockRequest>) -> Answer<v1::OperateResponse> {
        self.operated(Operated::BreakLock(request.into_inner()))
    }

    async fn exclude_host(&self, request: Request<v1::HostRequest>) -> Answer<v1::OperateResponse> {
        self.operated(Operated::Exclude(request.into_inner()))
    }

    async fn include_host(&self, request: Request<v1::HostRequest>) -> Answer<v1::OperateResponse> {
        self.operated(Operated::Include(request.into_inner()))
    }

    async fn drain_host(&self, request: Request<v1::HostRequest>) -> Answer<v1::OperateResponse> {
        self.operated(Operated::Drain(request.into_inner()))
    }

    async fn admit_host(&self, request: Request<v1::HostRequest>) -> Answer<v1::OperateResponse> {
        self.operated(Operated::Admit(request.into_inner()))
    }

    async fn remove_host(&self, request: Request<v1::RemoveHostRequest>) -> Answer<v1::OperateResponse> {
        self.operated(Operated::Remove(request.into_inner()))
    }
}
