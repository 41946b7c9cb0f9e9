//! Makes durable what was appended, on a thread of its own: while the disk works, entries are on their way to the peers already, and one
//! flush does for all that waited when it began.
//!
//! Promise: nobody is told that an entry is durable before a flush that began after it was written has ended. Whoever waits is told, also
//! when the store is closed.
//! Absent: writing beside a flush. redb has one writer at a time: whatever is written next (entries, a vote, a purge) waits for the flush that is
//! under way, and what is durable then is so with all that was written before it. Readers do not wait.

use std::{
    io,
    sync::{Weak, mpsc},
    thread,
};

use super::{Inner, Store};

/// Told how the flush went. Never called twice.
pub(super) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Takes those who wait for a flush.
pub(super) type Flushes = Box<dyn Fn(Done) + Send + Sync>;

/// Starts the thread. It ends when all handles of the store are gone.
pub(super) fn start(store: Weak<Inner>) -> io::Result<Flushes> {
    let (sender, waiting) = mpsc::channel();
    thread::Builder::new().name("raft-flush".to_owned()).spawn(move || run(&store, &waiting))?;
    Ok(Box::new(move |done| {
        if let Err(mpsc::SendError(done)) = sender.send(done) {
            done(Err(io::Error::other("the thread that flushes has ended")));
        }
    }))
}

fn run(store: &Weak<Inner>, waiting: &mpsc::Receiver<Done>) {
    while let Ok(first) = waiting.recv() {
        // All of these were written before this flush begins.
        let batch: Vec<Done> = std::iter::once(first).chain(waiting.try_iter()).collect();
        let flushed = match store.upgrade() {
            Some(inner) => Store { inner }.sync(),
            // The last handle was dropped, and with it whoever waited.
            None => return,
        };
        for done in batch {
            done(match &flushed {
                Ok(()) => Ok(()),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            });
        }
    }
}

#[cfg(test)]
mod tests;
