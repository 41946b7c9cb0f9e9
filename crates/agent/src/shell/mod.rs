//! Runs one host machine: hands it events, carries out its effects in order. Every choice is the machine's.

mod ahead;
mod describe;
mod perform;
mod seen;
mod stages;

use std::{path::PathBuf, sync::Arc, time::Duration};

use model::{
    ServiceName,
    fleet::{Act, Assignment, Reply},
    host::{Answer, Effect, Event, Host, Ledger, Sighting, Stored},
};
use ports::{Balancer, Prober, ReleaseStore, Supervisor, fault::Chain};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

pub(crate) use self::describe::surroundings;
pub use self::{ahead::Ahead, perform::World, stages::Stages};
use crate::{
    clock,
    durable::{self, FileError},
    link::Link,
};

/// Pause before the supervisor is asked again after it did not answer.
const WATCH_PAUSE: Duration = Duration::from_millis(500);

/// What one host machine needs besides its world.
pub struct Wiring {
    /// The service it is for.
    pub service: ServiceName,
    /// Where its ledger is kept.
    pub ledger: PathBuf,
    /// Its way to the fleet.
    pub link: Link,
    /// What this host is to do.
    pub assignments: watch::Receiver<Arc<Assignment>>,
    /// What it looks like, after each event.
    pub sighting: watch::Sender<Option<Sighting>>,
    /// Told when its phase has changed, so that the leader hears of it at once.
    pub moved: Arc<Notify>,
    /// Ends it, at once: the next run goes on from the ledger.
    pub stop: CancellationToken,
}

/// Reads the ledger that an earlier run left.
///
/// # Errors
/// It is damaged or cannot be read.
pub fn remembered(path: &std::path::Path) -> Result<Ledger, FileError> {
    Ok(durable::read::<Stored>(path)?.map(Ledger::from).unwrap_or_default())
}

/// Runs the machine until it is stopped.
///
/// # Errors
/// The ledger could not be written: nothing was done that it should remember.
pub async fn run<B, R, S, P>(
    mut machine: Host,
    world: Arc<World<B, R, S, P>>,
    wiring: Wiring,
) -> Result<(), FileError>
where
    B: Balancer,
    R: ReleaseStore,
    S: Supervisor,
    P: Prober,
{
    let Wiring { service, ledger, link, mut assignments, sighting, moved, stop } = wiring;
    let (done, mut events) = mpsc::unbounded_channel();
    let mut running = JoinSet::new();
    running.spawn(watch_process(world.clone(), done.clone()));
    let mut stages = world.stages.listen();
    assignments.mark_changed();
    let mut next = Event::Booted;
    loop {
        for effect in machine.handle(next, clock::now()) {
            match effect {
                Effect::Persist(remember) => durable::write(&ledger, &Stored::from(*remember))?,
                Effect::Log(text) => info!(%service, "{text}"),
                Effect::Propose { id, report } => {
                    debug!(%service, ?report, "reports");
                    let (link, done, service) = (link.clone(), done.clone(), service.clone());
                    running.spawn(async move {
                        let act = Act::Report { host: link.host().clone(), service, report };
                        let began = clock::now();
                        let answer = answered(&link, act).await;
                        let took = clock::now().since(began);
                        // The loop is gone only when the agent stops.
                        let _ = done.send(Event::ReportAnswered { id, answer, took });
                    });
                }
                effect => {
                    let (world, done) = (world.clone(), done.clone());
                    running.spawn(async move {
                        if let Some(event) = world.perform(effect).await {
                            let _ = done.send(event);
                        }
                    });
                }
            }
        }
        let mut seen = machine.sighting(clock::now());
        seen.staging_progress = world.stages.of(seen.staging.as_ref());
        let before = sighting.send_replace(Some(seen));
        if before.map(|before| before.phase) != sighting.borrow().as_ref().map(|now| now.phase) {
            moved.notify_one();
        }
        next = tokio::select! {
            () = stop.cancelled() => {
                // Programs that probe are killed with their tasks. What the keeper was asked to do goes on.
                running.shutdown().await;
                return Ok(());
            }
            Some(event) = events.recv() => event,
            Ok(()) = assignments.changed() => {
                let assigned = assignments.borrow_and_update().clone();
                match assigned.services.get(&service) {
                    Some(mine) => {
                        if let Some(change) = &mine.change {
                            let rollout = change.rollout.map(|rollout| rollout.0);
                            debug!(%service, fence = %change.fence, rollout, "is assigned a change");
                        }
                        Event::Assigned { revision: assigned.revision, assignment: Box::new(mine.clone()) }
                    }
                    None => Event::DeadlinePassed,
                }
            }
            // Nothing for the machine: what is sent to the leader is made anew.
            Ok(()) = stages.changed() => Event::DeadlinePassed,
            () = clock::sleep_until(machine.deadline()) => Event::DeadlinePassed,
            Some(ended) = running.join_next() => {
                if let Err(error) = ended && error.is_panic() {
                    // Its answer will never come. A new run goes on from the ledger and from what it finds.
                    std::panic::resume_unwind(error.into_panic());
                }
                Event::DeadlinePassed
            }
        };
    }
}

/// Proposes until the fleet has answered; a duplicate gets the first reply.
async fn answered(link: &Link, act: Act) -> Answer {
    let command = link.command(act);
    loop {
        match link.submit(&command, Duration::from_secs(5)).await {
            Ok((_, Reply::Refused(refusal))) => return Answer::Refused(refusal.to_string()),
            Ok(_) => return Answer::Accepted,
            Err(error) => {
                debug!(error = %Chain(&error), "report waits");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn watch_process<B, R, S, P>(world: Arc<World<B, R, S, P>>, done: mpsc::UnboundedSender<Event>)
where
    B: Balancer,
    R: ReleaseStore,
    S: Supervisor,
    P: Prober,
{
    let mut seen = None;
    loop {
        let news = match seen {
            Some(seen) => world.supervisor.changed(seen).await,
            None => world.supervisor.observe().await,
        };
        match news {
            Ok(observation) => {
                seen = Some(observation.change);
                if done.send(Event::ProcessChanged(seen::observation(observation))).is_err() {
                    return;
                }
            }
            Err(error) => {
                // A new keeper counts from the start.
                seen = None;
                debug!(error = %Chain(&error), "watch the keeper");
                tokio::time::sleep(WATCH_PAUSE).await;
            }
        }
    }
}
