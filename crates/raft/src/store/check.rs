//! Reads all that the file holds, once, before anything is built on it.

use std::io;

use openraft::entry::RaftEntry as _;
use redb::ReadableTable as _;

use super::{KEY_COMMITTED, KEY_PURGED, KEY_VOTE, LOG, OpenError, Store, decode};
use crate::{
    Machine,
    types::{Entry, LogId, Vote},
};

/// Every value can be read, and the log has no hole between what was purged and its end.
pub(super) fn check<M: Machine>(store: &Store) -> Result<(), OpenError> {
    let path = || store.path().to_owned();
    let unreadable = |what: String| {
        let path = path();
        |source| OpenError::Unreadable { path, what, source }
    };
    let damaged = |problem: String| OpenError::Damaged { path: path(), problem };

    store.get::<Vote<M>>(KEY_VOTE).map_err(unreadable("the vote".to_owned()))?;
    let committed: Option<LogId<M>> =
        store.get(KEY_COMMITTED).map_err(unreadable("the commit mark".to_owned()))?;
    let purged: Option<LogId<M>> = store.get(KEY_PURGED).map_err(unreadable("the purge mark".to_owned()))?;
    let snapshot = store.snapshot::<M>().map_err(unreadable("the snapshot".to_owned()))?;
    if let Some(snapshot) = &snapshot {
        let machine = decode::<M>(&snapshot.state).map_err(unreadable("the snapshot's state".to_owned()))?;
        if let Some(why) = machine.outgrown() {
            return Err(OpenError::Outgrown { path: path(), why });
        }
    }

    let covered = snapshot.and_then(|snapshot| snapshot.meta.last_log_id);
    if purged > covered {
        return Err(damaged("entries are gone that no snapshot holds".to_owned()));
    }
    let mut next = purged.map_or(0, |purged| purged.index() + 1);
    for entry in raw_entries(store).map_err(|source| OpenError::Unusable { path: path(), source })? {
        let (index, bytes) = entry;
        let entry: Entry<M> = decode(&bytes).map_err(unreadable(format!("log entry {index}")))?;
        if entry.index() != index || index != next {
            return Err(damaged(format!("log entry {index} is where entry {next} should be")));
        }
        next += 1;
    }
    if committed.as_ref().is_some_and(|committed| committed.index() >= next) && committed > covered {
        return Err(damaged("entries are gone that were committed".to_owned()));
    }
    Ok(())
}

fn raw_entries(store: &Store) -> io::Result<Vec<(u64, Vec<u8>)>> {
    store.read(|transaction| {
        let table = transaction.open_table(LOG)?;
        let mut entries = Vec::new();
        for item in table.iter()? {
            let (index, bytes) = item?;
            entries.push((index.value(), bytes.value().to_vec()));
        }
        Ok(entries)
    })
}
