//! Carries out one effect, and says what came of it. The host machine chooses; the one choice made here is whether what [`Ahead`] has
//! verified serves a start.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use config::Programs;
use model::{
    Fence, Release,
    host::{Denied, Effect, Event, FaultSeen, Miss, TAIL_LIMIT_BYTES, Ticket},
};
use ports::{
    Balancer, Fault, ProbeSpec, Prober, ReleaseStore, Supervisor, Target,
    fault::Chain,
    supervisor::{Observation, Readiness, SupervisorError},
};
use supervisor::cgroup::{Delegation, NoCgroups};
use tokio::time::timeout;

use super::{ahead::Ahead, seen, stages::Stages};
use crate::clock;

/// Longest time for one call to the balancer, its own retries included.
const BALANCER_LIMIT: Duration = Duration::from_secs(10);
/// Longest time for one call to the keeper, besides what stopping a process may take.
const KEEPER_LIMIT: Duration = Duration::from_secs(15);
/// Longest time for one attempt to stage a release.
const STAGE_LIMIT: Duration = Duration::from_secs(1800);

/// The outside of one service on one host.
pub struct World<B, R, S, P> {
    /// Where the service listens.
    pub address: SocketAddr,
    /// The balancer with this host's target; none for a headless service.
    pub balancer: Option<(B, Target)>,
    /// The release store.
    pub store: Arc<R>,
    /// The supervisor.
    pub supervisor: S,
    /// The prober, and what it asks; none where a process that is up is enough.
    pub prober: Option<(P, ProbeSpec)>,
    /// What its programs find in their environment, whichever the release.
    pub environment: BTreeMap<String, String>,
    /// When the service counts as ready.
    pub readiness: Readiness,
    /// How its programs are run.
    pub programs: Programs,
    /// How far the release that is being staged is.
    pub stages: Stages,
    /// What is verified while the host leaves the balancer.
    pub ahead: Ahead,
    /// Where cgroups are made, or why there are none.
    pub cgroups: Result<Delegation, NoCgroups>,
}

impl<B: Balancer, R: ReleaseStore, S: Supervisor, P: Prober> World<B, R, S, P> {
    /// Whether there is more to being healthy than to run.
    #[must_use]
    pub fn is_probed(&self) -> bool {
        self.prober.is_some() || self.readiness == Readiness::Notify
    }

    /// Carries out one effect that has a ticket; none of the others comes here.
    pub(super) async fn perform(&self, effect: Effect) -> Option<Event> {
        Some(match effect {
            Effect::Persist(_) | Effect::Propose { .. } | Effect::Log(_) => return None,
            Effect::Observe { ticket } => {
                let result = self.keeper(Duration::ZERO, self.supervisor.observe()).await;
                let result = result.map(seen::observation).map_err(|error| seen::supervisor_fault(&error));
                Event::Observed { ticket, result }
            }
            Effect::QueryStanding { ticket } => self.query_standing(ticket).await,
            Effect::QueryStaged { ticket } => {
                let result = limited(KEEPER_LIMIT, "list staged releases", self.store.staged()).await;
                Event::StagedRead { ticket, result: result.map_err(|error| seen::fault(&error)) }
            }
            Effect::Stage { ticket, release, preflight } => {
                // Nothing is touched anywhere while one host could not be drained, or admitted again (P9).
                let usable = if preflight { self.check_balancer().await } else { Ok(()) };
                let result = match usable {
                    Ok(()) => self.stage(&release).await,
                    unusable => unusable,
                };
                Event::StageEnded { ticket, result: result.map_err(|error| seen::fault(&error)) }
            }
            Effect::Collect { ticket, keep } => {
                let result = limited(STAGE_LIMIT, "collect old releases", self.store.collect(&keep)).await;
                Event::Collected { ticket, result: result.map_err(|error| seen::fault(&error)) }
            }
            Effect::Leave { ticket, next } => {
                if let Some(next) = next {
                    self.ahead.begin(&self.store, &next, clock::now());
                }
                Event::Left { ticket, result: self.leave().await }
            }
            Effect::Join { ticket } => {
                self.ahead.forget();
                Event::Joined { ticket, result: self.join().await }
            }
            Effect::Stop { ticket, fence, grace } => {
                let result = self.keeper(grace, self.supervisor.stop(fence, grace)).await;
                Event::Stopped { ticket, result: observed(result) }
            }
            Effect::VerifyAndStart { ticket, fence, release } => {
                Event::Started { ticket, result: self.launch(fence, &release, false).await }
            }
            Effect::KeepRunning { ticket, fence, keep } => {
                let result = self.keeper(Duration::ZERO, self.supervisor.keep_running(fence, keep)).await;
                Event::Kept { ticket, result: result.map(drop).map_err(|error| seen::denied(&error)) }
            }
            Effect::Probe { ticket } => Event::Probed { ticket, result: self.probe().await },
            Effect::Migrate { ticket, fence, release } => {
                Event::MigrateCalled { ticket, result: self.launch(fence, &release, true).await }
            }
            Effect::StopMigration { ticket, fence, grace } => {
                let result = self.keeper(grace, self.supervisor.stop_migration(fence, grace)).await;
                Event::MigrationStopped { ticket, result: observed(result) }
            }
            Effect::ReadTail { ticket, fence, migration } => {
                let result = self
                    .keeper(Duration::ZERO, self.supervisor.tail(fence, migration, TAIL_LIMIT_BYTES))
                    .await;
                Event::TailRead { ticket, result: result.map_err(|error| seen::supervisor_fault(&error)) }
            }
        })
    }

