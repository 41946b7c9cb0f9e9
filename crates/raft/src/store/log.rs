//! openraft's view of the store: entries, vote, commit and purge marks.

use std::{fmt::Debug, io, ops::RangeBounds};

use openraft::{
    LogState, OptionalSend, RaftLogReader,
    entry::RaftEntry as _,
    storage::{IOFlushed, RaftLogStorage},
};
use redb::{Durability, ReadableTable as _};

use super::{KEY_COMMITTED, KEY_PURGED, KEY_VOTE, LOG, META, Store, decode, encode};
use crate::{
    Machine,
    types::{Entry, LogId, Types, Vote},
};

/// Entries for one message stop here, in bytes; a single entry may be larger.
const BATCH_LIMIT_BYTES: usize = 4 << 20;

impl Store {
    /// The last entry's id: of the log, or of what was purged.
    pub(crate) fn last<M: Machine>(&self) -> io::Result<Option<LogId<M>>> {
        let last = self.read(|transaction| {
            let table = transaction.open_table(LOG)?;
            Ok(table.last()?.map(|(_, bytes)| bytes.value().to_vec()))
        })?;
        match last {
            Some(bytes) => Ok(Some(decode::<Entry<M>>(&bytes)?.log_id())),
            None => self.get(KEY_PURGED),
        }
    }

    pub(crate) fn entries<M: Machine>(
        &self,
        range: impl RangeBounds<u64>,
        limit_bytes: usize,
    ) -> io::Result<Vec<Entry<M>>> {
        let raw = self.read(|transaction| {
            let table = transaction.open_table(LOG)?;
            let (mut entries, mut bytes) = (Vec::new(), 0);
            for item in table.range::<u64>(range)? {
                let entry = item?.1.value().to_vec();
                if bytes > 0 && bytes + entry.len() > limit_bytes {
                    break;
                }
                bytes += entry.len();
                entries.push(entry);
            }
            Ok(entries)
        })?;
        raw.iter().map(|bytes| decode(bytes)).collect()
    }
}

impl<M: Machine> RaftLogReader<Types<M>> for Store {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry<M>>> {
        self.entries::<M>(range, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry<M>>> {
        self.entries::<M>(start..end, BATCH_LIMIT_BYTES)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote<M>>> {
        self.get(KEY_VOTE)
    }
}

impl<M: Machine> RaftLogStorage<Types<M>> for Store {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types<M>>> {
        let last_purged_log_id: Option<LogId<M>> = self.get(KEY_PURGED)?;
        let last_log_id = self.last::<M>()?;
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<M>) -> io::Result<()> {
        self.put(Durability::Immediate, KEY_VOTE, vote)
    }

    /// Not flushed: a commit mark that is behind only means that entries are applied again after a restart.
    async fn save_committed(&mut self, committed: Option<LogId<M>>) -> io::Result<()> {
        match committed {
            Some(committed) => self.put(Durability::None, KEY_COMMITTED, &committed),
            None => Ok(()),
        }
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId<M>>> {
        self.get(KEY_COMMITTED)
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<Types<M>>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry<M>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let encoded: Vec<(u64, Vec<u8>)> = entries
            .into_iter()
            .map(|entry| Ok((entry.index(), encode(&entry)?)))
            .collect::<io::Result<_>>()?;
        // Readable at once, so that the peers get it while the disk works; durable when `flushed` is told.
        self.write(Durability::None, |transaction| {
            let mut table = transaction.open_table(LOG)?;
            for (index, bytes) in &encoded {
                table.insert(index, bytes.as_slice())?;
            }
            Ok(())
        })?;
        self.flush(Box::new(move |result| flushed.io_completed(result)));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId<M>>) -> io::Result<()> {
        let first_gone = last.map_or(0, |last| last.index() + 1);
        self.write(Durability::Immediate, |transaction| {
            transaction.open_table(LOG)?.retain_in(first_gone.., |_, _| false)?;
            Ok(())
        })
    }

    async fn purge(&mut self, upto: LogId<M>) -> io::Result<()> {
        let mark = encode(&upto)?;
        self.write(Durability::Immediate, |transaction| {
            transaction.open_table(META)?.insert(KEY_PURGED, mark.as_slice())?;
            transaction.open_table(LOG)?.retain_in(..=upto.index(), |_, _| false)?;
            Ok(())
        })
    }
}
