//! Connections from others, so many at a time that this agent always has files left for its own work.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::sleep,
};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::transport::server::{Connected, TcpConnectInfo};
use tracing::warn;

/// Files that this agent keeps for itself: its state, its keepers, its calls to others.
const OWN_FILES: u64 = 256;
/// Least and most connections at a time.
const CONNECTIONS: (u64, u64) = (64, 16_384);
/// Most files that an agent asks for.
const FILES_WANTED: u64 = 65_536;
/// Pause after a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// Raises this process's limit of open files as far as it may. Returns what it was before: whatever it starts is to have that.
#[must_use]
pub fn raise_open_files() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let before = current?;
    let wanted = maximum.map_or(FILES_WANTED, |most| most.min(FILES_WANTED));
    if before < wanted
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
    {
        warn!(%error, before, wanted, "raise the limit of open files");
    }
    Some(before)
}

/// Takes back what [`raise_open_files`] did, before this process becomes another run of the agent: what that one starts is to have the limit
/// that this one was given.
pub fn lower_open_files(before: Option<u64>) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Some(before) = before
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(before), maximum })
    {
        warn!(%error, before, "lower the limit of open files");
    }
}

/// Takes the address; nothing is taken from it yet.
///
/// # Errors
/// It is taken, or is not this machine's.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Takes connections until nobody wants them any more.
pub(super) fn accept(listener: TcpListener) -> impl Stream<Item = io::Result<Connection>> {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(FILES_WANTED);
    let room = files.saturating_sub(OWN_FILES).clamp(CONNECTIONS.0, CONNECTIONS.1);
    let room = Arc::new(Semaphore::new(usize::try_from(room).unwrap_or(Semaphore::MAX_PERMITS)));
    let (taken, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        tokio::select! {
            () = taken.closed() => (),
            () = take(&listener, room, &taken) => (),
        }
    });
    ReceiverStream::new(stream)
}

async fn take(listener: &TcpListener, room: Arc<Semaphore>, taken: &mpsc::Sender<io::Result<Connection>>) {
    let mut told = false;
    loop {
        if room.available_permits() == 0 && !std::mem::replace(&mut told, true) {
            warn!("as many connections are open as this agent takes; others wait until one of them ends");
        }
        let Ok(room) = room.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Without a pause, one that stays would take all the time there is.
                warn!(%error, "take a connection");
                sleep(PAUSE).await;
                continue;
            }
        };
        // One that is gone already is told by its first use.
        let _ = stream.set_nodelay(true);
        if taken.send(Ok(Connection { stream, _room: room })).await.is_err() {
            return;
        }
    }
}

/// A connection, with its place among those that may be open.
pub(super) struct Connection {
    stream: TcpStream,
    _room: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
