//! What only the leader does: plan, keep the group's voters right, and read the channels.
//!
//! Nothing here is trusted to be the only leader: the fleet machine checks every step again, and a plan names the revision it was made at.

mod follow;
mod sweep;
mod voters;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use model::{
    HostId, Revision, ServiceName, Timestamp,
    fleet::{Act, Fleet, Reply},
    host::Sighting,
    planner::{self, Hold, Sightings, TimedHold},
};
use ports::Inventory;
use raft::{Role, Standing};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use self::follow::Means;
pub(crate) use self::follow::followed;
use crate::{clock, link::Link};

/// Longest wait for one of the leader's own proposals.
const PROPOSAL: Duration = Duration::from_secs(5);
/// Pause before a plan that was refused whole is made again, when nothing has changed.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// Pause before a plan that was not committed is made again, when nothing has changed.
const LOST_PAUSE: Duration = Duration::from_millis(200);

/// The services of a host as it sees them.
pub type Seen = BTreeMap<ServiceName, Sighting>;

/// What this agent knows while it leads. Clones share it.
#[derive(Clone, Default)]
pub struct Reign {
    inner: Arc<Mutex<Option<Now>>>,
    heard: Arc<Notify>,
}

struct Now {
    sightings: Sightings,
    holds: Vec<(Hold, Option<Duration>)>,
    seen: BTreeMap<HostId, (Timestamp, Seen)>,
    troubles: BTreeMap<ServiceName, String>,
}

/// What the leader knows that is not replicated.
pub struct View {
    /// Why whatever waits does.
    pub holds: Vec<TimedHold>,
    /// How long ago each host was heard of, and what it said.
    pub hosts: BTreeMap<HostId, (Duration, Seen)>,
    /// The hosts that have said nothing for too long, and for how long.
    pub silent: BTreeMap<HostId, Duration>,
    /// Why channels cannot be read, service by service.
    pub troubles: BTreeMap<ServiceName, String>,
}

impl Reign {
    /// A host said what it looks like. Returns whether this agent leads, so that it matters.
    pub fn hear(&self, host: &HostId, seen: Seen) -> bool {
        let now = clock::now();
        let mut inner = self.lock();
        let Some(reign) = inner.as_mut() else { return false };
        let was_silent =
            !reign.sightings.heard(host) || Duration::from_secs(2) < reign.sightings.quiet_for(host, now);
        reign.sightings.hear(host, now);
        reign.seen.insert(host.clone(), (now, seen));
        if was_silent {
            self.heard.notify_one();
        }
        true
    }

    /// What is known now; nothing while another one leads.
    #[must_use]
    pub fn view(&self) -> Option<View> {
        let now = clock::now();
        let mut inner = self.lock();
        let Now { sightings, holds, seen, troubles } = inner.as_mut()?;
        let holds = sightings.time(holds, now);
        let hosts = seen.iter().map(|(host, (at, seen))| (host.clone(), (now.since(*at), seen.clone())));
        let (silent, troubles) = (sightings.silences(now), troubles.clone());
        Some(View { holds, hosts: hosts.collect(), silent, troubles })
    }

    /// A service's channel was read, or not, and why.
    fn read(&self, service: &ServiceName, trouble: Option<String>) {
        let mut inner = self.lock();
        let Some(Now { troubles, .. }) = inner.as_mut() else { return };
        match trouble {
            Some(why) => troubles.insert(service.clone(), why),
            None => troubles.remove(service),
        };
    }

