//! A watch channel that wakes whoever waits in the order in which they came. Tokio's draws that order, from chance that nothing outside tokio
//! can seed.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, RwLock, RwLockReadGuard},
    task::{Context, Poll, Waker},
};

use openraft::{
    OptionalSend, OptionalSync,
    rt::watch::{RecvError, SendError, Watch, WatchReceiver, WatchSender},
};

/// What openraft makes its channels of in a run.
pub(crate) struct InOrder;

struct Shared<T> {
    value: RwLock<T>,
    ends: Mutex<Ends>,
}

struct Ends {
    version: u64,
    senders: usize,
    receivers: usize,
    waiting: Vec<Waker>,
}

/// The end that tells.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// An end that is told.
pub(crate) struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

impl<T> Shared<T> {
    fn wake(&self, change: impl FnOnce(&mut Ends)) {
        let mut ends = self.ends.lock().unwrap();
        change(&mut ends);
        let waiting = std::mem::take(&mut ends.waiting);
        drop(ends);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.ends.lock().unwrap().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.wake(|ends| ends.senders -= 1);
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.ends.lock().unwrap().receivers += 1;
        Self { shared: Arc::clone(&self.shared), seen: self.seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.ends.lock().unwrap().receivers -= 1;
    }
}

impl Watch for InOrder {
    type Sender<T: OptionalSend + OptionalSync> = Sender<T>;
    type Receiver<T: OptionalSend + OptionalSync> = Receiver<T>;
    type Ref<'a, T: OptionalSend + 'a> = RwLockReadGuard<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(init: T) -> (Sender<T>, Receiver<T>) {
        let ends = Ends { version: 0, senders: 1, receivers: 1, waiting: Vec::new() };
        let shared = Arc::new(Shared { value: RwLock::new(init), ends: Mutex::new(ends) });
        (Sender(Arc::clone(&shared)), Receiver { shared, seen: 0 })
    }
}

impl<T: OptionalSend + OptionalSync> WatchSender<InOrder, T> for Sender<T> {
    fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.0.ends.lock().unwrap().receivers == 0 {
            return Err(SendError(value));
        }
        *self.0.value.write().unwrap() = value;
        self.0.wake(|ends| ends.version += 1);
        Ok(())
    }

    fn send_if_modified<F: FnOnce(&mut T) -> bool>(&self, modify: F) -> bool {
        let modified = modify(&mut self.0.value.write().unwrap());
        if modified {
            self.0.wake(|ends| ends.version += 1);
        }
        modified
    }

    fn borrow_watched(&self) -> RwLockReadGuard<'_, T> {
        self.0.value.read().unwrap()
    }

    fn subscribe(&self) -> Receiver<T> {
        let mut ends = self.0.ends.lock().unwrap();
        ends.receivers += 1;
        Receiver { shared: Arc::clone(&self.0), seen: ends.version }
    }
}

impl<T> Receiver<T> {
    fn poll_changed(&mut self, context: &Context<'_>) -> Poll<Result<(), RecvError>> {
        let mut ends = self.shared.ends.lock().unwrap();
        if ends.version != self.seen {
            self.seen = ends.version;
            return Poll::Ready(Ok(()));
        }
        if ends.senders == 0 {
            return Poll::Ready(Err(RecvError(())));
        }
        if !ends.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            ends.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }
}

impl<T: OptionalSend + OptionalSync> WatchReceiver<InOrder, T> for Receiver<T> {
    async fn changed(&mut self) -> Result<(), RecvError> {
        poll_fn(|context| self.poll_changed(context)).await
    }

    fn borrow_watched(&self) -> RwLockReadGuard<'_, T> {
        self.shared.value.read().unwrap()
    }

    fn borrow_and_update(&mut self) -> RwLockReadGuard<'_, T> {
        self.seen = self.shared.ends.lock().unwrap().version;
        self.shared.value.read().unwrap()
    }
}
