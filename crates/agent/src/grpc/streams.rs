//! Streams of events. They are numbered by revision, so that a client goes on at another agent where it was.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use api::{
    refusal, v1,
    view::{Cursor, Ended, EventItem, Gap, HostFailure, SeenEvent, Verdict, WatchItem},
};
use model::{
    Revision, RolloutId, ServiceName,
    fleet::{Event, Fleet, Outcome, Refusal, Rollout, RolloutKind, RolloutPhase},
    planner::Hold,
};
use tokio::{
    sync::mpsc::{self, error::SendTimeoutError},
    time::Instant,
};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::Status;

use super::{
    passed::{self, Answers, Passed},
    public::Public,
    refusals, status,
};
use crate::core::Core;

/// Time between two looks at whether the replica is still a good one.
const LOOK: Duration = Duration::from_millis(500);
/// A reader that takes nothing for so long is let go; when it reads again, it is told to ask again.
const STALLED: Duration = Duration::from_secs(60);
/// What may wait in a stream for a slow reader; then the stream waits for the reader, and nothing is lost.
const QUEUE: usize = 64;
/// How long a stream lasts that was read from an old replica from its beginning.
const OLD_FOR: Duration = Duration::from_secs(10);
/// Longest wait for this replica to see a rollout that another one has accepted.
const CATCH_UP: Duration = Duration::from_secs(5);

/// A stream ends when its reader has gone.
struct Gone;

/// Where a stream is written to.
struct Sender<T> {
    queue: mpsc::Sender<Result<T, Status>>,
    /// The reader took nothing for too long.
    stalled: Arc<AtomicBool>,
}

impl<T: Send + 'static> Sender<T> {
    /// A stream, and where it is written to.
    fn stream() -> (Self, Answers<T>) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let stalled = Arc::new(AtomicBool::new(false));
        let was_stalled = stalled.clone();
        let last = tokio_stream::once(()).filter_map(move |()| {
            let text =
                "nothing of this stream was read for too long; ask again, from the last event that was seen";
            was_stalled.load(Ordering::Acquire).then(|| Err(Status::unavailable(text)))
        });
        (Self { queue, stalled }, Box::pin(ReceiverStream::new(receiver).chain(last)))
    }

    async fn send(&self, item: T) -> Result<(), Gone> {
        match self.queue.send_timeout(Ok(item), STALLED).await {
            Ok(()) => Ok(()),
            Err(SendTimeoutError::Closed(_)) => Err(Gone),
            Err(SendTimeoutError::Timeout(_)) => {
                self.stalled.store(true, Ordering::Release);
                Err(Gone)
            }
        }
    }

    /// Ends a stream whose replica is none any more.
    async fn lost(&self) -> Result<(), Gone> {
        let lost = Status::unavailable("this agent has lost its group; ask again");
        let _ = self.queue.send_timeout(Err(lost), STALLED).await;
        Err(Gone)
    }

    async fn closed(&self) {
        self.queue.closed().await;
    }
}

pub(super) async fn events(
    public: &Public,
    request: v1::EventsRequest,
    passed: Passed,
) -> Result<Answers<v1::EventsResponse>, Status> {
    let ask = |mut member: passed::Client, passed: Passed| {
        let request = passed.mark(request.clone());
        async move { member.events(request).await }
    };
    let (core, room) = match passed::answering(public, passed, ask).await? {
        passed::Answering::Here(core, room) => (core, room),
        passed::Answering::Elsewhere(stream) => return Ok(stream),
    };
    let service = api::service(request.service.as_deref())?;
    if let Some(service) = &service {
        let fleet = core.link.node().state().borrow().clone();
        let named = fleet.events.iter().any(|event| event.service.as_ref() == Some(service));
        if !named {
            // What nobody declares any more may still have had its day.
            status::known(&fleet, service)?;
        }
    }
    let (sender, stream) = Sender::stream();
    let place = request.after.map(Cursor::from).unwrap_or_default();
    let resumed = request.after.is_some();
    tokio::spawn(async move {
        // The reader has gone, or wanted only what there was.
        let _ = send_events(&core, service, place, resumed, request.follow, &sender).await;
        drop(room);
    });
    Ok(stream)
}

