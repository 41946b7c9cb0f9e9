//! A balancer in memory, for tests: it obeys the same contract test as the real ones, and it can fail.
//!
//! Absent on purpose: time. A target moves on after it was seen: a standing that is asked for answers with the
//! present one, and the next one may differ.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Balancer, Standing, Target};
use crate::{Fault, FaultKind};

/// A call that reached the balancer, in the order of arrival. Calls that failed as scripted did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// The target was registered.
    Join(Target),
    /// The target was deregistered.
    Leave(Target),
    /// The target was asked about.
    Standing(Target),
    /// It was looked whether the target could be admitted.
    Check(Target),
}

/// A balancer in memory. Clones share one state, as two agents would share one balancer.
#[derive(Debug, Clone, Default)]
pub struct FakeBalancer {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    members: BTreeMap<Target, Phase>,
    unhealthy: BTreeSet<Target>,
    in_flight: BTreeMap<Target, u32>,
    stalled: bool,
    drain: Option<Duration>,
    failures: VecDeque<FaultKind>,
    outage: Option<FaultKind>,
    lost_answers: u32,
    calls: Vec<Call>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Initial,
    Checked,
    Draining,
}

impl FakeBalancer {
    /// Knows no target, finds every target healthy, has nothing in flight, and does not fail.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether the target passes its health checks from now on.
    pub fn set_healthy(&self, target: &Target, healthy: bool) {
        let mut state = self.lock();
        if healthy {
            state.unhealthy.remove(target);
        } else {
            state.unhealthy.insert(target.clone());
        }
    }

    /// Says how many requests are in flight to the target. It drains until there are none.
    pub fn set_in_flight(&self, target: &Target, count: u32) {
        self.lock().in_flight.insert(target.clone(), count);
    }

    /// It says that drains take so long, or no longer says how long. They end when nothing is in flight, whatever it says.
    pub fn say_drains_take(&self, drain: Option<Duration>) {
        self.lock().drain = drain;
    }

    /// While stalled, no target moves on: what is initial stays so, and no drain ends.
    pub fn stall(&self, stalled: bool) {
        self.lock().stalled = stalled;
    }

    /// The next calls fail like this, one after the other, and do nothing.
    pub fn fail(&self, kinds: impl IntoIterator<Item = FaultKind>) {
        self.lock().failures.extend(kinds);
    }

    /// Every call fails like this and does nothing, until it is `None`.
    pub fn outage(&self, kind: Option<FaultKind>) {
        self.lock().outage = kind;
    }

    /// The next `count` calls do what they should, but their answers are lost, which looks transient.
    pub fn lose_answers(&self, count: u32) {
        self.lock().lost_answers = count;
    }

    /// The target vanishes without a drain, as when somebody else deregistered it.
    pub fn forget(&self, target: &Target) {
        self.lock().members.remove(target);
    }

    /// The target's standing now, without a call that could fail and without moving it on.
    #[must_use]
    pub fn now(&self, target: &Target) -> Standing {
        self.lock().standing(target)
    }

    /// Every call that reached the balancer.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call: fails as scripted, acts, and loses the answer as scripted.
    fn call<T>(&self, attempted: String, call: Call, act: impl FnOnce(&mut State) -> T) -> Result<T, Fault> {
        let mut state = self.lock();
        if let Some(kind) = state.failures.pop_front().or(state.outage) {
            return Err(Fault::new(kind, attempted, "scripted failure"));
        }
        state.calls.push(call);
        let done = act(&mut state);
        if state.lost_answers > 0 {
            state.lost_answers -= 1;
            return Err(Fault::new(FaultKind::Transient, attempted, "scripted loss of the answer"));
        }
        Ok(done)
    }
}

impl State {
    fn standing(&self, target: &Target) -> Standing {
        match self.members.get(target) {
            None => Standing::Absent,
            Some(Phase::Initial) => Standing::Initial,
            Some(Phase::Draining) => Standing::Draining,
            Some(Phase::Checked) if self.unhealthy.contains(target) => {
                Standing::Unhealthy { reason: "health checks failed".to_owned() }
            }
            Some(Phase::Checked) => Standing::InService,
        }
    }

