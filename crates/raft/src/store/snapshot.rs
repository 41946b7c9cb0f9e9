//! The newest snapshot: what the log was compacted into.

use std::io;

use bytes::Bytes;
use redb::{Durability, ReadableTable as _};

use super::{
    KEY_COMMITTED, KEY_PURGED, KEY_SNAPSHOT_META, KEY_SNAPSHOT_STATE, KEY_VOTE, META, SNAPSHOT, Store,
    decode, encode,
};
use crate::{
    Machine,
    types::{LogId, SnapshotMeta, Vote},
};

/// A snapshot as stored and sent: what it covers, and the machine's state as JSON.
pub(crate) struct StoredSnapshot<M: Machine> {
    pub(crate) meta: SnapshotMeta<M>,
    pub(crate) state: Bytes,
}

impl Store {
    pub(crate) fn snapshot<M: Machine>(&self) -> io::Result<Option<StoredSnapshot<M>>> {
        let raw = self.read(|transaction| {
            let table = transaction.open_table(SNAPSHOT)?;
            let meta = table.get(KEY_SNAPSHOT_META)?.map(|value| value.value().to_vec());
            let state = table.get(KEY_SNAPSHOT_STATE)?.map(|value| Bytes::copy_from_slice(value.value()));
            Ok(meta.zip(state))
        })?;
        raw.map(|(meta, state)| Ok(StoredSnapshot { meta: decode(&meta)?, state })).transpose()
    }

    /// Fills an empty file with a state, as if all up to `last` had been compacted into it.
    pub(crate) fn begin_with<M: Machine>(
        &self,
        snapshot: &StoredSnapshot<M>,
        vote: &Vote<M>,
        last: &LogId<M>,
    ) -> io::Result<()> {
        let (meta, vote, last) = (encode(&snapshot.meta)?, encode(vote)?, encode(last)?);
        self.write(Durability::Immediate, |transaction| {
            let mut table = transaction.open_table(SNAPSHOT)?;
            table.insert(KEY_SNAPSHOT_META, meta.as_slice())?;
            table.insert(KEY_SNAPSHOT_STATE, snapshot.state.as_ref())?;
            let mut table = transaction.open_table(META)?;
            table.insert(KEY_VOTE, vote.as_slice())?;
            table.insert(KEY_PURGED, last.as_slice())?;
            table.insert(KEY_COMMITTED, last.as_slice())?;
            Ok(())
        })
    }

    /// Keeps `snapshot`, unless the stored one covers as much: a build that ends after a newer snapshot was
    /// installed must not take back what the log was purged up to.
    pub(crate) fn save_snapshot<M: Machine>(&self, snapshot: &StoredSnapshot<M>) -> io::Result<()> {
        let meta = encode(&snapshot.meta)?;
        self.write(Durability::Immediate, |transaction| {
            let mut table = transaction.open_table(SNAPSHOT)?;
            let stored = table.get(KEY_SNAPSHOT_META)?.map(|value| value.value().to_vec());
            let stored: Option<SnapshotMeta<M>> =
                stored.map(|bytes| decode(&bytes)).transpose().map_err(redb::Error::Io)?;
            if stored.is_some_and(|stored| stored.last_log_id > snapshot.meta.last_log_id) {
                return Ok(());
            }
            table.insert(KEY_SNAPSHOT_META, meta.as_slice())?;
            table.insert(KEY_SNAPSHOT_STATE, snapshot.state.as_ref())?;
            Ok(())
        })
    }
}
