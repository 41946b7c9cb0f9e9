//! The socket on which services speak of themselves, in the words of `sd_notify`.
//!
//! Promise: who sent a datagram is the kernel's word, not the sender's. It has a name and no file, since a service that runs as
//! another user could not reach a file in the keeper's directory. The name is drawn for each start, so that nobody can take it before. While
//! there is no keeper it is nobody's: what is said then is lost, and the next keeper says that it may be so. Absent on purpose: whose
//! word counts.

use std::{
    ffi::OsStr,
    io::{self, IoSliceMut},
    os::{
        fd::{AsRawFd, RawFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram as StdDatagram},
    },
    path::Path,
    sync::Arc,
};

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt, sockopt::PassCred,
};
use ports::supervisor::STATUS_LIMIT_BYTES;
use tokio::{
    io::Interest,
    net::UnixDatagram,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::state::Event;

/// Longest part of a name that says which service it is of, in bytes.
const SERVICE_BYTES: usize = 32;
/// Longest datagram that is read; what is longer is cut.
const DATAGRAM_BYTES: usize = 4 << 10;
/// Most datagrams that are taken at once; the kernel holds fewer.
const WAITING: usize = 1024;
/// Most files that the kernel lets through with one datagram.
const FILES: usize = 253;

/// What a service says of itself in one datagram. What else it says is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Word {
    /// That it is ready, or that it stops.
    pub(super) ready: Option<bool>,
    /// Its status, in one line.
    pub(super) status: Option<String>,
}

/// A socket that is read, until this is dropped.
#[derive(Debug)]
pub(super) struct Ears {
    /// Its name in the abstract namespace.
    pub(super) name: String,
    socket: Arc<UnixDatagram>,
    task: JoinHandle<()>,
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Ears {
    /// Takes a new name for the service in `dir`, which nobody can have taken before.
    pub(super) fn open(dir: &Path, events: &mpsc::Sender<Event>) -> io::Result<Self> {
        Self::named(name(dir, &drawn()?), events)
    }

    /// Takes exactly this name.
    pub(super) fn named(name: String, events: &mpsc::Sender<Event>) -> io::Result<Self> {
        let socket = StdDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        setsockopt(&socket, PassCred, &true)?;
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UnixDatagram::from_std(socket)?);
        let task = tokio::spawn(hear(socket.clone(), events.clone()));
        Ok(Self { name, socket, task })
    }

    /// All that was said and not heard yet, without waiting for more.
    pub(super) fn waiting(&self) -> Vec<(u32, Word)> {
        let mut said = Vec::new();
        while said.len() < WAITING {
            match receive(&self.socket) {
                Ok(heard) => said.extend(heard),
                Err(_) => break,
            }
        }
        said
    }

    /// What `NOTIFY_SOCKET` says: `@` stands for the zero byte that an abstract name begins with.
    pub(super) fn address(&self) -> String {
        format!("@{}", self.name)
    }
}

/// A name for a socket of the keeper in `dir`.
fn name(dir: &Path, drawn: &str) -> String {
    let service = dir.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
    format!("deployinator/{}/{drawn}", cut(&service, SERVICE_BYTES))
}

/// What nobody can guess.
fn drawn() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned())
}

/// Passes on every word, one at a time: who waits until a word was heard, as `systemd-notify` does, waits until it was acted on.
async fn hear(socket: Arc<UnixDatagram>, events: mpsc::Sender<Event>) {
    loop {
        let heard = match socket.async_io(Interest::READABLE, || receive(&socket)).await {
            Ok(Some(heard)) => heard,
            Ok(None) => continue,
            Err(error) => {
                tracing::warn!(%error, "hear a service");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let (pid, word) = heard;
        let (done, acted_on) = oneshot::channel();
        if events.send(Event::Said { pid, word, done }).await.is_err() {
            return;
        }
        // Dropped without a word when the keeper ends.
        let _ = acted_on.await;
    }
}

/// One datagram: who sent it, and what it says.
fn receive(socket: &UnixDatagram) -> io::Result<Option<(u32, Word)>> {
    let mut bytes = [0; DATAGRAM_BYTES];
    let mut space = nix::cmsg_space!(UnixCredentials, [RawFd; FILES]);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags)?;
    let mut sender = None;
    let Ok(parts) = message.cmsgs() else { return Ok(None) };
    for part in parts {
        match part {
            ControlMessageOwned::ScmCredentials(credentials) => {
                sender = u32::try_from(credentials.pid()).ok();
            }
            // Nothing is kept for a service. Who waits for the end of such a file gets it.
            ControlMessageOwned::ScmRights(files) => {
                files.into_iter().for_each(|file| nix::unistd::close(file).unwrap_or_default());
            }
            _ => (),
        }
    }
    let length = message.bytes;
    Ok(sender.filter(|&pid| pid != 0).map(|pid| (pid, parse(&bytes[..length]))))
}

/// Reads `KEY=VALUE` lines.
fn parse(bytes: &[u8]) -> Word {
    let mut word = Word::default();
    for line in String::from_utf8_lossy(bytes).lines() {
        match line.split_once('=') {
            Some(("READY", "1")) => word.ready = Some(true),
            Some(("STOPPING", "1")) => word.ready = Some(false),
            Some(("STATUS", status)) => {
                let plain = status.replace(|c: char| c.is_control(), " ");
                word.status = Some(cut(plain.trim(), STATUS_LIMIT_BYTES).to_owned());
            }
            _ => (),
        }
    }
    word
}

/// At most the first `limit` bytes, in whole characters.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_and_status_are_read_and_all_else_is_not() {
        let word =
            parse(b"READY=1\nSTATUS=warm \x07 \nMAINPID=1\nWATCHDOG=1\nFDSTORE=1\n\xff=\nREADY=0\nREADY");
        assert_eq!(word, Word { ready: Some(true), status: Some("warm".to_owned()) });
        assert_eq!(parse(b"STOPPING=1\nSTATUS="), Word { ready: Some(false), status: Some(String::new()) });
        assert_eq!(parse(b"\n\n"), Word::default());
    }

    #[test]
    fn a_status_is_cut_in_whole_characters() {
        let long = format!("STATUS=a{}", "é".repeat(STATUS_LIMIT_BYTES));
        let status = parse(long.as_bytes()).status.unwrap();
        assert_eq!(status.len(), STATUS_LIMIT_BYTES - 1);
        assert!(status.ends_with('é'));
    }

    #[test]
    fn every_start_has_a_name_of_its_own_that_fits() {
        let long = format!("/state/services/{}", "w".repeat(300));
        let of = |dir: &str| name(Path::new(dir), &drawn().unwrap());
        let all: std::collections::BTreeSet<String> = ["/a/web", "/a/web", "/b/web", &long].map(of).into();
        assert_eq!(all.len(), 4, "{all:?}");
        assert!(all.iter().all(|name| SocketAddr::from_abstract_name(name).is_ok()), "{all:?}");
    }
}
