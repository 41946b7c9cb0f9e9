//! What a loss of power leaves behind: only what was flushed.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use openraft::{
    Entry as RawEntry, EntryPayload,
    storage::{IOFlushed, RaftLogReader, RaftLogStorage},
    type_config::TypeConfigExt as _,
};
use redb::{Database, Durability, StorageBackend};
use tokio::{sync::oneshot, time::timeout};

use crate::{
    NodeId,
    store::{KEY_VOTE, LOG, META, SNAPSHOT, Store},
    testing::{Order, Tally},
    types::{Entry, LogId, Proposal, Types, Vote},
};

/// A disk whose flushes can be held back, and that knows what of it survives.
#[derive(Debug, Clone, Default)]
struct Disk {
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    /// What programs read.
    written: Vec<u8>,
    /// What a loss of power leaves.
    durable: Vec<u8>,
    held: bool,
    /// Flushes that wait to be let go.
    waiting: usize,
}

impl Disk {
    fn after_power_loss(&self) -> Self {
        let durable = self.state.0.lock().unwrap().durable.clone();
        let state = State { written: durable.clone(), durable, ..State::default() };
        Self { state: Arc::new((Mutex::new(state), Condvar::new())) }
    }

    fn hold_flushes(&self, held: bool) {
        self.state.0.lock().unwrap().held = held;
        self.state.1.notify_all();
    }

    /// Waits until a flush is held back.
    fn until_held_back(&self) {
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
        self.state.0.lock().unwrap().written.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state.0.lock().unwrap();
        state.waiting += 1;
        self.state.1.notify_all();
        state = self.state.1.wait_while(state, |state| state.held).unwrap();
        state.waiting -= 1;
        state.durable = state.written.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        self.state.0.lock().unwrap().written[offset..offset + data.len()].copy_from_slice(data);
        Ok(())
    }
}

fn store(disk: &Disk) -> Store {
    let database = Database::builder().create_with_backend(disk.clone()).unwrap();
    let store = Store::new("a disk in memory".into(), database).unwrap();
    let tables = store.write(Durability::Immediate, |transaction| {
        transaction.open_table(META)?;
        transaction.open_table(LOG)?;
        transaction.open_table(SNAPSHOT)?;
        Ok(())
    });
    tables.unwrap();
    store
}

fn entry(index: u64) -> Entry<Tally> {
    let node: NodeId = "i-1_a".parse().unwrap();
    let leader = Vote::<Tally>::new_committed(3, node).leader_id().clone();
    let payload = EntryPayload::Normal(Proposal(Order::Add(index)));
    RawEntry { log_id: LogId::<Tally>::new(leader, index), payload }
}

/// Appends, and returns what ends when the flush was told.
async fn append(store: &mut Store, index: u64) -> Pin<Box<dyn Future<Output = io::Result<()>>>> {
    let (told, flushed) = Types::<Tally>::oneshot();
    let signal = IOFlushed::<Types<Tally>>::signal(told);
    RaftLogStorage::<Types<Tally>>::append(store, [entry(index)], signal).await.unwrap();
    Box::pin(async move { flushed.await.expect("an answer") })
}

async fn soon<T>(answer: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), answer).await.expect("waited 30 s for a flush")
}

async fn indices(store: &mut Store) -> Vec<u64> {
    let entries = RaftLogReader::<Types<Tally>>::try_get_log_entries(store, ..).await.unwrap();
    entries.into_iter().map(|entry: Entry<Tally>| entry.log_id.index()).collect()
}

#[tokio::test]
async fn what_was_told_to_be_durable_survives_a_loss_of_power_and_what_was_not_may_not() {
    let disk = Disk::default();
    let mut live = store(&disk);
    let told = append(&mut live, 0).await;
    soon(told).await.unwrap();
    assert_eq!(indices(&mut store(&disk.after_power_loss())).await, [0]);

    disk.hold_flushes(true);
    let mut told = append(&mut live, 1).await;
    assert_eq!(indices(&mut live).await, [0, 1], "the peers cannot get it before it is durable here");
    disk.until_held_back();
    assert!(
        timeout(Duration::ZERO, &mut told).await.is_err(),
        "it was called durable before the flush had ended"
    );
    assert_eq!(indices(&mut store(&disk.after_power_loss())).await, [0], "this disk flushes by itself");
    disk.hold_flushes(false);
    soon(told).await.unwrap();
    assert_eq!(indices(&mut store(&disk.after_power_loss())).await, [0, 1]);
}

#[tokio::test]
async fn who_waits_when_the_store_is_closed_is_told() {
    let disk = Disk::default();
    let mut live = store(&disk);
    disk.hold_flushes(true);
    let first = append(&mut live, 0).await;
    disk.until_held_back();
    disk.hold_flushes(false);
    soon(first).await.unwrap();
    live.close();
    let (told, flushed) = oneshot::channel();
    live.flush(Box::new(|result| drop(told.send(result))));
    let refused = soon(flushed).await.unwrap();
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::NotConnected);
}

/// A blocking act on the store, on a thread of its own.
fn beside<T: Send + 'static>(
    store: &Store,
    act: impl FnOnce(Store) -> T + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    let store = store.clone();
    tokio::task::spawn_blocking(move || act(store))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_that_is_durable_is_so_with_all_that_was_appended_before_it() {
    let disk = Disk::default();
    let mut live = store(&disk);
    disk.hold_flushes(true);
    let mut told = append(&mut live, 0).await;
    disk.until_held_back();
    let vote = Vote::<Tally>::new_committed(4, "i-1_a".parse().unwrap());
    let voted = {
        let vote = vote.clone();
        beside(&live, move |store| store.put(Durability::Immediate, KEY_VOTE, &vote))
    };
    assert!(timeout(Duration::ZERO, &mut told).await.is_err());
    disk.hold_flushes(false);
    soon(voted).await.unwrap().unwrap();
    let mut after = store(&disk.after_power_loss());
    assert_eq!(after.get::<Vote<Tally>>(KEY_VOTE).unwrap(), Some(vote));
    assert_eq!(indices(&mut after).await, [0]);
    soon(told).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_truncated_or_purged_while_its_flush_is_under_way_stays_so() {
    let disk = Disk::default();
    let mut live = store(&disk);
    for index in 0..3 {
        let told = append(&mut live, index).await;
        soon(told).await.unwrap();
    }
    disk.hold_flushes(true);
    let told = append(&mut live, 3).await;
    disk.until_held_back();
    let cut = beside(&live, |mut store| {
        futures_util::FutureExt::now_or_never(async {
            RaftLogStorage::<Types<Tally>>::truncate_after(&mut store, Some(entry(1).log_id)).await?;
            RaftLogStorage::<Types<Tally>>::purge(&mut store, entry(0).log_id).await
        })
    });
    disk.hold_flushes(false);
    soon(told).await.unwrap();
    soon(cut).await.unwrap().expect("it awaits nothing").unwrap();
    assert_eq!(indices(&mut live).await, [1]);
    assert_eq!(indices(&mut store(&disk.after_power_loss())).await, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_closed_while_a_flush_is_under_way_lets_it_end_and_tells_whoever_waits() {
    let disk = Disk::default();
    let mut live = store(&disk);
    disk.hold_flushes(true);
    let told = append(&mut live, 0).await;
    disk.until_held_back();
    let closed = beside(&live, |store| store.close());
    disk.hold_flushes(false);
    soon(told).await.unwrap();
    soon(closed).await.unwrap();
    assert_eq!(indices(&mut store(&disk.after_power_loss())).await, [0]);
}
