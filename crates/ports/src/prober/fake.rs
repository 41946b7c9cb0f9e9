//! A prober in memory, for tests: every service answers as it is told to.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{ProbeFailure, ProbeSpec, Prober};

/// A prober in memory. Clones share one state. What it was told nothing about refuses the connection.
#[derive(Debug, Clone, Default)]
pub struct FakeProber {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    answers: BTreeMap<SocketAddr, Result<(), ProbeFailure>>,
    calls: Vec<(ProbeSpec, SocketAddr)>,
}

impl FakeProber {
    /// Nothing answers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Probes of this address pass from now on.
    pub fn pass(&self, address: SocketAddr) {
        self.lock().answers.insert(address, Ok(()));
    }

    /// Probes of this address fail with these words from now on.
    pub fn fail(&self, address: SocketAddr, text: impl Into<String>) {
        self.lock().answers.insert(address, Err(ProbeFailure::Missed(text.into())));
    }

    /// Nothing listens at this address from now on.
    pub fn forget(&self, address: SocketAddr) {
        self.lock().answers.remove(&address);
    }

    /// Every probe that was made.
    #[must_use]
    pub fn calls(&self) -> Vec<(ProbeSpec, SocketAddr)> {
        self.lock().calls.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Prober for FakeProber {
    async fn probe(&self, spec: &ProbeSpec, address: SocketAddr) -> Result<(), ProbeFailure> {
        let mut state = self.lock();
        state.calls.push((spec.clone(), address));
        let refused = || Err(ProbeFailure::Missed("connect: connection refused".into()));
        state.answers.get(&address).cloned().unwrap_or_else(refused)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
        time::Duration,
    };

    use super::*;

    #[test]
    fn every_service_answers_as_it_is_told_to() {
        let (prober, spec) = (FakeProber::new(), ProbeSpec::Tcp { timeout: Duration::from_secs(1) });
        let (one, two) = (([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into());
        let probe = |address| match pin!(prober.probe(&spec, address))
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(answer) => answer.map_err(|failure| failure.to_string()),
            Poll::Pending => panic!("a fake waited"),
        };
        prober.pass(one);
        assert_eq!(probe(one), Ok(()));
        assert_eq!(probe(two), Err("connect: connection refused".into()));
        prober.fail(one, "GET / answered 503");
        assert_eq!(probe(one), Err("GET / answered 503".into()));
        prober.forget(one);
        assert_eq!(probe(one), Err("connect: connection refused".into()));
        assert_eq!(prober.calls().len(), 4);
    }
}
