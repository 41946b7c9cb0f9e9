//! What all doors share: the state and its past, the faults, the calls that were counted, and the requests in flight.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use localbalancer::Tasks;

use crate::{
    cloud::{Cloud, Failure, Member, Now, Stay},
    faults::{Faults, matches},
    keys::Keys,
    metadata::Tokens,
    plane::{Plane, health},
    rates::Rates,
    refusal::Refusal,
    wire::{Act, CallCount, FaultKind, Settings},
};

/// How far back an answer can come from.
const PAST: Duration = Duration::from_secs(300);
/// How often is looked for what only time changes.
const TICK: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct Shared {
    began: Instant,
    world: Mutex<World>,
    pub(crate) tasks: Tasks,
}

/// Everything that changes.
#[derive(Debug)]
pub(crate) struct World {
    /// The state as it is.
    cloud: Arc<Cloud>,
    /// The states before, each with the time since when it was so, the oldest first.
    past: VecDeque<(Now, Arc<Cloud>)>,
    pub(crate) faults: Faults,
    pub(crate) rates: Rates,
    /// What the roles may do, as in an IAM policy; everything, if nothing is said.
    pub(crate) allowed: Option<Vec<String>>,
    pub(crate) keys: Keys,
    pub(crate) tokens: Tokens,
    pub(crate) plane: Plane,
    calls: BTreeMap<(String, String), CallCount>,
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        let cloud = Arc::new(Cloud::new(settings, SystemTime::now()));
        let world = World {
            past: [(Duration::ZERO, cloud.clone())].into(),
            cloud,
            faults: Faults::default(),
            rates: Rates::default(),
            allowed: None,
            keys: Keys::default(),
            tokens: Tokens::default(),
            plane: Plane::default(),
            calls: BTreeMap::new(),
        };
        Arc::new(Self { began: Instant::now(), world: Mutex::new(world), tasks: Tasks::default() })
    }

    /// Does what only time brings, until the server stops.
    pub(crate) async fn tick(self: Arc<Self>) {
        loop {
            tokio::time::sleep(TICK).await;
            self.advance();
        }
    }

    fn advance(&self) {
        let now = self.now();
        let mut world = self.lock();
        if world.cloud.is_due(now) {
            let mut next = (*world.cloud).clone();
            let gone = next.advance(now);
            world.replace(next, now);
            world.cut(gone);
        }
        world.sample(now);
    }

    pub(crate) fn now(&self) -> Now {
        self.began.elapsed()
    }

    /// The state as it was so long ago, and when that was.
    pub(crate) fn as_of(&self, ago: Duration) -> (Arc<Cloud>, Now) {
        let now = self.now();
        let then = now.saturating_sub(ago);
        let world = self.lock();
        let found = world.past.iter().rev().find(|(since, _)| *since <= then);
        match found {
            Some((_, cloud)) if !ago.is_zero() => (cloud.clone(), then),
            _ => (world.cloud.clone(), now),
        }
    }

    /// Changes the state; a refusal changes nothing.
    pub(crate) fn change<T>(
        &self,
        act: impl FnOnce(&mut Cloud, Now) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let now = self.now();
        let mut world = self.lock();
        let mut next = (*world.cloud).clone();
        let done = act(&mut next, now)?;
        world.replace(next, now);
        world.sample(now);
        Ok(done)
    }

    /// Registers targets, and begins to check their health.
    pub(crate) fn register(
        self: &Arc<Self>,
        arn: &str,
        targets: &[(String, Option<u16>)],
    ) -> Result<(), Refusal> {
        let stays = self.change(|cloud, now| cloud.register(arn, targets, now))?;
        for stay in stays {
            self.tasks.spawn(health::check(self.clone(), arn.to_owned(), stay));
        }
        Ok(())
    }

    /// Takes note of a health check, or of there being nothing to check.
    pub(crate) fn checked(&self, arn: &str, stay: Stay, outcome: Option<Result<(), Failure>>) {
        let now = self.now();
        let mut world = self.lock();
        let mut next = (*world.cloud).clone();
        if next.checked(arn, stay, outcome, now) {
            world.replace(next, now);
            world.sample(now);
        } else {
            // Counted only: nobody who asks about the past sees a difference.
            world.cloud = Arc::new(next);
        }
    }

    /// Terminates, stops, starts or forgets an instance. The targets of one that is terminated drain from then on.
    pub(crate) fn act(&self, id: &str, act: Act) -> Result<(), Refusal> {
        let gone = self.change(|cloud, now| {
            cloud.act(id, act, now)?;
            Ok(cloud.advance(now))
        })?;
        self.lock().cut(gone);
        Ok(())
    }

    /// Takes a target out at once, and cuts its requests.
    pub(crate) fn drop_target(&self, arn: &str, id: &str, port: u16) -> Result<(), Refusal> {
        let gone = self.change(|cloud, _| cloud.drop_target(arn, id, port))?;
        self.lock().cut(gone);
        Ok(())
    }

    /// Counts a call, which may have been made with credentials that have expired, and says what is to happen to it.
    pub(crate) fn called(&self, action: &str, caller: &str, is_expired: bool) -> Option<FaultKind> {
        let now = self.now();
        let mut world = self.lock();
        let fault = world.faults.take(action, caller, now);
        let is_throttled = fault.is_none() && !world.rates.admit(action, now);
        let key = (caller.to_owned(), action.to_owned());
        let count = world.calls.entry(key).or_insert_with(|| CallCount {
            caller: caller.to_owned(),
            action: action.to_owned(),
            calls: 0,
            faulted: 0,
            throttled: 0,
            expired: 0,
        });
        count.calls += 1;
        count.faulted += u64::from(fault.is_some());
        count.throttled += u64::from(is_throttled);
        count.expired += u64::from(is_expired);
        if is_throttled { Some(FaultKind::Throttle) } else { fault }
    }

    /// Whether roles may do this.
    pub(crate) fn is_allowed(&self, action: &str) -> bool {
        let world = self.lock();
        world.allowed.as_ref().is_none_or(|allowed| allowed.iter().any(|pattern| matches(pattern, action)))
    }

    pub(crate) fn calls(&self) -> Vec<CallCount> {
        self.lock().calls.values().cloned().collect()
    }

    pub(crate) fn reset_calls(&self) {
        self.lock().calls.clear();
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    pub(crate) fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// The state and the requests in flight, for whoever needs both.
    pub(crate) fn with_plane(&mut self) -> (&Cloud, &mut Plane) {
        (&self.cloud, &mut self.plane)
    }

    fn replace(&mut self, next: Cloud, now: Now) {
        self.cloud = Arc::new(next);
        self.past.push_back((now, self.cloud.clone()));
        // The one that held at the beginning of the time that can be asked about has to stay.
        while self.past.get(1).is_some_and(|(since, _)| *since + PAST < now) {
            self.past.pop_front();
        }
    }

    fn sample(&mut self, now: Now) {
        self.plane.sample(&self.cloud, now);
    }

    fn cut(&mut self, gone: Vec<Member>) {
        for member in gone {
            self.plane.cut(member);
        }
    }
}