async fn send_events(
    core: &Core,
    service: Option<ServiceName>,
    mut place: Cursor,
    resumed: bool,
    follow: bool,
    to: &Sender<v1::EventsResponse>,
) -> Result<(), Gone> {
    let mut state = core.link.node().state();
    let mut resumed = resumed;
    let replica = Replica::of(core);
    let mut looks = tokio::time::interval(LOOK);
    loop {
        let News { gap, events, revision } = News::since(&state.borrow_and_update(), place);
        if let Some(gap) = gap.filter(|_| resumed) {
            to.send(EventItem::Gap(gap).into()).await?;
        }
        // From now on the stream is complete, and a reader so slow that it falls behind is told.
        resumed = true;
        for event in events {
            place = at(&event);
            if service.is_none() || event.service == service {
                to.send(EventItem::Event(SeenEvent::from(&*event)).into()).await?;
            }
        }
        place = place.max(Cursor::end_of(revision));
        if !follow {
            return Ok(());
        }
        tokio::select! {
            () = to.closed() => return Err(Gone),
            changed = state.changed() => if changed.is_err() { return Ok(()) },
            _ = looks.tick() => if replica.has_aged(core) { return to.lost().await },
        }
    }
}

/// The replica that a stream is read from. One that was good when the stream began ends the stream when its group goes on without it, or
/// has no majority; one that was old already does so after a while. Whoever reads asks again, and is sent to the best there is then.
struct Replica {
    was_good: bool,
    began: Instant,
}

impl Replica {
    fn of(core: &Core) -> Self {
        Self { was_good: core.link.is_member(), began: Instant::now() }
    }

    fn has_aged(&self, core: &Core) -> bool {
        !core.link.is_member() && (self.was_good || OLD_FOR < self.began.elapsed())
    }
}

/// What has happened since somewhere. Taken out of the state before any of it is sent: whoever keeps a state while a reader takes its time
/// makes the next change copy it, and keeps the copy.
struct News {
    gap: Option<Gap>,
    events: Vec<Arc<Event>>,
    revision: Revision,
}

impl News {
    fn since(fleet: &Fleet, place: Cursor) -> Self {
        // The last ones are looked at first: as a rule there are only a few.
        let mut events: Vec<_> =
            fleet.events.iter().rev().take_while(|event| place < at(event)).cloned().collect();
        events.reverse();
        Self { gap: gap(fleet, place), events, revision: fleet.revision }
    }
}

fn at(event: &Event) -> Cursor {
    Cursor { revision: event.revision, index: event.index }
}

fn gap(fleet: &Fleet, place: Cursor) -> Option<Gap> {
    let lost = place.revision < fleet.forgotten;
    let first = fleet.events.front().filter(|_| lost)?;
    Some(Gap { resumes_at: at(first) })
}

pub(super) async fn watch(
    public: &Public,
    request: v1::WatchRequest,
    passed: Passed,
) -> Result<Answers<v1::WatchResponse>, Status> {
    let ask = |mut member: passed::Client, passed: Passed| {
        let request = passed.mark(request.clone());
        async move { member.watch(request).await }
    };
    let (core, room) = match passed::answering(public, passed, ask).await? {
        passed::Answering::Here(core, room) => (core, room),
        passed::Answering::Elsewhere(stream) => return Ok(stream),
    };
    let service = status::name(&request.service)?;
    let rollout = find(public, &core, &service, request.rollout.map(RolloutId)).await?;
    let (sender, stream) = Sender::stream();
    let before = Cursor::end_of(Revision(rollout.0.saturating_sub(1)));
    let place = request.after.map_or(before, Cursor::from);
    let public = public.clone();
    tokio::spawn(async move {
        let watcher = Watcher { public, core, service, rollout, to: sender };
        // The reader has gone, or was told the end.
        let _ = watcher.run(place).await;
        drop(room);
    });
    Ok(stream)
}

/// The rollout that was asked for; else the one under way, or the last, and not the roll back that it caused. This replica first sees all
/// that was there when it was asked: a push or an abort that another agent has just accepted must not be overlooked.
async fn find(
    public: &Public,
    core: &Core,
    service: &ServiceName,
    asked: Option<RolloutId>,
) -> Result<RolloutId, Status> {
    let mut state = core.link.node().state();
    let newest =
        status::status(public, v1::StatusRequest { service: Some(service.to_string()) }, Passed::Not).await;
    let seen_by = match (asked, newest) {
        // The leader knows of every rollout that was accepted before it was asked.
        (_, Ok(newest)) if !newest.stale => newest.revision,
        // A rollout is named by the entry that made it; what was done about it since counts too.
        (Some(asked), newest) => newest.map_or(asked.0, |newest| newest.revision.max(asked.0)),
        (None, newest) => newest?.revision,
    };
    // Without a leader this replica's word is all there is.
    let _ = tokio::time::timeout(CATCH_UP, state.wait_for(|fleet| seen_by <= fleet.revision.0)).await;
    let fleet = state.borrow().clone();
    let known = status::known(&fleet, service)?;
    let found = match asked {
        Some(asked) => known.rollouts.get(&asked).map(|rollout| rollout.id),
        None => known.meant(),
    };
    found.ok_or_else(|| match asked {
        Some(asked) => refusals::no_such_rollout(service, asked),
        None => refusal::refused_of(service, &Refusal::NoRollout),
    })
}

