//! Which service of a host starts after which, once the host has booted.
//!
//! Promise: a service of which nothing runs is not touched before those that it is to start after are healthy, or run nothing, or its
//! limit is over. One that runs, and one that has nothing to run, waits for nobody: so an agent that is restarted beside its services
//! delays none, and rollouts of different services stay apart. The host machine is not told: none of its deadlines runs meanwhile.
//! Absent on purpose: an order of stops, and of anything after the first start. A service must live with a neighbour that is restarted.

use std::{collections::BTreeMap, time::Duration};

use config::Service;
use futures_util::future::select_all;
use model::{
    ServiceName,
    fleet::host::{Availability, PhaseKind},
    host::{Ledger, Sighting},
};
use ports::{
    Supervisor,
    supervisor::{Observation, Process},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tracing::{info, warn};

/// Between two words on how long it waits still.
const SAY_AGAIN: Duration = Duration::from_secs(1);
/// Longest wait for the keeper's word on what runs. Without one, nothing is held back: the host machine asks again.
const OBSERVE_LIMIT: Duration = Duration::from_secs(15);

/// What each service of this host looks like.
pub(crate) type Sights = BTreeMap<ServiceName, watch::Receiver<Option<Sighting>>>;

/// What one service waits for.
pub(crate) struct Order {
    service: ServiceName,
    others: Sights,
    limit: Duration,
}

impl Order {
    /// By a service's configuration, of what all services of this host look like.
    pub(crate) fn new(service: &ServiceName, mine: &Service, all: &Sights) -> Self {
        let others = all.iter().filter(|(name, _)| mine.after.contains(name));
        let others = others.map(|(name, seen)| (name.clone(), seen.clone())).collect();
        Self { service: service.clone(), others, limit: mine.after_limit }
    }

    /// Returns when the service may be looked after. Until then `say` is told what it waits for, again and again.
    pub(crate) async fn wait(
        mut self,
        remembered: &Ledger,
        supervisor: &impl Supervisor,
        mut say: impl FnMut(String),
    ) {
        let is_to_run = remembered.serving.is_some() || remembered.change.is_some();
        if self.others.is_empty() || !is_to_run || self.missing().is_empty() {
            return;
        }
        if !matches!(timeout(OBSERVE_LIMIT, supervisor.observe()).await, Ok(Ok(seen)) if nothing_runs(&seen))
        {
            return;
        }
        let (service, limit) = (self.service.clone(), self.limit);
        let until = Instant::now() + limit;
        info!(%service, "starts after {}; waits for {} s at most", self.missing().join(" and "), limit.as_secs());
        loop {
            let missing = self.missing().join(" and ");
            let left = until.saturating_duration_since(Instant::now());
            if missing.is_empty() {
                info!(%service, "starts: what it is to start after is there");
                return;
            }
            if left.is_zero() {
                warn!(%service, "starts although {missing} is not healthy after {} s", limit.as_secs());
                return;
            }
            say(format!("{missing} to be healthy, for {}s more at most", left.as_secs().max(1)));
            tokio::select! {
                () = self.moved() => (),
                () = sleep(left.min(SAY_AGAIN)) => (),
            }
        }
    }

    /// Those that are not there yet, by name.
    fn missing(&self) -> Vec<&str> {
        let is_missing =
            |seen: &watch::Receiver<Option<Sighting>>| !seen.borrow().as_ref().is_some_and(is_there);
        self.others.iter().filter(|(_, seen)| is_missing(seen)).map(|(name, _)| name.as_str()).collect()
    }

    /// Any of the others looks different.
    async fn moved(&mut self) {
        let changes = self.others.values_mut().map(|seen| Box::pin(seen.changed()));
        if select_all(changes).await.0.is_err() {
            // Its loop is gone, as this agent stops.
            std::future::pending::<()>().await;
        }
    }
}

/// Whether the service is one that others can build upon, or one that they need not wait for.
fn is_there(seen: &Sighting) -> bool {
    let healthy = seen.health.probe.as_ref().is_some_and(|probe| probe.passed);
    // Unknown until it was looked at; out, and nothing to run, once it was.
    let runs_nothing = seen.release.is_none() && seen.availability == Availability::Out;
    healthy || seen.availability == Availability::In || runs_nothing || seen.phase == PhaseKind::Parked
}

fn nothing_runs(seen: &Observation) -> bool {
    let runs = |process: &Process| matches!(process, Process::Running { .. });
    !runs(&seen.process) && !seen.instances.iter().any(runs)
}

#[cfg(test)]
mod tests;