    async fn check_balancer(&self) -> Result<(), Fault> {
        let Some((balancer, target)) = &self.balancer else { return Ok(()) };
        let checked = limited(BALANCER_LIMIT, "ask it", balancer.check(target)).await;
        checked.map_err(|fault| Fault {
            attempted: format!("the balancer cannot be used: {}", fault.attempted),
            ..fault
        })
    }

    /// Stages, and has everybody know how far it is meanwhile.
    async fn stage(&self, release: &Release) -> Result<(), Fault> {
        let progress = self.stages.begin(&release.id);
        let result = limited(STAGE_LIMIT, "stage the release", self.store.stage(release, &progress)).await;
        self.stages.end();
        result
    }

    async fn query_standing(&self, ticket: Ticket) -> Event {
        let result = match &self.balancer {
            Some((balancer, target)) => {
                limited(BALANCER_LIMIT, "ask the balancer", balancer.standing(target))
                    .await
                    .map(seen::standing)
            }
            None => Err(headless()),
        };
        Event::StandingRead { ticket, result: result.map_err(|error| seen::fault(&error)) }
    }

    async fn join(&self) -> Result<(), FaultSeen> {
        let Some((balancer, target)) = &self.balancer else { return Err(seen::fault(&headless())) };
        let joined = limited(BALANCER_LIMIT, "join the balancer", balancer.join(target)).await;
        joined.map_err(|error| seen::fault(&error))
    }

    async fn leave(&self) -> Result<Option<Duration>, FaultSeen> {
        let Some((balancer, target)) = &self.balancer else { return Err(seen::fault(&headless())) };
        let left = limited(BALANCER_LIMIT, "leave the balancer", balancer.leave(target)).await;
        left.map_err(|error| seen::fault(&error))
    }

    /// Healthy is ready and more: a service that is asked to say so is not probed before it has.
    async fn probe(&self) -> Result<(), Miss> {
        if self.readiness == Readiness::Notify {
            let seen = self.keeper(Duration::ZERO, self.supervisor.observe()).await;
            let seen = seen.map_err(|error| Miss::Unasked(Chain(&error).to_string()))?;
            seen::readiness(&seen.process)?;
        }
        let Some((prober, spec)) = &self.prober else { return Ok(()) };
        prober.probe(spec, self.address).await.map_err(seen::miss)
    }

    async fn launch(
        &self,
        fence: Fence,
        release: &Release,
        migrate: bool,
    ) -> Result<model::host::Observed, Denied> {
        let verified = async {
            let root = if migrate { None } else { self.ahead.end(&release.id, clock::now()).await };
            match root {
                Some(root) => Ok(root),
                None => self.store.verify(&release.id).await,
            }
        };
        let root = limited(STAGE_LIMIT, "verify the release", verified).await;
        let root = root.map_err(|error| Denied::Fault(seen::fault(&error)))?;
        let launch = self.describe(fence, release, root, migrate).await?;
        let result = if migrate {
            self.keeper(Duration::ZERO, self.supervisor.migrate(&launch)).await
        } else {
            self.keeper(Duration::ZERO, self.supervisor.start(&launch)).await
        };
        observed(result)
    }

    /// A call to the keeper, in bounded time.
    async fn keeper<T>(
        &self,
        grace: Duration,
        call: impl Future<Output = Result<T, SupervisorError>>,
    ) -> Result<T, SupervisorError> {
        let limit = KEEPER_LIMIT + grace;
        timeout(limit, call).await.unwrap_or_else(|_| {
            let text = format!("no answer within {} s", limit.as_secs());
            Err(Fault::new(ports::FaultKind::Transient, "call the keeper", text).into())
        })
    }
}

fn observed(result: Result<Observation, SupervisorError>) -> Result<model::host::Observed, Denied> {
    result.map(seen::observation).map_err(|error| seen::denied(&error))
}

fn headless() -> Fault {
    Fault::new(ports::FaultKind::Permanent, "call the balancer", "the service has none")
}

async fn limited<T>(
    limit: Duration,
    attempted: &str,
    call: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    timeout(limit, call).await.unwrap_or_else(|_| {
        let text = format!("no answer within {} s", limit.as_secs());
        Err(Fault::new(ports::FaultKind::Transient, attempted, text))
    })
}

#[cfg(test)]
mod tests;
