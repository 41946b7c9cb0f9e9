//! The durable half of a node: one redb file that holds its log, its vote and its snapshot.
//!
//! Promise: what was acknowledged is on disk, and a file that cannot be trusted is refused when it is opened.
//! Absent on purpose: repair. Raft's other copies are the repair.

mod check;
#[cfg(test)]
mod cuts;
#[cfg(test)]
mod disk;
mod flush;
mod log;
mod open;
mod snapshot;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, RwLock, Weak},
};

use redb::{Database, Durability, ReadTransaction, ReadableDatabase as _, TableDefinition, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};

#[cfg(test)]
pub(crate) use disk::Disk;
pub use open::OpenError;
pub(crate) use snapshot::StoredSnapshot;

/// Version of what the tables hold. An older program refuses a newer one.
const FORMAT: u32 = 1;
/// Name of the file in the node's directory.
const FILE_NAME: &str = "raft.redb";

/// Log entries by index, each as JSON.
const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
/// Single values by the names below, each as JSON.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// The newest snapshot: its description and its state, as JSON.
const SNAPSHOT: TableDefinition<&str, &[u8]> = TableDefinition::new("snapshot");

const KEY_FORMAT: &str = "format";
const KEY_NODE: &str = "node";
const KEY_CLUSTER: &str = "cluster";
const KEY_VOTE: &str = "vote";
const KEY_COMMITTED: &str = "committed";
const KEY_PURGED: &str = "purged";
const KEY_SNAPSHOT_META: &str = "meta";
const KEY_SNAPSHOT_STATE: &str = "state";

/// A handle to the file. Clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    /// `None` once closed, so that the file's lock is gone although openraft's tasks still hold handles.
    database: RwLock<Option<Database>>,
    /// Those who wait for a flush.
    flushes: flush::Flushes,
}

impl Store {
    fn new(path: PathBuf, database: Database) -> io::Result<Self> {
        Self::flushed_by(path, database, flush::start)
    }

    /// A store whose flushes `start` takes care of.
    fn flushed_by(
        path: PathBuf,
        database: Database,
        start: impl FnOnce(Weak<Inner>) -> io::Result<flush::Flushes>,
    ) -> io::Result<Self> {
        let mut started = Ok(());
        let inner = Arc::new_cyclic(|inner| {
            let flushes = start(inner.clone()).unwrap_or_else(|error| {
                started = Err(error);
                Box::new(drop)
            });
            Inner { path, database: RwLock::new(Some(database)), flushes }
        });
        started.map(|()| Self { inner })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Releases the file and its lock. Whatever comes later fails.
    pub(crate) fn close(&self) {
        drop(self.inner.database.write().unwrap_or_else(|poisoned| poisoned.into_inner()).take());
    }

    fn with<T>(&self, act: impl FnOnce(&Database) -> Result<T, redb::Error>) -> io::Result<T> {
        let database = self.inner.database.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        match database.as_ref() {
            Some(database) => act(database).map_err(|error| self.of_this_file(&error)),
            None => Err(io::Error::new(io::ErrorKind::NotConnected, "the store is closed")),
        }
    }

    /// Has `done` told once all that was written until now is durable.
    fn flush(&self, done: flush::Done) {
        (self.inner.flushes)(done);
    }

    /// Makes everything durable that was committed before: a durable commit is one of all that lies behind it.
    fn sync(&self) -> io::Result<()> {
        self.write(Durability::Immediate, |_| Ok(()))
    }

    /// redb says what happened, and not to which file.
    fn of_this_file(&self, error: &redb::Error) -> io::Error {
        let path = self.path().display();
        match error {
            redb::Error::Io(error) => io::Error::new(error.kind(), format!("use {path}: {error}")),
            error => io::Error::other(format!("use {path}: {error}")),
        }
    }

    fn read<T>(&self, act: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>) -> io::Result<T> {
        self.with(|database| act(&database.begin_read()?))
    }

    fn write<T>(
        &self,
        durability: Durability,
        act: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> io::Result<T> {
        self.with(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(durability)?;
            let answer = act(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        })
    }

    fn get<T: DeserializeOwned>(&self, key: &str) -> io::Result<Option<T>> {
        let bytes = self.read(|transaction| {
            let table = transaction.open_table(META)?;
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        })?;
        bytes.map(|bytes| decode(&bytes)).transpose()
    }

    fn put<T: Serialize>(&self, durability: Durability, key: &str, value: &T) -> io::Result<()> {
        let bytes = encode(value)?;
        self.write(durability, |transaction| {
            transaction.open_table(META)?.insert(key, bytes.as_slice())?;
            Ok(())
        })
    }
}

fn encode<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(io::Error::from)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    serde_json::from_slice(bytes).map_err(io::Error::from)
}
