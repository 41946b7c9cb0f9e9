//! What programs write: one bounded file per fence and attempt, which the program itself appends to.
//!
//! Promise: no pipe, so a writer never blocks on the keeper and never breaks with it. Between two looks at its size a file may
//! grow past its limit by what is written in that time.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use model::Fence;
use rustix::fs::FallocateFlags;

/// Files kept of each kind, the newest.
const FILES_LIMIT: usize = 8;
/// Longest tail that is read, in bytes.
const TAIL_LIMIT_BYTES: usize = 1 << 20;
/// Files shrink by whole blocks of this size, in bytes; it holds a block of every usual file system.
const BLOCK_BYTES: u64 = 64 << 10;

/// Name of the keeper's own log in its directory.
pub(crate) const OWN: &str = "keeper.log";

/// Whose output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Writer {
    Service,
    Migration,
}

impl Writer {
    fn prefix(self) -> &'static str {
        match self {
            Self::Service => "serve-",
            Self::Migration => "migrate-",
        }
    }

    /// The one beside it.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Service => Self::Migration,
            Self::Migration => Self::Service,
        }
    }
}

/// The directory of logs.
#[derive(Debug)]
pub(crate) struct Logs {
    dir: PathBuf,
}

impl Logs {
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let dir = dir.join("logs");
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(Self { dir })
    }

    /// A new file to append to. Attempts are numbered in order over all fences, so that names sort by time.
    pub(crate) fn create(&self, writer: Writer, fence: Fence, attempt: u64) -> io::Result<File> {
        let path = self.dir.join(format!("{}{fence}-{attempt:010}.log", writer.prefix()));
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        self.prune(writer)?;
        Ok(file)
    }

    /// The files of one writer, the oldest first.
    fn files(&self, prefix: &str) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if let Some(attempt) = name.strip_suffix(".log").filter(|name| name.starts_with(prefix)) {
                let attempt = attempt.rsplit('-').next().unwrap_or_default().to_owned();
                found.push((attempt, path));
            }
        }
        found.sort();
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }

    fn prune(&self, writer: Writer) -> io::Result<()> {
        let files = self.files(writer.prefix())?;
        let excess = files.len().saturating_sub(FILES_LIMIT);
        files[..excess].iter().try_for_each(fs::remove_file)
    }

    /// The last `limit` bytes that were written under `fence`, over all its attempts, from the start of a line.
    pub(crate) fn tail(&self, writer: Writer, fence: Fence, limit: usize) -> io::Result<String> {
        let limit = limit.min(TAIL_LIMIT_BYTES);
        let mut bytes = Vec::new();
        for path in self.files(&format!("{}{fence}-", writer.prefix()))?.iter().rev() {
            // One byte more than wanted tells whether what is wanted begins a line.
            let mut earlier = end_of(path, limit + 1 - bytes.len())?;
            earlier.append(&mut bytes);
            bytes = earlier;
            if bytes.len() > limit {
                break;
            }
        }
        Ok(text(&bytes, limit))
    }

    /// Brings every file down to `limit_bytes` or less. Returns how many bytes there are now.
    pub(crate) fn bound(&self, limit_bytes: u64) -> io::Result<u64> {
        self.files("")?.iter().map(|path| bound(path, limit_bytes)).sum()
    }
}

/// At most the last `limit` bytes of a file.
fn end_of(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(limit as u64)))?;
    let mut bytes = Vec::new();
    file.take(limit as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What is longer than `limit` begins at its first whole line, if it holds one.
fn text(bytes: &[u8], limit: usize) -> String {
    let from = if bytes.len() <= limit {
        0
    } else {
        let line = bytes.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        line.filter(|&at| at < bytes.len()).unwrap_or(1)
    };
    String::from_utf8_lossy(&bytes[from..]).into_owned()
}

/// Shortens a file that is longer than `limit_bytes` to its last half of that. Returns its length.
pub(crate) fn bound(path: &Path, limit_bytes: u64) -> io::Result<u64> {
    let length = match fs::metadata(path) {
        Ok(about) => about.len(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(e),
    };
    if length <= limit_bytes {
        return Ok(length);
    }
    let excess = (length - limit_bytes / 2) / BLOCK_BYTES * BLOCK_BYTES;
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    // Takes the oldest blocks away in one step, and loses nothing that is written meanwhile. Only some file systems can.
    let collapsed =
        excess > 0 && rustix::fs::fallocate(&file, FallocateFlags::COLLAPSE_RANGE, 0, excess).is_ok();
    if !collapsed {
        copy_tail(path, &file, limit_bytes / 2)?;
    }
    Ok(file.metadata()?.len())
}

/// Empties a file and appends its tail again. What is written between the two steps stands before the tail, and what was
/// written while the tail was read is lost: the price of a program that keeps its file open.
fn copy_tail(path: &Path, file: &File, keep_bytes: u64) -> io::Result<()> {
    let mut tail = end_of(path, usize::try_from(keep_bytes).unwrap_or(usize::MAX))?;
    let line = tail.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    tail.drain(..line);
    file.set_len(0)?;
    OpenOptions::new().append(true).open(path)?.write_all(&tail)
}

#[cfg(test)]
mod tests;
