//! What programs write: one bounded file per fence and attempt, which the program itself appends to.
//!
//! Promise: no pipe, so a writer never blocks on the keeper and never breaks with it. A byte keeps its offset when what
//! stands before it is cut. Between two looks at its size a file may grow past its limit by what is written in that time.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use model::{Fence, Incarnation, ReleaseId, Revision};
use serde::{Deserialize, Serialize};

mod cut;
mod lines;
mod places;
mod reader;
mod room;

pub(crate) use self::cut::bound;
pub use self::{
    places::{Place, Wanted, last_lines},
    reader::{Gap, LINE_LIMIT_BYTES, Line, Read, Reader},
};

/// Files kept of each kind, the newest.
const FILES_LIMIT: usize = 8;
/// Longest tail that is read, in bytes.
const TAIL_LIMIT_BYTES: usize = 1 << 20;

/// Name of the keeper's own log in its directory.
pub(crate) const OWN: &str = "keeper.log";

/// Whose output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Writer {
    /// `bin/serve`.
    Service,
    /// `bin/migrate`.
    Migration,
}

impl Writer {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Service, Self::Migration];

    fn prefix(self) -> &'static str {
        match self {
            Self::Service => "serve",
            Self::Migration => "migrate",
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

/// One run of a program, whose output is one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its number: it grows from run to run, over services and migrations alike.
    pub number: u64,
    /// What ran.
    pub writer: Writer,
    /// The grant that it was started under.
    pub fence: Fence,
    /// What it ran. None in files of keepers that did not write it down.
    pub release: Option<ReleaseId>,
    /// It is the old release, brought back under the grant that had started a new one.
    pub restored: bool,
}

/// What is written down beside a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Label {
    release: ReleaseId,
    #[serde(default)]
    restored: bool,
}

/// A file, as its name tells.
#[derive(Debug, Clone)]
struct LogFile {
    writer: Writer,
    fence: Fence,
    number: u64,
    path: PathBuf,
}

impl LogFile {
    fn parse(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(".log")?;
        let (prefix, rest) = name.split_once('-')?;
        let writer = Writer::ALL.into_iter().find(|writer| writer.prefix() == prefix)?;
        let (fence, number) = rest.split_once('-')?;
        let (incarnation, revision) = fence.split_once('.')?;
        let fence = Fence {
            incarnation: Incarnation(incarnation.parse().ok()?),
            revision: Revision(revision.parse().ok()?),
        };
        Some(Self { writer, fence, number: number.parse().ok()?, path })
    }

    fn label_path(&self) -> PathBuf {
        self.path.with_extension("json")
    }

    /// What is written down beside it; nothing, when that is missing or torn.
    fn label(&self) -> Option<Label> {
        serde_json::from_slice(&fs::read(self.label_path()).ok()?).ok()
    }

    fn attempt(&self) -> Attempt {
        let label = self.label();
        Attempt {
            number: self.number,
            writer: self.writer,
            fence: self.fence,
            restored: label.as_ref().is_some_and(|label| label.restored),
            release: label.map(|label| label.release),
        }
    }
}

/// Where a keeper's logs are.
fn below(keeper: &Path) -> PathBuf {
    keeper.join("logs")
}

/// The files in a directory of logs, the oldest first; none, when there is no directory yet.
fn files(dir: &Path) -> io::Result<Vec<LogFile>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut found = Vec::new();
    for entry in entries {
        found.extend(LogFile::parse(entry?.path()));
    }
    found.sort_by_key(|file| file.number);
    Ok(found)
}

/// The directory of logs, as the keeper has it.
#[derive(Debug)]
pub(crate) struct Logs {
    dir: PathBuf,
}

impl Logs {
    pub(crate) fn open(keeper: &Path) -> io::Result<Self> {
        let dir = below(keeper);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(Self { dir })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The number of the newest attempt that there is a file of. Whoever numbers attempts goes on after it.
    pub(crate) fn newest(&self) -> io::Result<u64> {
        Ok(files(&self.dir)?.last().map_or(0, |file| file.number))
    }

    /// A new file to append to. Attempts are numbered in order over all fences and both writers.
    pub(crate) fn create(
        &self,
        writer: Writer,
        fence: Fence,
        number: u64,
        release: &ReleaseId,
    ) -> io::Result<File> {
        let restored = writer == Writer::Service && self.is_restored(fence, release)?;
        let path = self.dir.join(format!("{}-{fence}-{number:010}.log", writer.prefix()));
        let file = LogFile { writer, fence, number, path };
        // The label first: whoever finds the file finds what it is of.
        let label = Label { release: release.clone(), restored };
        let mut beside =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file.label_path())?;
        beside.write_all(&serde_json::to_vec(&label)?)?;
        self.give_up_room(writer)?;
        let open = OpenOptions::new().append(true).create(true).mode(0o600).open(&file.path)?;
        self.prune(writer)?;
        Ok(open)
    }

    /// Whether the release is another one than the first that was started under this fence: then the host went back to it.
    fn is_restored(&self, fence: Fence, release: &ReleaseId) -> io::Result<bool> {
        let files = files(&self.dir)?;
        let same = files.iter().rev().find(|file| file.writer == Writer::Service && file.fence == fence);
        // The last one knows of those before it, also when their files are gone.
        Ok(same.and_then(LogFile::label).is_some_and(|last| last.restored != (last.release != *release)))
    }

    /// Keeps room on the disk for what the newest run of a program is about to write, where `limit_bytes` of it are kept.
    pub(crate) fn keep_room(&self, writer: Writer, limit_bytes: u64) -> io::Result<()> {
        let files = files(&self.dir)?;
        let newest = files.iter().rfind(|file| file.writer == writer);
        newest.map_or(Ok(()), |file| room::keep(&file.path, limit_bytes))
    }

    /// The run before has ended, and needs none any more.
    fn give_up_room(&self, writer: Writer) -> io::Result<()> {
        let files = files(&self.dir)?;
        let newest = files.iter().rfind(|file| file.writer == writer);
        newest.map_or(Ok(()), |file| room::give_up(&file.path))
    }

    fn prune(&self, writer: Writer) -> io::Result<()> {
        let mut files = files(&self.dir)?;
        files.retain(|file| file.writer == writer);
        let excess = files.len().saturating_sub(FILES_LIMIT);
        for file in &files[..excess] {
            fs::remove_file(&file.path)?;
            if let Err(e) = fs::remove_file(file.label_path())
                && e.kind() != io::ErrorKind::NotFound
            {
                return Err(e);
            }
        }
        Ok(())
    }

    /// The last `limit` bytes that were written under `fence`, over all its attempts, from the start of a line.
    pub(crate) fn tail(&self, writer: Writer, fence: Fence, limit: usize) -> io::Result<String> {
        let limit = limit.min(TAIL_LIMIT_BYTES);
        let mut bytes = Vec::new();
        let files = files(&self.dir)?;
        for file in files.iter().rev().filter(|file| (file.writer, file.fence) == (writer, fence)) {
            // One byte more than wanted tells whether what is wanted begins a line.
            let mut earlier = end_of(&file.path, limit + 1 - bytes.len())?;
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
        files(&self.dir)?.iter().map(|file| bound(&file.path, limit_bytes)).sum()
    }
}

/// At most the last `limit` bytes of a file; what was cut off its front is not among them.
fn end_of(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let from = cut::first(&file, length)?.max(length.saturating_sub(limit as u64));
    let mut bytes = vec![0; usize::try_from(length - from).unwrap_or(limit)];
    file.read_exact_at(&mut bytes, from)?;
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

#[cfg(test)]
mod tests;
