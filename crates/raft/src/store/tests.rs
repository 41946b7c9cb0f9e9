//! openraft's own suite, files that must be refused, and what the stored bytes look like.

use std::{fs, path::Path};

use model::ClusterId;
use openraft::{
    Entry as RawEntry, EntryPayload, StorageError,
    storage::{RaftLogReader, RaftLogStorage, RaftLogStorageExt, Snapshot},
    testing::log::{StoreBuilder, Suite},
};
use redb::{Database, ReadableTable as _};
use tempfile::TempDir;
use tokio::sync::watch;

use super::{FILE_NAME, FORMAT, KEY_FORMAT, LOG, META, OpenError, Store, StoredSnapshot, encode};
use crate::{
    NodeId,
    applier::Applier,
    testing::{Order, Tally},
    types::{Entry, LogId, Proposal, SnapshotMeta, Types, Vote},
};

fn node() -> NodeId {
    "i-1_a".parse().unwrap()
}

fn cluster() -> ClusterId {
    "blue".parse().unwrap()
}

fn open(dir: &Path) -> Result<Store, OpenError> {
    Store::open::<Tally>(dir, &node(), &cluster())
}

fn log_id(index: u64) -> LogId<Tally> {
    let vote = Vote::<Tally>::new_committed(3, node());
    LogId::<Tally>::new(vote.leader_id().clone(), index)
}

fn entry(index: u64) -> Entry<Tally> {
    RawEntry { log_id: log_id(index), payload: EntryPayload::Normal(Proposal(Order::Add(index))) }
}

/// A closed file that holds the entries 0 to 199.
async fn filled() -> TempDir {
    let dir = TempDir::new().unwrap();
    let mut store = open(dir.path()).unwrap();
    RaftLogStorageExt::<Types<Tally>>::blocking_append(&mut store, (0..200).map(entry)).await.unwrap();
    store.close();
    dir
}

async fn entries(store: &mut Store) -> Vec<Entry<Tally>> {
    RaftLogReader::<Types<Tally>>::try_get_log_entries(store, ..).await.unwrap()
}

struct Builder;

impl StoreBuilder<Types<Tally>, Store, Applier<Tally>, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, Store, Applier<Tally>), StorageError<Types<Tally>>> {
        let dir = TempDir::new().unwrap();
        let store = Store::open::<Tally>(dir.path(), &node(), &cluster()).unwrap();
        let (sender, _) = watch::channel(std::sync::Arc::default());
        let applier = Applier::new(store.clone(), sender, std::sync::Arc::default());
        Ok((dir, store, applier))
    }
}

#[tokio::test]
async fn openrafts_own_suite_passes() {
    Suite::test_all(Builder).await.unwrap();
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let dir = filled().await;
    assert!(entries(&mut open(dir.path()).unwrap()).await.into_iter().eq((0..200).map(entry)));
}

#[tokio::test]
async fn another_node_and_another_cluster_are_refused() {
    let dir = filled().await;
    let other = Store::open::<Tally>(dir.path(), &"i-2_b".parse().unwrap(), &cluster());
    assert!(matches!(other, Err(OpenError::OtherNode { found, .. }) if found == node()));
    let other = Store::open::<Tally>(dir.path(), &node(), &"green".parse().unwrap());
    assert!(matches!(other, Err(OpenError::OtherCluster { found, .. }) if found == cluster()));
    open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_file_in_use_is_refused_and_free_again_once_closed() {
    let dir = filled().await;
    let first = open(dir.path()).unwrap();
    let task = first.clone();
    assert!(matches!(open(dir.path()), Err(OpenError::Locked { .. })));
    first.close();
    open(dir.path()).unwrap();
    drop(task);
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let dir = filled().await;
    edit(dir.path(), |transaction| {
        let newer = encode(&(FORMAT + 1)).unwrap();
        transaction.open_table(META).unwrap().insert(KEY_FORMAT, newer.as_slice()).unwrap();
    });
    assert!(matches!(open(dir.path()), Err(OpenError::NewerFormat { found: 2, supported: 1, .. })));
}

#[tokio::test]
async fn a_hole_in_the_log_is_refused() {
    let dir = filled().await;
    edit(dir.path(), |transaction| {
        transaction.open_table(LOG).unwrap().remove(100).unwrap();
    });
    let refused = open(dir.path()).err().expect("the hole was accepted").to_string();
    assert!(refused.contains("log entry 101 is where entry 100 should be"), "{refused}");
}

#[tokio::test]
async fn a_command_of_a_newer_release_is_refused() {
    let dir = filled().await;
    edit(dir.path(), |transaction| {
        let mut log = transaction.open_table(LOG).unwrap();
        let known = String::from_utf8(log.get(7).unwrap().unwrap().value().to_vec()).unwrap();
        log.insert(7, known.replace("Add", "Multiply").as_bytes()).unwrap();
    });
    assert!(matches!(open(dir.path()), Err(OpenError::Unreadable { what, .. }) if what == "log entry 7"));
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_refused() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(open(&file.join("dir")), Err(OpenError::Unusable { .. })));
}

