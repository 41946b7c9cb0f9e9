//! Streams of events. They are numbered by revision, so that a client goes on at another agent where it was.

use std::{pin::Pin, sync::Arc, time::Duration};

use api::v1::{self, deployinator_client::DeployinatorClient};
use model::{
    RolloutId, ServiceName,
    fleet::{EXIT_HALTED, Event, Fleet, Outcome, Rollout, RolloutPhase},
};
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Status, transport::Channel};

use super::{
    public::{Public, service_name},
    refusals, status,
};
use crate::core::Core;

/// Time between two pictures of a rollout that is watched.
const PICTURE: Duration = Duration::from_millis(500);
/// What may wait in a stream for a slow reader; then the stream waits for the reader, and nothing is lost.
const QUEUE: usize = 64;
/// Longest wait for this replica to see a rollout that another one has accepted.
const CATCH_UP: Duration = Duration::from_secs(5);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Sender<T> = mpsc::Sender<Result<T, Status>>;

/// Where a stream is: everything up to here was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u64, u32);

impl From<v1::Cursor> for Place {
    fn from(cursor: v1::Cursor) -> Self {
        Self(cursor.revision, cursor.index)
    }
}

/// A stream ends when its reader has gone.
struct Gone;

pub(super) async fn events(
    public: &Public,
    request: v1::EventsRequest,
) -> Result<Answers<v1::EventsResponse>, Status> {
    let core = public.core()?;
    if !core.link.is_member() {
        let mut last = no_member();
        for mut member in members(&core) {
            match member.events(request.clone()).await {
                Ok(stream) => return Ok(Box::pin(stream.into_inner())),
                Err(status) => last = status,
            }
        }
        return Err(last);
    }
    let service = request.service.as_deref().map(service_name).transpose()?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    let place = request.after.map_or(Place(0, 0), Place::from);
    let resumed = request.after.is_some();
    tokio::spawn(async move {
        // The reader has gone, or wanted only what there was.
        let _ = send_events(&core, service, place, resumed, request.follow, &sender).await;
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

async fn send_events(
    core: &Core,
    service: Option<ServiceName>,
    mut place: Place,
    resumed: bool,
    follow: bool,
    to: &Sender<v1::EventsResponse>,
) -> Result<(), Gone> {
    let mut state = core.link.node().state();
    let mut resumed = resumed;
    loop {
        let fleet = state.borrow_and_update().clone();
        if let Some(gap) = gap(&fleet, place).filter(|_| resumed) {
            send(to, v1::EventsResponse { item: Some(v1::events_response::Item::Gap(gap)) }).await?;
        }
        // From now on the stream is complete, and a reader so slow that it falls behind is told.
        resumed = true;
        for event in since(&fleet, place) {
            place = Place(event.revision.0, event.index);
            if service.is_none() || event.service == service {
                let item = v1::events_response::Item::Event(super::convert::event(&event));
                send(to, v1::EventsResponse { item: Some(item) }).await?;
            }
        }
        place = place.max(Place(fleet.revision.0, u32::MAX));
        if !follow {
            return Ok(());
        }
        tokio::select! {
            () = to.closed() => return Err(Gone),
            changed = state.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}

fn since(fleet: &Fleet, place: Place) -> impl Iterator<Item = Arc<Event>> {
    let newer = fleet.events.iter().filter(move |event| place < Place(event.revision.0, event.index));
    newer.cloned().collect::<Vec<_>>().into_iter()
}

fn gap(fleet: &Fleet, place: Place) -> Option<v1::Gap> {
    let lost = place.0 < fleet.forgotten.0;
    let first = fleet.events.front().filter(|_| lost)?;
    Some(v1::Gap { resumes_at: Some(v1::Cursor { revision: first.revision.0, index: first.index }) })
}

pub(super) async fn watch(
    public: &Public,
    request: v1::WatchRequest,
) -> Result<Answers<v1::WatchResponse>, Status> {
    let core = public.core()?;
    if !core.link.is_member() {
        let mut last = no_member();
        for mut member in members(&core) {
            match member.watch(request.clone()).await {
                Ok(stream) => return Ok(Box::pin(stream.into_inner())),
                Err(status) => last = status,
            }
        }
        return Err(last);
    }
    let service = service_name(&request.service)?;
    let rollout = find(&core, &service, request.rollout.map(RolloutId)).await?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    let place = request.after.map_or(Place(rollout.0.saturating_sub(1), u32::MAX), Place::from);
    let public = public.clone();
    tokio::spawn(async move {
        let watcher = Watcher { public, core, service, rollout, to: sender };
        // The reader has gone, or was told the end.
        let _ = watcher.run(place).await;
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

/// The rollout that was asked for, once this replica knows it; else the one under way, or the last.
async fn find(core: &Core, service: &ServiceName, asked: Option<RolloutId>) -> Result<RolloutId, Status> {
    let mut state = core.link.node().state();
    if let Some(asked) = asked {
        // The entry that made it may not have reached this replica yet.
        let _ = tokio::time::timeout(CATCH_UP, state.wait_for(|fleet| asked.0 <= fleet.revision.0)).await;
    }
    let fleet = state.borrow().clone();
    let attempted = format!("watch {service}");
    let known = fleet.services.get(service).ok_or_else(|| {
        let declared = fleet.services.keys().cloned().collect();
        refusals::refused(
            &attempted,
            &model::fleet::Refusal::UnknownService { service: service.clone(), declared },
        )
    })?;
    let found = match asked {
        Some(asked) => known.rollouts.get(&asked).map(|rollout| rollout.id),
        None => known.active.or_else(|| known.rollouts.keys().next_back().copied()),
    };
    found.ok_or_else(|| refusals::refused(&attempted, &model::fleet::Refusal::NoRollout))
}

struct Watcher {
    public: Public,
    core: Arc<Core>,
    service: ServiceName,
    rollout: RolloutId,
    to: Sender<v1::WatchResponse>,
}

impl Watcher {
    async fn run(&self, mut place: Place) -> Result<(), Gone> {
        let mut state = self.core.link.node().state();
        let mut pictures = tokio::time::interval(PICTURE);
        let mut last = None;
        loop {
            let fleet = state.borrow_and_update().clone();
            if let Some(gap) = gap(&fleet, place) {
                self.send(v1::watch_response::Item::Gap(gap)).await?;
                last = None;
            }
            for event in since(&fleet, place) {
                place = Place(event.revision.0, event.index);
                if event.service.as_ref() == Some(&self.service) {
                    self.send(v1::watch_response::Item::Event(super::convert::event(&event))).await?;
                }
            }
            place = place.max(Place(fleet.revision.0, u32::MAX));
            if let Some(ended) = self.ended(&fleet) {
                self.picture(&mut last).await?;
                return self.send(v1::watch_response::Item::Ended(ended)).await;
            }
            tokio::select! {
                () = self.to.closed() => return Err(Gone),
                changed = state.changed() => if changed.is_err() { return Ok(()) },
                _ = pictures.tick() => self.picture(&mut last).await?,
            }
        }
    }

    /// Sends how the service is now, if that has changed.
    async fn picture(&self, last: &mut Option<v1::StatusResponse>) -> Result<(), Gone> {
        let request = v1::StatusRequest { service: Some(self.service.to_string()) };
        let Ok(now) = status::status(&self.public, request, false).await else { return Ok(()) };
        if last.as_ref() == Some(&now) {
            return Ok(());
        }
        *last = Some(now.clone());
        self.send(v1::watch_response::Item::Picture(now)).await
    }

    async fn send(&self, item: v1::watch_response::Item) -> Result<(), Gone> {
        send(&self.to, v1::WatchResponse { item: Some(item) }).await
    }

    /// How the rollout ended, the roll back that it caused included; or that it is halted until an operator decides.
    fn ended(&self, fleet: &Fleet) -> Option<v1::Ended> {
        let rollouts = &fleet.services.get(&self.service)?.rollouts;
        let rollout = rollouts.get(&self.rollout)?;
        let rollback = rollouts.values().find(|other| {
            matches!(other.kind, model::fleet::RolloutKind::RollbackOf { rollout, .. } if rollout == self.rollout)
        });
        let ended = |outcome: v1::Outcome, exit_code: u8, reason: String, next: &str| v1::Ended {
            rollout: rollout.id.0,
            outcome: outcome.into(),
            exit_code: exit_code.into(),
            rollback: rollback.map(|rollback| rollback.id.0),
            rollback_outcome: rollback
                .and_then(Rollout::outcome)
                .map(|outcome| super::convert::outcome(outcome).into()),
            superseded_by: match rollout.outcome() {
                Some(Outcome::Superseded { by }) => Some(by.0),
                _ => None,
            },
            reason,
            next: next.to_owned(),
            failures: rollout.failures.iter().map(|(h, f)| super::convert::failure(h, f)).collect(),
        };
        match &rollout.phase {
            RolloutPhase::Ended { outcome } => {
                let why =
                    rollout.failures.first().map(|(host, failure)| format!("{host}: {}", failure.reason));
                let why = why.or_else(|| quarantined(fleet, rollout)).unwrap_or_default();
                Some(ended(super::convert::outcome(outcome), outcome.exit_code(), why, next(outcome)))
            }
            RolloutPhase::Halted { why, .. } => {
                let next = "`deployinator status` says why; then `resume` or `abort`";
                Some(ended(v1::Outcome::Halted, EXIT_HALTED, why.to_string(), next))
            }
            _ => None,
        }
    }
}

fn quarantined(fleet: &Fleet, rollout: &Rollout) -> Option<String> {
    let target = rollout.target.as_ref()?;
    Some(fleet.services.get(&rollout.service)?.quarantine.get(&target.id)?.reason.clone())
}

fn next(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Completed | Outcome::Aborted => "",
        Outcome::Superseded { .. } => "watch the rollout that took its place",
        Outcome::FailedInMigration | Outcome::Failed | Outcome::RolledBack => {
            "mend the release and push it again; this one is quarantined"
        }
        Outcome::RollbackFailed => "`deployinator status` names the hosts that did not come back",
    }
}

async fn send<T>(to: &Sender<T>, item: T) -> Result<(), Gone> {
    to.send(Ok(item)).await.map_err(|_| Gone)
}

/// The members of the group, for an agent that is none: one that does not answer is passed over.
fn members(core: &Core) -> Vec<DeployinatorClient<Channel>> {
    let others = core.link.members().all().into_iter().filter(|address| *address != core.link.me());
    let client = |address| {
        DeployinatorClient::new(core.link.channels().to(address))
            .max_decoding_message_size(api::MESSAGE_LIMIT_BYTES)
    };
    others.map(client).collect()
}

fn no_member() -> Status {
    Status::unavailable("this agent follows, and knows no member of the group")
}