    /// What was heard, to look ahead from, and the time that it is now; nothing while another one leads.
    #[must_use]
    pub fn sightings(&self) -> Option<(Sightings, Timestamp)> {
        let now = clock::now();
        self.lock().as_ref().map(|reign| (reign.sightings.clone(), now))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Now>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leads whenever this node is the leader, until it is stopped.
pub async fn run<I: Inventory>(
    link: Link,
    reign: Reign,
    inventory: Arc<I>,
    means: Means,
    silent_after: Duration,
    stop: CancellationToken,
) {
    let mut standing = link.node().standing();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            elected = standing.wait_for(|now| now.role == Role::Leader) => if elected.is_err() { return },
        }
        // Believing to lead proves nothing; a quorum has to say so.
        if !link.node().confirm_leader(Duration::from_secs(2)).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        info!("this agent leads");
        let now = Now {
            sightings: Sightings::new(silent_after, clock::now()),
            holds: Vec::new(),
            seen: BTreeMap::new(),
            troubles: BTreeMap::new(),
        };
        *reign.lock() = Some(now);
        tokio::select! {
            () = stop.cancelled() => return,
            () = plan(&link, &reign) => (),
            () = voters::keep(&link, &*inventory, &reign) => (),
            () = sweep::keep(&link, means.aws.as_ref()) => (),
            () = follow::keep(&link, &reign, &means) => (),
        }
        *reign.lock() = None;
        info!("this agent no longer leads");
    }
}

/// Plans after every change, and proposes what was planned, while this node leads.
async fn plan(link: &Link, reign: &Reign) {
    let mut standing = link.node().standing();
    let mut state = link.node().state();
    let mut refused = BTreeMap::new();
    loop {
        if standing.borrow_and_update().role != Role::Leader {
            return;
        }
        let fleet = state.borrow_and_update().clone();
        let (acts, mut wake) = decide(reign, &fleet);
        drop(fleet);
        for act in acts {
            if let Some(pause) = too_soon(&refused, &act) {
                wake = wake.into_iter().chain([pause]).min();
                continue;
            }
            if !propose(link, act, &mut refused).await {
                wake = wake.into_iter().chain([clock::now() + LOST_PAUSE]).min();
            }
        }
        wait(&mut state, &mut standing, &reign.heard, wake).await;
    }
}

async fn wait<A>(
    state: &mut watch::Receiver<A>,
    standing: &mut watch::Receiver<Standing>,
    heard: &Notify,
    wake: Option<Timestamp>,
) {
    tokio::select! {
        _ = state.changed() => (),
        // It changes with each heartbeat; all that matters here is its end.
        _ = standing.wait_for(|now| now.role != Role::Leader) => (),
        () = heard.notified() => (),
        () = clock::sleep_until(wake) => (),
    }
}

fn decide(reign: &Reign, fleet: &Fleet) -> (Vec<Act>, Option<Timestamp>) {
    let now = clock::now();
    let mut inner = reign.lock();
    let Some(Now { sightings, holds, .. }) = inner.as_mut() else { return (Vec::new(), None) };
    sightings.observe(fleet, now);
    let plan = planner::plan(fleet, sightings, now);
    sightings.time(&plan.holds, now);
    *holds = plan.holds;
    (plan.acts, plan.wake)
}

/// Plans that the fleet machine refused whole, so that a disagreement of the two shows in the log and not as a busy loop.
type RefusedPlans = BTreeMap<ServiceName, (Revision, Timestamp)>;

fn too_soon(refused: &RefusedPlans, act: &Act) -> Option<Timestamp> {
    let Act::Plan { service, planned_at, .. } = act else { return None };
    let (revision, until) = refused.get(service)?;
    (revision == planned_at && clock::now() < *until).then_some(*until)
}

/// Returns whether it was committed.
async fn propose(link: &Link, act: Act, refused: &mut RefusedPlans) -> bool {
    let plan = match &act {
        Act::Plan { service, planned_at, steps } => Some((service.clone(), *planned_at, steps.clone())),
        _ => None,
    };
    let command = link.command(act);
    match link.offer_here(&command, PROPOSAL).await {
        Ok((_, Reply::Planned(results))) => {
            let Some((service, planned_at, steps)) = plan else { return true };
            for (step, refusal) in
                steps.iter().zip(&results).filter_map(|(step, result)| Some((step, result.as_ref().err()?)))
            {
                warn!(%service, ?step, %refusal, "a step was refused");
            }
            if results.iter().all(Result::is_err) {
                refused.insert(service, (planned_at, clock::now() + REFUSED_PAUSE));
            }
        }
        // The service changed while the plan was on its way: the next one is made from what is there now.
        Ok((_, Reply::Refused(refusal))) => tracing::debug!(%refusal, "plan refused"),
        Ok(_) => (),
        Err(elsewhere) => {
            tracing::debug!(why = elsewhere.why, "plan not committed");
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests;
