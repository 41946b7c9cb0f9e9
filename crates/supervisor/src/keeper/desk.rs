//! Where clients are heard: one task a connection, one request each.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ports::supervisor::Observation;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream, unix::OwnedReadHalf},
    sync::{Semaphore, mpsc, oneshot, watch},
    time::timeout,
};

use super::state::Event;
use crate::protocol::{AnyHello, Hello, LINE_LIMIT_BYTES, Reply, Request, UNDERSTAND, VERSION, Welcome};

/// Clients that are heard at once; others wait in the socket's queue.
const GUESTS_LIMIT: u32 = 64;
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// Counts the clients that are here.
#[derive(Debug, Clone)]
pub(super) struct Guests(Arc<Semaphore>);

impl Default for Guests {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(GUESTS_LIMIT as usize)))
    }
}

impl Guests {
    /// Whether any client is here.
    pub(super) fn any(&self) -> bool {
        self.0.available_permits() < GUESTS_LIMIT as usize
    }

    /// Waits until all have their answer, `limit` at the most.
    pub(super) async fn gone_within(&self, limit: Duration) {
        if timeout(limit, self.0.acquire_many(GUESTS_LIMIT)).await.is_err() {
            tracing::warn!("a client did not take its answer");
        }
    }
}

/// What a connection needs of the keeper.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    events: mpsc::Sender<Event>,
    observed: watch::Receiver<Observation>,
    log_limit: Arc<AtomicU64>,
    program: PathBuf,
}

impl Desk {
    pub(super) fn new(
        events: mpsc::Sender<Event>,
        observed: watch::Receiver<Observation>,
        log_limit: Arc<AtomicU64>,
    ) -> Self {
        let program = std::fs::read_link("/proc/self/exe").unwrap_or_default();
        Self { events, observed, log_limit, program }
    }

    async fn answer(mut self, request: Request) -> Option<Reply> {
        match request {
            Request::Observe => Some(Reply::Observed(Box::new(self.observed.borrow().clone()))),
            Request::Changed { seen, wait } => {
                if let Ok(Err(_)) = timeout(wait, self.observed.wait_for(|now| now.change > seen)).await {
                    return None;
                }
                Some(Reply::Observed(Box::new(self.observed.borrow().clone())))
            }
            request => {
                let (reply, replied) = oneshot::channel();
                self.events.send(Event::Asked(request, reply)).await.ok()?;
                replied.await.ok()
            }
        }
    }
}

/// Hears every client, until it is aborted.
pub(super) async fn attend_all(listener: UnixListener, desk: Desk, guests: Guests) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accept a client");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = guests.0.clone().acquire_owned().await else { return };
        let desk = desk.clone();
        tokio::spawn(async move {
            if let Err(error) = attend(desk, stream).await {
                tracing::debug!(%error, "a client left");
            }
            drop(permit);
        });
    }
}

async fn attend(desk: Desk, stream: UnixStream) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let hello = timeout(PATIENCE, line(&mut read)).await??;
    let offered = serde_json::from_slice::<AnyHello>(&hello)?.version;
    if offered != VERSION {
        return say(&mut write, &Welcome::Refused { offered, spoken: VERSION }).await;
    }
    let hello: Hello = serde_json::from_slice(&hello)?;
    desk.log_limit.store(hello.log_limit_bytes, Ordering::Relaxed);
    let welcome = Welcome::Ready { version: VERSION, pid: std::process::id(), program: desk.program.clone() };
    say(&mut write, &welcome).await?;
    let request = timeout(PATIENCE, line(&mut read)).await??;
    let reply = match serde_json::from_slice(&request) {
        // A client that goes away takes its wait with it, but not what it asked for: that is the keeper's by now.
        Ok(request) => tokio::select! {
            reply = desk.answer(request) => reply,
            _ = read.read_u8() => return Ok(()),
        },
        Err(source) => Some(Reply::Fault {
            permanent: true,
            attempted: UNDERSTAND.to_owned(),
            problem: source.to_string(),
        }),
    };
    match reply {
        Some(reply) => say(&mut write, &reply).await,
        None => Ok(()),
    }
}

async fn line(read: &mut BufReader<OwnedReadHalf>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    read.take(LINE_LIMIT_BYTES).read_until(b'\n', &mut line).await?;
    if line.ends_with(b"\n") { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

async fn say(write: &mut (impl AsyncWriteExt + Unpin), message: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    write.write_all(&line).await
}
