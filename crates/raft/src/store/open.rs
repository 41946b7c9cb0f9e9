//! Opens the file, or says why not and what to do about it.

use std::{
    cell::Cell,
    fs::{self, File},
    io,
    panic::{self, AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Once,
};

use model::ClusterId;
use redb::{Database, DatabaseError, ReadableDatabase as _, StorageError};

use super::{
    FILE_NAME, FORMAT, KEY_CLUSTER, KEY_FORMAT, KEY_NODE, LOG, META, SNAPSHOT, Store, check, decode, encode,
};
use crate::{Machine, NodeId};

/// Memory for pages of the file.
const CACHE_LIMIT_BYTES: usize = 16 << 20;

/// Why a node's file was not opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or the file cannot be made, read or written.
    #[error("open {} for reading and writing: make it writable for this user, on a disk with free space", path.display())]
    Unusable {
        /// The directory or the file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the file open.
    #[error("open {}: another process has it open; stop that one first", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later release.
    #[error("open {}: it has format {found}, this release knows up to {supported}; run the release that wrote it, or a newer one", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The format that the file names.
        found: u32,
        /// The newest format that is known here.
        supported: u32,
    },
    /// The file belongs to another node: a cloned disk, or a directory that was moved.
    #[error("open {}: it belongs to node {found}, this is node {expected}; give each node a directory of its own", path.display())]
    OtherNode {
        /// The file.
        path: PathBuf,
        /// The node that the file names.
        found: NodeId,
        /// The node that was to be opened.
        expected: NodeId,
    },
    /// The file belongs to another cluster.
    #[error("open {}: it belongs to cluster {found}, this is cluster {expected}; use that cluster's id, or an empty directory and a new node id", path.display())]
    OtherCluster {
        /// The file.
        path: PathBuf,
        /// The cluster that the file names.
        found: ClusterId,
        /// The cluster that was to be opened.
        expected: ClusterId,
    },
    /// The file is torn, damaged, or not one of ours.
    #[error("open {}: it is damaged ({problem}); this node cannot come back, and its host joins again under a new node id", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// There was a file before, and now there is none.
    #[error("open {}: it is gone; this node cannot come back, and its host joins again under a new node id", path.display())]
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// The file is whole, but holds something that this release cannot read.
    #[error("open {}: {what} cannot be read by this release; run the release that wrote it, or a newer one", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Which part of it.
        what: String,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// The file is whole, but its state goes by rules that this release does not know.
    #[error("open {}: {why}", path.display())]
    Outgrown {
        /// The file.
        path: PathBuf,
        /// What is not known, and what to do about it.
        why: String,
    },
    /// The timers contradict each other.
    #[error("start node {node}: its timers contradict each other ({problem})")]
    Timers {
        /// The node.
        node: NodeId,
        /// What is wrong with them.
        problem: String,
    },
    /// The file was opened, but consensus did not start on it.
    #[error("start node {node} from {}: {problem}", path.display())]
    Start {
        /// The node.
        node: NodeId,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        problem: String,
    },
}

impl Store {
    /// Whether there is a file in `dir` to be opened.
    pub(crate) fn is_there(dir: &Path) -> Result<(), OpenError> {
        let path = dir.join(FILE_NAME);
        match path.try_exists() {
            Ok(true) => Ok(()),
            Ok(false) => Err(OpenError::Gone { path }),
            Err(source) => Err(OpenError::Unusable { path, source }),
        }
    }

    /// Opens the file in `dir`, makes it where there is none, and checks all that it holds.
    pub(crate) fn open<M: Machine>(
        dir: &Path,
        node: &NodeId,
        cluster: &ClusterId,
    ) -> Result<Self, OpenError> {
        let path = dir.join(FILE_NAME);
        let unusable = |path: &Path| {
            let path = path.to_owned();
            |source| OpenError::Unusable { path, source }
        };
        fs::create_dir_all(dir).map_err(unusable(dir))?;
        if !path.try_exists().map_err(unusable(&path))? {
            create(dir, &path, node, cluster)?;
        }

        Self::load::<M>(&path, || builder().open(&path), node, cluster)
    }

    /// Checks all that the file at `path` holds, once `opened` has opened it.
    pub(super) fn load<M: Machine>(
        path: &Path,
        opened: impl FnOnce() -> Result<Database, DatabaseError>,
        node: &NodeId,
        cluster: &ClusterId,
    ) -> Result<Self, OpenError> {
        let mut database = guarded(path, opened)?;
        let identity = guarded(path, || identity(&database))?;
        identity.check(path, node, cluster)?;
        let damaged =
            |problem: &str| OpenError::Damaged { path: path.to_owned(), problem: problem.to_owned() };
        // After a crash redb checks all that it holds by itself; after a clean stop it trusts the file, we do not.
        if !guarded(path, || database.check_integrity())? {
            return Err(damaged("its checksums do not match"));
        }

        let store = Self::new(path.to_owned(), database)
            .map_err(|source| OpenError::Unusable { path: path.to_owned(), source })?;
        caught(|| check::check::<M>(&store)).unwrap_or_else(|| Err(damaged("reading it failed")))?;
        Ok(store)
    }
}