    /// What the time until the next question brings.
    fn advance(&mut self, target: &Target) {
        let idle = self.in_flight.get(target).copied().unwrap_or(0) == 0;
        match self.members.get_mut(target) {
            _ if self.stalled => (),
            Some(phase @ Phase::Initial) => *phase = Phase::Checked,
            Some(Phase::Draining) if idle => {
                self.members.remove(target);
            }
            Some(Phase::Draining | Phase::Checked) | None => (),
        }
    }
}

impl Balancer for FakeBalancer {
    async fn join(&self, target: &Target) -> Result<(), Fault> {
        self.call(format!("register {}", target.host), Call::Join(target.clone()), |state| {
            let phase = state.members.entry(target.clone()).or_insert(Phase::Initial);
            if *phase == Phase::Draining {
                *phase = Phase::Initial;
            }
        })
    }

    async fn leave(&self, target: &Target) -> Result<Option<Duration>, Fault> {
        self.call(format!("deregister {}", target.host), Call::Leave(target.clone()), |state| {
            if let Some(phase) = state.members.get_mut(target) {
                *phase = Phase::Draining;
            }
            state.drain
        })
    }

    async fn standing(&self, target: &Target) -> Result<Standing, Fault> {
        self.call(format!("describe {}", target.host), Call::Standing(target.clone()), |state| {
            let standing = state.standing(target);
            state.advance(target);
            standing
        })
    }

    async fn check(&self, target: &Target) -> Result<(), Fault> {
        self.call(
            format!("look whether {} can be admitted", target.host),
            Call::Check(target.clone()),
            |_| (),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;
    use crate::balancer::contract::{self, Surroundings};

    /// Nothing here ever waits, so one poll is enough.
    fn finish<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => done,
            Poll::Pending => panic!("a fake waited"),
        }
    }

    fn target(host: &str, port: u16) -> Target {
        Target { host: host.parse().unwrap(), address: ([127, 0, 0, 1], port).into() }
    }

    impl Surroundings for FakeBalancer {
        type Balancer = Self;
        fn balancer(&self) -> &Self {
            self
        }
        fn targets(&self) -> [Target; 2] {
            [target("h1", 1), target("h2", 2)]
        }
        async fn set_healthy(&self, target: &Target, healthy: bool) {
            Self::set_healthy(self, target, healthy);
        }
        async fn begin_request(&self, target: &Target) {
            self.set_in_flight(target, 1);
        }
        async fn end_request(&self, target: &Target) {
            self.set_in_flight(target, 0);
        }
        async fn fail_next(&self, kind: FaultKind) {
            self.fail([kind]);
        }
        async fn lose_next_answer(&self) {
            self.lose_answers(1);
        }
        async fn pass_time(&self) {}
    }

    #[test]
    fn obeys_the_contract() {
        finish(contract::check(&FakeBalancer::new()));
    }

    #[test]
    fn an_outage_lasts_until_it_is_lifted_and_changes_nothing() {
        let (balancer, h1) = (FakeBalancer::new(), target("h1", 1));
        balancer.outage(Some(FaultKind::Throttled));
        for _ in 0..3 {
            assert_eq!(finish(balancer.join(&h1)).unwrap_err().kind, FaultKind::Throttled);
        }
        balancer.outage(None);
        assert_eq!(balancer.now(&h1), Standing::Absent);
        finish(balancer.join(&h1)).unwrap();
        assert_eq!(balancer.calls(), [Call::Join(h1)]);
    }

    #[test]
    fn a_stalled_balancer_admits_and_drains_nobody() {
        let (balancer, h1) = (FakeBalancer::new(), target("h1", 1));
        balancer.stall(true);
        finish(balancer.join(&h1)).unwrap();
        for _ in 0..3 {
            assert_eq!(finish(balancer.standing(&h1)).unwrap(), Standing::Initial);
        }
        finish(balancer.leave(&h1)).unwrap();
        for _ in 0..3 {
            assert_eq!(finish(balancer.standing(&h1)).unwrap(), Standing::Draining);
        }
        balancer.forget(&h1);
        assert_eq!(finish(balancer.standing(&h1)).unwrap(), Standing::Absent);
    }
}
