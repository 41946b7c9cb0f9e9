//! What the keeper must not forget: one small file, written whole before every act.
//!
//! Promise: the file is the old or the new one, never a mixture; one that is torn or altered is refused, never guessed at.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use model::Fence;
use ports::supervisor::{Exit, Launch};
use serde::{Deserialize, Serialize};

use crate::processes::Identity;

/// The format without manners.
const PLAIN: u32 = 1;
/// The format of a record with a manner that a keeper must know of. One that does not would start the service again in another one.
const VERSION: u32 = 2;
/// The first word of the file.
const MAGIC: &str = "deployinator-keeper";
/// Migrations that are remembered, the oldest forgotten first.
const MIGRATIONS_LIMIT: usize = 32;

/// All that the keeper knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The boot in which pids mean something.
    pub(crate) boot: String,
    /// Counts changes.
    pub(crate) change: u64,
    /// Counts started programs; numbers their logs.
    pub(crate) attempts: u64,
    /// Newest fence of the service.
    pub(crate) fence: Option<Fence>,
    /// Newest fence of the migrations.
    pub(crate) migration_fence: Option<Fence>,
    pub(crate) service: Option<Service>,
    /// One per release, the last one last.
    pub(crate) migrations: Vec<Run>,
}

/// A program and how far it got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) launch: Launch,
    pub(crate) stage: Stage,
}

/// How far a program got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// About to exec. The keeper's session and the time tell a later keeper whether it did.
    Begun { session: u32, ticks: u64 },
    /// It runs.
    Running(Identity),
    /// It ended.
    Ended(Exit),
}

/// The service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Service {
    pub(crate) run: Run,
    /// Whether it is started again when it ends unasked.
    pub(crate) keep: bool,
    pub(crate) restarts: u32,
    /// What it has said of itself since it was started last.
    #[serde(default)]
    pub(crate) said: Said,
    /// What else there is to say of its last end.
    #[serde(default)]
    pub(crate) note: Option<String>,
}

/// What a service has said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Said {
    /// It is ready. Where its word is not asked for, it is ready as it runs.
    pub(crate) ready: bool,
    /// Its status, in its own words.
    pub(crate) status: Option<String>,
    /// The name of the socket that it was given to say so.
    pub(crate) socket: Option<String>,
    /// It may have spoken while nobody listened.
    #[serde(default)]
    pub(crate) unheard: bool,
}

impl Default for Said {
    fn default() -> Self {
        Self { ready: true, status: None, socket: None, unheard: false }
    }
}

/// Why there is no usable record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It could not be read or written.
    #[error("{attempted} {path}", path = path.display())]
    Io {
        /// Read or write.
        attempted: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not what a keeper wrote. What runs cannot be known from it, so nothing is done.
    #[error("{path}: {problem}; find out what runs, stop it, and remove the file", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl Record {
    /// Nothing happened yet.
    pub(crate) fn new(boot: String) -> Self {
        Self {
            boot,
            change: 0,
            attempts: 0,
            fence: None,
            migration_fence: None,
            service: None,
            migrations: Vec::new(),
        }
    }

    fn is_plain(&self) -> bool {
        let service = self.service.iter().map(|service| &service.run);
        service.chain(&self.migrations).all(|run| run.launch.manner.is_plain())
    }

    /// Adds a migration as the last one, in place of an earlier one of its release.
    pub(crate) fn push_migration(&mut self, run: Run) {
        self.migrations.retain(|old| old.launch.release != run.launch.release);
        self.migrations.push(run);
        let excess = self.migrations.len().saturating_sub(MIGRATIONS_LIMIT);
        self.migrations.drain(..excess);
    }

    /// Drops the environments of migrations that ended: secrets are kept no longer than they are of use.
    pub(crate) fn forget_environments(&mut self) {
        let ended = self.migrations.iter_mut().filter(|run| matches!(run.stage, Stage::Ended(_)));
        ended.for_each(|run| run.launch.environment.clear());
    }
}

/// The file.
#[derive(Debug)]
pub(crate) struct RecordFile {
    dir: PathBuf,
}

impl RecordFile {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    fn path(&self) -> PathBuf {
        self.dir.join("record")
    }

    /// Reads the record; none when nothing was ever written.
    pub(crate) fn load(&self) -> Result<Option<Record>, RecordError> {
        let text = match fs::read(self.path()) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(RecordError::Io { attempted: "read", path: self.path(), source }),
        };
        parse(&text).map(Some).map_err(|problem| RecordError::Damaged { path: self.path(), problem })
    }

    /// Writes the record; durable when this returns.
    pub(crate) fn save(&self, record: &Record) -> Result<(), RecordError> {
        self.write(record).map_err(|source| RecordError::Io { attempted: "write", path: self.path(), source })
    }

    fn write(&self, record: &Record) -> io::Result<()> {
        let body = serde_json::to_string(record)?;
        let new = self.dir.join("record.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        let version = if record.is_plain() { PLAIN } else { VERSION };
        writeln!(file, "{MAGIC} {version} {sum:016x}\n{body}", sum = checksum(body.as_bytes()))?;
        file.sync_all()?;
        fs::rename(&new, self.path())?;
        File::open(&self.dir)?.sync_all()
    }
}

fn parse(text: &[u8]) -> Result<Record, String> {
    let text = std::str::from_utf8(text).map_err(|_| "is not text")?;
    let (header, body) = text.split_once('\n').ok_or("has no header line")?;
    let words: Vec<&str> = header.split(' ').collect();
    let [MAGIC, version, sum] = words[..] else { return Err("has a header that no keeper wrote".to_owned()) };
    if ![PLAIN, VERSION].iter().any(|known| version == known.to_string()) {
        return Err(format!("is of version {version}, this keeper reads {VERSION}"));
    }
    let body = body.strip_suffix('\n').ok_or("is cut off")?;
    if sum != format!("{:016x}", checksum(body.as_bytes())) {
        return Err("does not match its checksum".to_owned());
    }
    serde_json::from_str(body).map_err(|e| format!("cannot be understood: {e}"))
}

/// FNV-1a: it finds a torn or flipped byte, which is all that is asked of it.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
