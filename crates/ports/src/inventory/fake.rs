//! An inventory in memory, for tests: it lists what it is told, and it can fail.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use model::HostId;

use super::{Inventory, Listed, ListedState};
use crate::{Fault, FaultKind};

/// An inventory in memory. Clones share one state, as all agents ask the same cloud.
#[derive(Debug, Clone, Default)]
pub struct FakeInventory {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    hosts: Vec<Listed>,
    failures: VecDeque<FaultKind>,
    outage: Option<FaultKind>,
    calls: usize,
}

impl FakeInventory {
    /// Lists `hosts`, and does not fail.
    #[must_use]
    pub fn new(hosts: Vec<Listed>) -> Self {
        let inventory = Self::default();
        inventory.set(hosts);
        inventory
    }

    /// Lists these from now on.
    pub fn set(&self, hosts: Vec<Listed>) {
        self.lock().hosts = hosts;
    }

    /// The host is listed as gone for good from now on.
    pub fn terminate(&self, host: &HostId) {
        for listed in self.lock().hosts.iter_mut().filter(|listed| listed.host == *host) {
            listed.state = ListedState::Terminated;
        }
    }

    /// The host is not listed any more, which says nothing.
    pub fn forget(&self, host: &HostId) {
        self.lock().hosts.retain(|listed| listed.host != *host);
    }

    /// The next calls fail like this, one after the other.
    pub fn fail(&self, kinds: impl IntoIterator<Item = FaultKind>) {
        self.lock().failures.extend(kinds);
    }

    /// Every call fails like this, until it is `None`.
    pub fn outage(&self, kind: Option<FaultKind>) {
        self.lock().outage = kind;
    }

    /// How often it was asked, failures included.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.lock().calls
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inventory for FakeInventory {
    async fn list(&self) -> Result<Vec<Listed>, Fault> {
        let mut state = self.lock();
        state.calls += 1;
        match state.failures.pop_front().or(state.outage) {
            Some(kind) => Err(Fault::new(kind, "list the hosts", "scripted failure")),
            None => Ok(state.hosts.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    fn list(inventory: &FakeInventory) -> Result<Vec<Listed>, FaultKind> {
        match pin!(inventory.list()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(listed) => listed.map_err(|fault| fault.kind),
            Poll::Pending => panic!("a fake waited"),
        }
    }

    fn listed(host: &str) -> Listed {
        Listed {
            host: host.parse().expect("the test's own name"),
            address: ([127, 0, 0, 1], 7400).into(),
            zone: None,
            launched: 0,
            state: ListedState::Present,
        }
    }

    #[test]
    fn fails_as_scripted_and_lists_again() {
        let inventory = FakeInventory::new(vec![listed("h1")]);
        inventory.fail([FaultKind::Throttled]);
        inventory.outage(Some(FaultKind::Transient));
        assert_eq!(list(&inventory), Err(FaultKind::Throttled));
        assert_eq!(list(&inventory), Err(FaultKind::Transient));
        inventory.outage(None);
        assert_eq!(list(&inventory), Ok(vec![listed("h1")]));
        assert_eq!(inventory.calls(), 3);
    }

    #[test]
    fn terminated_is_not_the_same_as_not_listed() {
        let inventory = FakeInventory::new(vec![listed("h1"), listed("h2")]);
        inventory.terminate(&listed("h1").host);
        inventory.forget(&listed("h2").host);
        assert_eq!(list(&inventory), Ok(vec![Listed { state: ListedState::Terminated, ..listed("h1") }]));
    }
}