#[tokio::test]
async fn a_file_that_is_gone_is_refused_where_there_was_one() {
    let dir = filled().await;
    Store::is_there(dir.path()).unwrap();
    fs::remove_file(dir.path().join(FILE_NAME)).unwrap();
    assert!(matches!(Store::is_there(dir.path()), Err(OpenError::Gone { .. })));
}

#[tokio::test]
async fn a_torn_copy_is_refused() {
    let whole = filled().await;
    let bytes = fs::read(whole.path().join(FILE_NAME)).unwrap();
    for length in [0, 1, 100, 4096, bytes.len() / 4, bytes.len() / 2, bytes.len() - 4096, bytes.len() - 1] {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join(FILE_NAME), &bytes[..length]).unwrap();
        match open(dir.path()) {
            Err(OpenError::Damaged { .. }) => {}
            Err(other) => panic!("cut to {length} bytes, it was refused as {other:?}"),
            Ok(_) => panic!("cut to {length} of {} bytes, it was accepted", bytes.len()),
        }
    }
}

/// Damage is found when the file is opened, or it hit nothing that matters.
#[tokio::test]
async fn a_flipped_byte_is_refused_or_harmless() {
    let whole = filled().await;
    let bytes = fs::read(whole.path().join(FILE_NAME)).unwrap();
    let mut refused = 0;
    for offset in (0..bytes.len()).step_by(bytes.len() / 97) {
        let dir = TempDir::new().unwrap();
        let mut damaged = bytes.clone();
        damaged[offset] ^= 0x5a;
        fs::write(dir.path().join(FILE_NAME), &damaged).unwrap();
        match open(dir.path()) {
            Ok(mut store) => {
                let whole = entries(&mut store).await.into_iter().eq((0..200).map(entry));
                assert!(whole, "a byte at {offset} cost or changed entries");
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0, "no damage was found at all");
}

#[tokio::test]
async fn purged_entries_are_gone_and_a_snapshot_must_hold_them() {
    let dir = filled().await;
    let mut store = open(dir.path()).unwrap();
    RaftLogStorage::<Types<Tally>>::purge(&mut store, log_id(149)).await.unwrap();
    assert!(entries(&mut store).await.into_iter().eq((150..200).map(entry)));
    store.close();
    assert!(matches!(open(dir.path()), Err(OpenError::Damaged { .. })), "no snapshot holds what was purged");

    let dir = filled().await;
    let mut store = open(dir.path()).unwrap();
    store.save_snapshot(&snapshot(160)).unwrap();
    RaftLogStorage::<Types<Tally>>::purge(&mut store, log_id(149)).await.unwrap();
    store.close();
    open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_late_snapshot_does_not_replace_a_newer_one() {
    let dir = filled().await;
    let store = open(dir.path()).unwrap();
    store.save_snapshot(&snapshot(160)).unwrap();
    store.save_snapshot(&snapshot(120)).unwrap();
    let kept: StoredSnapshot<Tally> = store.snapshot().unwrap().unwrap();
    assert_eq!(kept.meta.last_log_id, Some(log_id(160)));
}

fn snapshot(upto: u64) -> StoredSnapshot<Tally> {
    let meta = SnapshotMeta::<Tally> { last_log_id: Some(log_id(upto)), ..SnapshotMeta::<Tally>::default() };
    let snapshot = Snapshot { meta, snapshot: bytes::Bytes::from_static(b"5") };
    StoredSnapshot { meta: snapshot.meta, state: snapshot.snapshot }
}

/// Files outlive releases: whoever changes these bytes must raise the format and read the old ones for ever.
#[test]
fn the_stored_form_is_what_it_was() {
    let golden =
        r#"{"log_id":{"leader_id":{"term":3,"node_id":"i-1_a"},"index":7},"payload":{"Normal":{"Add":7}}}"#;
    assert_eq!(String::from_utf8(encode(&entry(7)).unwrap()).unwrap(), golden);
    let vote = r#"{"leader_id":{"term":3,"node_id":"i-1_a"},"committed":true}"#;
    assert_eq!(String::from_utf8(encode(&Vote::<Tally>::new_committed(3, node())).unwrap()).unwrap(), vote);
}

fn edit(dir: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::open(dir.join(FILE_NAME)).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}
