//! A disk in memory, for tests: its flushes can be held back, and it knows what of it survives a loss of power.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, Weak},
    time::Duration,
};

use openraft::AsyncRuntime as _;
use redb::{Database, Durability, StorageBackend};
use tokio::{sync::mpsc, time::sleep};

use super::{Inner, LOG, META, SNAPSHOT, Store, check, flush};
use crate::{Machine, OpenError, runtime::Runtime};

/// A disk whose flushes can be held back, and that knows what of it survives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    /// What programs read.
    written: Vec<u8>,
    /// What a loss of power leaves.
    durable: Vec<u8>,
    /// Where the two differ.
    unflushed: Vec<std::ops::Range<usize>>,
    held: bool,
    off: bool,
    /// Flushes that wait to be let go.
    waiting: usize,
}

impl Disk {
    fn of(bytes: Vec<u8>) -> Self {
        let state = State { written: bytes.clone(), durable: bytes, ..State::default() };
        Self { state: Arc::new((Mutex::new(state), Condvar::new())) }
    }

    /// What is left when the machine loses its power.
    pub(crate) fn after_power_loss(&self) -> Self {
        Self::of(self.state.0.lock().unwrap().durable.clone())
    }

    /// What is left when the process is killed.
    pub(crate) fn after_kill(&self) -> Self {
        Self::of(self.state.0.lock().unwrap().written.clone())
    }

    /// Nothing becomes durable here any more.
    pub(crate) fn turn_off(&self) {
        self.state.0.lock().unwrap().off = true;
    }

    pub(super) fn hold_flushes(&self, held: bool) {
        self.state.0.lock().unwrap().held = held;
        self.state.1.notify_all();
    }

    /// Waits until a flush is held back.
    pub(super) fn until_held_back(&self) {
        let state = self.state.0.lock().unwrap();
        let waited =
            self.state.1.wait_timeout_while(state, Duration::from_secs(30), |state| state.waiting == 0);
        assert!(!waited.unwrap().1.timed_out(), "waited 30 s for a flush");
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state.0.lock().unwrap().written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.state.0.lock().unwrap().written[offset..offset + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let (mut state, len) = (self.state.0.lock().unwrap(), usize::try_from(len).unwrap());
        let before = state.written.len();
        state.written.resize(len, 0);
        // Should it grow again before the next flush, what was there is gone.
        state.unflushed.push(len.min(before)..before);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state.0.lock().unwrap();
        state.waiting += 1;
        self.state.1.notify_all();
        state = self.state.1.wait_while(state, |state| state.held).unwrap();
        state.waiting -= 1;
        if state.off {
            return Err(io::Error::other("this disk is off"));
        }
        let State { written, durable, unflushed, .. } = &mut *state;
        durable.resize(written.len(), 0);
        for range in unflushed.drain(..) {
            let range = range.start.min(written.len())..range.end.min(written.len());
            durable[range.clone()].copy_from_slice(&written[range]);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        let mut state = self.state.0.lock().unwrap();
        let range = offset..offset + data.len();
        state.written[range.clone()].copy_from_slice(data);
        state.unflushed.push(range);
        Ok(())
    }
}

impl Store {
    /// A store on a disk in memory, empty or as a node left it, whose flushes take as long as `pause` says in the runtime's time.
    pub(crate) fn simulated<M: Machine>(
        disk: &Disk,
        pause: impl Fn() -> Duration + Send + 'static,
    ) -> Result<Self, OpenError> {
        let path = std::path::PathBuf::from("a disk in memory");
        let damaged = |problem: String| OpenError::Damaged { path: path.clone(), problem };
        let database = Database::builder().create_with_backend(disk.clone());
        let mut database = database.map_err(|error| damaged(error.to_string()))?;
        if !database.check_integrity().map_err(|error| damaged(error.to_string()))? {
            return Err(damaged("its checksums do not match".to_owned()));
        }
        let store = Self::flushed_by(path.clone(), database, |store| Ok(flushes(store, pause)));
        let store = store.and_then(|store| store.tables().map(|()| store));
        let store = store.map_err(|error| damaged(error.to_string()))?;
        check::check::<M>(&store)?;
        Ok(store)
    }

    /// Makes the tables of an empty file.
    pub(super) fn tables(&self) -> io::Result<()> {
        self.write(Durability::Immediate, |transaction| {
            transaction.open_table(META)?;
            transaction.open_table(LOG)?;
            transaction.open_table(SNAPSHOT)?;
            Ok(())
        })
    }
}

/// Flushes as the thread of [`flush::start`] does, in a task.
fn flushes(store: Weak<Inner>, pause: impl Fn() -> Duration + Send + 'static) -> flush::Flushes {
    let (sender, mut waiting) = mpsc::unbounded_channel::<flush::Done>();
    drop(Runtime::spawn(async move {
        while let Some(first) = waiting.recv().await {
            sleep(pause()).await;
            let Some(inner) = store.upgrade() else { return };
            let mut batch = vec![first];
            while let Ok(next) = waiting.try_recv() {
                batch.push(next);
            }
            let flushed = Store { inner }.sync();
            for done in batch {
                done(
                    flushed
                        .as_ref()
                        .map_or_else(|error| Err(io::Error::other(error.to_string())), |()| Ok(())),
                );
            }
        }
    }));
    Box::new(move |done| {
        if let Err(mpsc::error::SendError(done)) = sender.send(done) {
            done(Err(io::Error::other("the task that flushes has ended")));
        }
    })
}
