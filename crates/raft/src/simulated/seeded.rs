//! Tokio as openraft sees it in a run: whatever would be left to chance follows from a seed.

use std::{cell::Cell, time::Duration};

use openraft::{
    AsyncRuntime, OptionalSend,
    impls::TokioRuntime,
    rt::{deterministic_rng::DeterministicRng, task_local::TaskLocalFuture},
};

use super::watch::InOrder;

type Inner = DeterministicRng<TokioRuntime>;

/// Tokio, with chance from a seed and channels that wake in order.
#[derive(Debug)]
pub(crate) struct Seeded(Inner);

impl Seeded {
    /// Runs `future`, and whatever it spawns, with chance from this seed.
    pub(crate) fn scope<F: Future>(seed: u64, future: F) -> TaskLocalFuture<Cell<u64>, F> {
        Inner::scope(seed, future)
    }
}

impl AsyncRuntime for Seeded {
    type JoinError = <Inner as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <Inner as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <Inner as AsyncRuntime>::Sleep;
    type Instant = <Inner as AsyncRuntime>::Instant;
    type TimeoutError = <Inner as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <Inner as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = <Inner as AsyncRuntime>::ThreadLocalRng;
    type Mpsc = <Inner as AsyncRuntime>::Mpsc;
    type Watch = InOrder;
    type Oneshot = <Inner as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <Inner as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        Inner::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        Inner::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        Inner::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        Inner::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        Inner::timeout_at(deadline, future)
    }

    fn is_panic(error: &Self::JoinError) -> bool {
        Inner::is_panic(error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        Inner::thread_rng()
    }

    fn new(threads: usize) -> Self {
        Self(Inner::new(threads))
    }

    fn block_on<F: Future<Output = T>, T>(&mut self, future: F) -> T {
        self.0.block_on(future)
    }
}
