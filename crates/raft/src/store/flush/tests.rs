//! What a loss of power leaves behind: only what was flushed.

use std::{io, pin::Pin, time::Duration};

use openraft::{
    Entry as RawEntry, EntryPayload,
    storage::{IOFlushed, RaftLogReader, RaftLogStorage},
    type_config::TypeConfigExt as _,
};
use redb::{Database, Durability};
use tokio::{sync::oneshot, time::timeout};

use crate::{
    NodeId,
    store::{Disk, KEY_VOTE, Store},
    testing::{Order, Tally},
    types::{Entry, LogId, Proposal, Types, Vote},
};

fn store(disk: &Disk) -> Store {
    let database = Database::builder().create_with_backend(disk.clone()).unwrap();
    let store = Store::new("a disk in memory".into(), database).unwrap();
    store.tables().unwrap();
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
