//! Passes connections on, and counts what goes through: bytes, and HTTP/2 frames that carry a message.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// What a client says first on a connection; frames follow.
const PREFACE_BYTES: usize = 24;
/// What each frame begins with.
const HEADER_BYTES: usize = 9;
/// The type of a frame that carries data.
const DATA: u8 = 0;

/// What went through.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Count {
    pub(super) bytes: f64,
    pub(super) messages: f64,
}

impl Count {
    pub(super) fn since(self, before: Self) -> Self {
        Self { bytes: self.bytes - before.bytes, messages: self.messages - before.messages }
    }

    pub(super) fn by(self, divisor: f64) -> Self {
        Self { bytes: self.bytes / divisor, messages: self.messages / divisor }
    }
}

#[derive(Debug, Default)]
struct Totals {
    bytes: AtomicU64,
    messages: AtomicU64,
}

/// Counts all connections that pass it. Dropping it cuts them.
#[derive(Debug, Default)]
pub(super) struct Meter {
    totals: Arc<Totals>,
    listening: std::sync::Mutex<JoinSet<()>>,
}

impl Meter {
    /// Passes on what arrives at `from` to `to`.
    pub(super) async fn watch(&self, from: SocketAddr, to: SocketAddr) -> Result<()> {
        let listener = TcpListener::bind(from).await.with_context(|| format!("listen on {from}"))?;
        let totals = self.totals.clone();
        let mut listening = self.listening.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        listening.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(pass(stream, to, totals.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(())
    }

    /// What went through until now.
    #[allow(clippy::cast_precision_loss, reason = "no run sends that much")]
    pub(super) fn count(&self) -> Count {
        let Totals { bytes, messages } = &*self.totals;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        Count { bytes: of(bytes), messages: of(messages) }
    }
}

async fn pass(caller: TcpStream, to: SocketAddr, totals: Arc<Totals>) {
    // Nobody listens there yet: the caller sees its connection closed, and tries again.
    let Ok(called) = TcpStream::connect(to).await else { return };
    if caller.set_nodelay(true).is_err() || called.set_nodelay(true).is_err() {
        return;
    }
    let ((from_caller, to_caller), (from_called, to_called)) = (caller.into_split(), called.into_split());
    // When one side has closed, so has the connection.
    tokio::select! {
        () = copy(from_caller, to_called, Frames::after(PREFACE_BYTES), &totals) => (),
        () = copy(from_called, to_caller, Frames::after(0), &totals) => (),
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut frames: Frames,
    totals: &Totals,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        totals.bytes.fetch_add(length as u64, Ordering::Relaxed);
        totals.messages.fetch_add(frames.messages(&buffer[..length]), Ordering::Relaxed);
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// Finds frames in one direction of a connection.
#[derive(Debug)]
struct Frames {
    /// Bytes until the next frame begins.
    skip: usize,
    header: Vec<u8>,
}

impl Frames {
    fn after(skip: usize) -> Self {
        Self { skip, header: Vec::with_capacity(HEADER_BYTES) }
    }

    /// Frames that carry a message and whose header ends in `bytes`.
    fn messages(&mut self, mut bytes: &[u8]) -> u64 {
        let mut found = 0;
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            (self.skip, bytes) = (self.skip - skipped, &bytes[skipped..]);
            let taken = (HEADER_BYTES - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if let &[a, b, c, kind, ..] = &self.header[..]
                && self.header.len() == HEADER_BYTES
            {
                self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                found += u64::from(kind == DATA && 0 < self.skip);
                self.header.clear();
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        [vec![0, 0, length, kind, 0, 0, 0, 0, 1], vec![7; usize::from(length)]].concat()
    }

    #[test]
    fn messages_are_counted_however_the_bytes_are_cut() {
        let stream =
            [vec![1; PREFACE_BYTES], frame(4, 18), frame(1, 30), frame(0, 200), frame(0, 0), frame(0, 5)]
                .concat();
        for cut in 1..stream.len() {
            let mut frames = Frames::after(PREFACE_BYTES);
            let found: u64 = stream.chunks(cut).map(|part| frames.messages(part)).sum();
            assert_eq!(found, 2, "cut into pieces of {cut}");
        }
    }
}