struct Watcher {
    public: Public,
    core: Arc<Core>,
    service: ServiceName,
    rollout: RolloutId,
    to: Sender<v1::WatchResponse>,
}

impl Watcher {
    async fn run(&self, mut place: Cursor) -> Result<(), Gone> {
        let mut state = self.core.link.node().state();
        let mut view = self.public.backend().pictures.of(&self.public, &self.service);
        let mut looks = tokio::time::interval(LOOK);
        let replica = Replica::of(&self.core);
        loop {
            let (News { gap, events, revision }, ended) = {
                let fleet = state.borrow_and_update();
                (News::since(&fleet, place), self.ended(&fleet))
            };
            let was_gap = gap.is_some();
            if let Some(gap) = gap {
                self.send(WatchItem::Gap(gap)).await?;
            }
            for event in events {
                place = at(&event);
                if event.service.as_ref() == Some(&self.service) {
                    self.send(WatchItem::Event(SeenEvent::from(&*event))).await?;
                }
            }
            place = place.max(Cursor::end_of(revision));
            if was_gap || ended.is_some() {
                let latest = view.latest(revision).await;
                self.picture(latest).await?;
            }
            if let Some(ended) = ended {
                return self.send(WatchItem::Ended(ended)).await;
            }
            tokio::select! {
                () = self.to.closed() => return Err(Gone),
                changed = state.changed() => if changed.is_err() { return Ok(()) },
                picture = view.next(place.revision) => self.picture(Some(picture)).await?,
                _ = looks.tick() => if replica.has_aged(&self.core) { return self.to.lost().await },
            }
        }
    }

    async fn picture(&self, picture: Option<Arc<v1::StatusResponse>>) -> Result<(), Gone> {
        let Some(picture) = picture else { return Ok(()) };
        let item = v1::watch_response::Item::Picture((*picture).clone());
        self.to.send(v1::WatchResponse { item: Some(item) }).await
    }

    async fn send(&self, item: WatchItem) -> Result<(), Gone> {
        self.to.send(item.into()).await
    }

    /// How the rollout ended, the roll back that it caused included; or that it is halted until an operator decides.
    fn ended(&self, fleet: &Fleet) -> Option<Ended> {
        let rollouts = &fleet.services.get(&self.service)?.rollouts;
        let rollout = rollouts.get(&self.rollout)?;
        let caused = |other: &&Arc<Rollout>| matches!(other.kind, RolloutKind::RollbackOf { rollout, .. } if rollout == self.rollout);
        let rollback = rollouts.values().find(caused);
        let (verdict, reason, next) = match &rollout.phase {
            RolloutPhase::Ended { outcome } => {
                let why =
                    rollout.failures.first().map(|(host, failure)| format!("{host}: {}", failure.reason));
                let quarantined = quarantined(fleet, rollout);
                let next = next(&self.service, outcome, quarantined.is_some());
                (Verdict::Over(outcome.clone()), why.or(quarantined).unwrap_or_default(), next)
            }
            RolloutPhase::Halted { why, .. } => {
                let known = fleet.services.get(&self.service)?;
                let next = Hold::of_halt(&self.service, known, rollout, why).ends_when();
                (Verdict::Halted, why.to_string(), next)
            }
            _ => return None,
        };
        let failures = rollout.failures.iter().map(|(host, failure)| HostFailure {
            host: host.clone(),
            release: rollout.target.as_ref().map(|target| target.id.clone()),
            failure: failure.clone(),
        });
        Some(Ended {
            rollout: rollout.id,
            verdict,
            rollback: rollback.map(|rollback| (rollback.id, rollback.outcome().cloned().map(Verdict::Over))),
            reason,
            next,
            failures: failures.collect(),
        })
    }
}

fn quarantined(fleet: &Fleet, rollout: &Rollout) -> Option<String> {
    let target = rollout.target.as_ref()?;
    Some(fleet.services.get(&rollout.service)?.quarantine.get(&target.id)?.reason.clone())
}

fn next(service: &ServiceName, outcome: &Outcome, quarantined: bool) -> String {
    match outcome {
        Outcome::Completed | Outcome::Aborted => String::new(),
        Outcome::Superseded { by } => {
            format!("`deployinator watch {by} --service {service}` follows the rollout that took its place")
        }
        Outcome::FailedInMigration | Outcome::Failed | Outcome::RolledBack if quarantined => {
            "mend the release and push it again; this one is quarantined".to_owned()
        }
        Outcome::FailedInMigration | Outcome::Failed | Outcome::RolledBack => {
            format!("`deployinator status --service {service}` shows how it stands now")
        }
        Outcome::RollbackFailed => {
            format!("`deployinator status --service {service}` names the hosts that did not come back")
        }
    }
}
