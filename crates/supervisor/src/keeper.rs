//! The keeper: a small process that starts, watches and stops one service, and outlives whoever asked.
//!
//! Promise: one keeper a directory; nothing is started before its fence is on disk; a keeper that ends, however it ends, leaves
//! the service running. SIGTERM ends the keeper and nothing else.
//! Absent on purpose: threads, and configuration. All it knows comes with a request or from its record.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::fd::OwnedFd,
    os::unix::{
        fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::Mode;
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::UnixListener,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use crate::{
    record::RecordError,
    socket::{self, Reach},
};

mod acts;
mod desk;
mod hearing;
mod lane;
mod launch;
mod notify;
mod output;
mod state;
mod turns;

use desk::{Desk, Guests};
use state::{Event, Keeper};

/// How long a keeper waits for the one before it to let go of the directory.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How long answers may take to leave when the keeper exits.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a keeper did not run.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// It could not be made a process of its own.
    #[error("detach the keeper from its caller")]
    Detach(#[source] io::Error),
    /// Its directory cannot be used.
    #[error("use {path}", path = path.display())]
    Directory {
        /// The directory, or what is in it.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another keeper runs there.
    #[error("another keeper holds {path}", path = path.display())]
    Held {
        /// The directory.
        path: PathBuf,
    },
    /// What an earlier keeper wrote cannot be used.
    #[error("read what the last keeper knew")]
    Record(#[from] RecordError),
    /// What an earlier keeper left running cannot be adopted.
    #[error("adopt what the last keeper left")]
    Adopt(#[source] io::Error),
    /// No event can be waited for.
    #[error("wait for events")]
    Events(#[source] io::Error),
}

/// Runs the keeper of the service whose directory is `dir`, until it is told to quit, gets SIGTERM, or has had nothing to do
/// for a minute.
///
/// Called first in a process of its own: it takes its own session, closes what it inherited, and reaps all children.
pub fn run(dir: &Path) -> Result<(), KeeperError> {
    detach().map_err(KeeperError::Detach)?;
    let unusable = |source| KeeperError::Directory { path: dir.to_owned(), source };
    let dir = std::path::absolute(dir).map_err(unusable)?;
    DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(unusable)?;
    fs::set_permissions(&dir, Permissions::from_mode(0o700)).map_err(unusable)?;
    let _lock = hold(&dir)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(KeeperError::Events)?;
    runtime.block_on(keep(&dir))
}

/// Cuts every tie to the caller: session, files, the mask that a service would inherit.
fn detach() -> io::Result<()> {
    close_inherited()?;
    // Refused to the head of a process group. Then a shell or a test started it, and it has a group of its own.
    if let Err(e) = rustix::process::setsid()
        && e != rustix::io::Errno::PERM
    {
        return Err(e.into());
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));
    // What a service leaves behind when it dies falls to the keeper, and not to init, where nobody would find it.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Closes every file but the standard ones that came from the caller. Our own are told by being closed on exec, so no other
/// part of this process loses anything.
fn close_inherited() -> io::Result<()> {
    const CLOSED_ON_EXEC: u32 = 0o2_000_000;
    for entry in fs::read_dir("/proc/self/fd")? {
        let Some(fd) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(about) = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")) else { continue };
        let flags = about.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
        if fd > 2 && flags.is_some_and(|flags| flags & CLOSED_ON_EXEC == 0) {
            nix::unistd::close(fd)?;
        }
    }
    Ok(())
}

/// Takes the directory for this process alone.
fn hold(dir: &Path) -> Result<File, KeeperError> {
    let path = dir.join("lock");
    let unusable = |source| KeeperError::Directory { path: path.clone(), source };
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(unusable)?;
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // One that listens stays; one that does not is on its way out, or its child is on its way to exec.
            Err(fs::TryLockError::WouldBlock) if Instant::now() < until && !listens(dir) => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(fs::TryLockError::WouldBlock) => return Err(KeeperError::Held { path: dir.to_owned() }),
            Err(fs::TryLockError::Error(source)) => return Err(unusable(source)),
        }
    }
}

fn listens(dir: &Path) -> bool {
    Reach::new(dir).and_then(|reach| UnixStream::connect(reach.path())).is_ok()
}

/// The one loop. Everything that can happen passes here, one at a time.
async fn keep(dir: &Path) -> Result<(), KeeperError> {
    let mut children = signal(SignalKind::child()).map_err(KeeperError::Events)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(KeeperError::Events)?;
    let (events, mut happened) = mpsc::channel(64);
    let guests = Guests::default();
    let mut keeper = Keeper::open(dir, events.clone(), guests.clone()).await?;
    let listener = listen(dir)?;
    let desk = Desk::new(events, keeper.watch(), keeper.log_limit());
    let attending = tokio::spawn(desk::attend_all(listener, desk, guests.clone()));
    tracing::info!(pid = std::process::id(), dir = %dir.display(), "keeper up");
    while !keeper.is_done() {
        tokio::select! {
            _ = terminated.recv() => {
                // What a service has said is known to the next keeper; what was asked is asked again there.
                while let Ok(event) = happened.try_recv() {
                    if matches!(event, Event::Said { .. }) {
                        keeper.handle(event).await;
                    }
                }
                keeper.hear_out();
                break;
            }
            _ = children.recv() => {
                // Some of them may have spoken before they ended.
                while let Ok(event) = happened.try_recv() {
                    keeper.handle(event).await;
                }
                keeper.hear_out();
                keeper.reap().await;
            }
            Some(event) = happened.recv() => keeper.handle(event).await,
            () = tokio::time::sleep_until(keeper.due().into()) => keeper.tick().await,
        }
    }
    attending.abort();
    let _ = fs::remove_file(dir.join(socket::NAME));
    // Closes the watch and the queue, so that those who wait for a change, or were not heard yet, are let go.
    drop(keeper);
    drop(happened);
    guests.gone_within(FAREWELL).await;
    tracing::info!("keeper gone");
    Ok(())
}

/// A file that tells when it can be read.
#[expect(
    deprecated,
    reason = "its successor is unsafe for the sake of other types; an OwnedFd keeps to what it asks"
)]
fn watch_fd(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, interest)
}

fn listen(dir: &Path) -> Result<UnixListener, KeeperError> {
    let path = dir.join(socket::NAME);
    let unusable = |source| KeeperError::Directory { path: path.clone(), source };
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(unusable(e)),
        _ => (),
    }
    let reach = Reach::new(dir).map_err(unusable)?;
    let listener = UnixListener::bind(reach.path()).map_err(unusable)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(unusable)?;
    Ok(listener)
}