/// redb would take up to a gibibyte of memory for a file that is read once.
pub(super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_LIMIT_BYTES);
    builder
}

/// Makes the file under another name first, so that a crash in between leaves none rather than half of one.
fn create(dir: &Path, path: &Path, node: &NodeId, cluster: &ClusterId) -> Result<(), OpenError> {
    let draft = dir.join(format!("{FILE_NAME}.new"));
    let steps = || -> io::Result<()> {
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let database = builder().create(&draft).map_err(io::Error::other)?;
        fill(&database, node, cluster)?;
        drop(database);
        fs::rename(&draft, path)?;
        File::open(dir)?.sync_all()
    };
    steps().map_err(|source| OpenError::Unusable { path: path.to_owned(), source })
}

/// Names whose file it is, and makes the tables.
pub(super) fn fill(database: &Database, node: &NodeId, cluster: &ClusterId) -> io::Result<()> {
    let (node, cluster, format) = (encode(node)?, encode(cluster)?, encode(&FORMAT)?);
    let steps = || -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        {
            let mut meta = transaction.open_table(META)?;
            meta.insert(KEY_FORMAT, format.as_slice())?;
            meta.insert(KEY_NODE, node.as_slice())?;
            meta.insert(KEY_CLUSTER, cluster.as_slice())?;
            transaction.open_table(LOG)?;
            transaction.open_table(SNAPSHOT)?;
        }
        transaction.commit()?;
        Ok(())
    };
    steps().map_err(io::Error::other)
}

/// Whose file it is. `None` where the file does not say.
struct Identity {
    format: Option<Vec<u8>>,
    node: Option<Vec<u8>>,
    cluster: Option<Vec<u8>>,
}

fn identity(database: &Database) -> Result<Identity, DatabaseError> {
    let read = || -> Result<Identity, redb::Error> {
        let table = database.begin_read()?.open_table(META)?;
        let get = |key| Ok::<_, redb::Error>(table.get(key)?.map(|value| value.value().to_vec()));
        Ok(Identity { format: get(KEY_FORMAT)?, node: get(KEY_NODE)?, cluster: get(KEY_CLUSTER)? })
    };
    read().map_err(|error| match error {
        redb::Error::Io(error) => StorageError::Io(error).into(),
        other => StorageError::Corrupted(other.to_string()).into(),
    })
}

impl Identity {
    fn check(self, path: &Path, node: &NodeId, cluster: &ClusterId) -> Result<(), OpenError> {
        let path = path.to_owned();
        let found: u32 = field(&path, KEY_FORMAT, self.format)?;
        if found > FORMAT {
            return Err(OpenError::NewerFormat { path, found, supported: FORMAT });
        }
        let found: NodeId = field(&path, KEY_NODE, self.node)?;
        if found != *node {
            return Err(OpenError::OtherNode { path, found, expected: node.clone() });
        }
        let found: ClusterId = field(&path, KEY_CLUSTER, self.cluster)?;
        if found != *cluster {
            return Err(OpenError::OtherCluster { path, found, expected: cluster.clone() });
        }
        Ok(())
    }
}

fn field<T: serde::de::DeserializeOwned>(
    path: &Path,
    key: &str,
    bytes: Option<Vec<u8>>,
) -> Result<T, OpenError> {
    let damaged = |problem| OpenError::Damaged { path: path.to_owned(), problem };
    let bytes = bytes.ok_or_else(|| damaged(format!("it does not name its {key}")))?;
    decode(&bytes).map_err(|error| damaged(format!("its {key} is not readable: {error}")))
}

/// Runs one step of redb's, and says in our words why it failed. A file damaged in a way that redb does not
/// foresee can make it panic, which is caught: nothing of the handle is used afterwards.
fn guarded<T>(path: &Path, step: impl FnOnce() -> Result<T, DatabaseError>) -> Result<T, OpenError> {
    let path = path.to_owned();
    let Some(result) = caught(step) else {
        return Err(OpenError::Damaged { path, problem: "its structure makes no sense".to_owned() });
    };
    result.map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::Locked { path },
        DatabaseError::Storage(StorageError::Io(source)) => match source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => {
                OpenError::Damaged { path, problem: source.to_string() }
            }
            _ => OpenError::Unusable { path, source },
        },
        other => OpenError::Damaged { path, problem: other.to_string() },
    })
}

thread_local! {
    /// A step of redb's runs on this thread whose panic is an answer.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a step; nothing when it panicked. What we say of it is enough: nobody is shown a backtrace.
fn caught<T>(step: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            if !EXPECTED.get() {
                before(panicked);
            }
        }));
    });
    EXPECTED.set(true);
    let result = catch_unwind(AssertUnwindSafe(step));
    EXPECTED.set(false);
    result.ok()
}
