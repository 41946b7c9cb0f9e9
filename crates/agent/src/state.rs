//! The state directory: what an agent remembers, and who it is.
//!
//! It is bound to one host: a cloned image starts as a new host, never as a second one of the same name.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use model::{ClusterId, HostId, ServiceName};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::durable::{self, FileError};

/// The format that this build writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// Why a state directory cannot be used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made or written to.
    #[error("state directory {path} is not writable; create it for the user that runs the agent")]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another agent uses it.
    #[error("state directory {path} is in use by another agent; stop that one first")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It belongs to another host.
    #[error(
        "state directory {path} belongs to host {theirs}, but this is {ours}; give each host a directory of its own, or empty this one to start as a new host"
    )]
    AnotherHost {
        /// The directory.
        path: PathBuf,
        /// The host it belongs to.
        theirs: String,
        /// The host in the configuration.
        ours: HostId,
    },
    /// A newer build wrote it.
    #[error(
        "state directory {path} has format {found}, but this build knows only up to {FORMAT}; run the newer build again"
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// A file of it is damaged or cannot be read.
    #[error("open state directory {path}")]
    File {
        /// The directory.
        path: PathBuf,
        /// Which, and why.
        source: FileError,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Identity {
    format: u32,
    host: String,
    #[serde(default)]
    state: Uuid,
    /// The clusters in which its Raft node has promised things under this identity: there it must not begin anew.
    #[serde(default)]
    raft: BTreeSet<ClusterId>,
}

/// An open state directory. Nobody else can open it until this is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    state: Uuid,
    identity: Mutex<Identity>,
    _lock: File,
}

impl StateDir {
    /// Opens the directory of `host`, making it when there is none.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn open(path: &Path, host: &HostId) -> Result<Self, StateError> {
        let not_writable = |source| StateError::NotWritable { path: path.to_owned(), source };
        // A service of another user runs a release from below it, and has nothing else to look for there.
        fs::DirBuilder::new().recursive(true).mode(0o711).create(path).map_err(not_writable)?;
        for (below, mode) in [("releases", 0o755), ("services", 0o700), ("raft", 0o700)] {
            let below = path.join(below);
            if !below.exists() {
                fs::create_dir(&below).map_err(not_writable)?;
                fs::set_permissions(&below, Permissions::from_mode(mode)).map_err(not_writable)?;
            }
        }
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path.join("lock"));
        let lock = lock.map_err(not_writable)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| StateError::InUse { path: path.to_owned() })?;
        let in_file = |source| StateError::File { path: path.to_owned(), source };
        let file = path.join("identity.json");
        let identity = match durable::read::<Identity>(&file).map_err(in_file)? {
            Some(known) if FORMAT < known.format => {
                return Err(StateError::Newer { path: path.to_owned(), found: known.format });
            }
            Some(known) if known.host != host.as_str() => {
                return Err(StateError::AnotherHost {
                    path: path.to_owned(),
                    theirs: known.host,
                    ours: host.clone(),
                });
            }
            Some(known) => known,
            None => {
                let (host, state) = (host.as_str().to_owned(), Uuid::new_v4());
                let fresh = Identity { format: FORMAT, host, state, raft: BTreeSet::new() };
                durable::write(&file, &fresh).map_err(in_file)?;
                fresh
            }
        };
        let state = identity.state;
        Ok(Self { path: path.to_owned(), state, identity: Mutex::new(identity), _lock: lock })
    }

    /// Drawn when the directory was made: two directories of one host are two hosts.
    #[must_use]
    pub fn state(&self) -> Uuid {
        self.state
    }

    /// What was agreed about forming the cluster.
    #[must_use]
    pub fn forming(&self) -> PathBuf {
        self.path.join("forming.json")
    }

    /// The members that were heard of last.
    #[must_use]
    pub fn peers(&self) -> PathBuf {
        self.path.join("peers.json")
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a Raft node of this cluster was opened under this identity before, whatever became of its file.
    #[must_use]
    pub fn had_raft(&self, cluster: &ClusterId) -> bool {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).raft.contains(cluster)
    }

    /// Remembers that a Raft node of this cluster was opened under this identity.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note_raft(&self, cluster: &ClusterId) -> Result<(), FileError> {
        let mut identity = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        if identity.raft.insert(cluster.clone()) {
            durable::write(&self.path.join("identity.json"), &*identity)?;
        }
        Ok(())
    }

    /// The directory of the Raft node of a cluster. That of a cluster that this host went over to is below the one of the first.
    #[must_use]
    pub fn raft(&self, cluster: &ClusterId, went_over: bool) -> PathBuf {
        let first = self.path.join("raft");
        if went_over { first.join(cluster.as_str()) } else { first }
    }

    /// Makes the directory of the Raft node of a cluster that was rebuilt.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make_raft(&self, cluster: &ClusterId) -> Result<PathBuf, StateError> {
        let path = self.raft(cluster, true);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        // What names this directory is written durably, and so has to be the directory.
        let made = made.and_then(|()| durable::sync_parent(&path));
        made.map_err(|source| StateError::NotWritable { path: path.clone(), source })?;
        Ok(path)
    }

    /// The directory of the release store.
    #[must_use]
    pub fn releases(&self) -> PathBuf {
        self.path.join("releases")
    }

    /// What is kept about releases that are Nix store paths.
    #[must_use]
    pub fn nix(&self) -> PathBuf {
        self.path.join("nix")
    }

    /// Where the directory of a service is, if it has one.
    #[must_use]
    pub fn place_of(&self, service: &ServiceName) -> PathBuf {
        self.path.join("services").join(service.as_str())
    }

    /// The directory of a service's keeper and ledger, made when there is none.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn service(&self, service: &ServiceName) -> Result<PathBuf, StateError> {
        let path = self.place_of(service);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|source| StateError::NotWritable { path: path.clone(), source })?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> HostId {
        name.parse().unwrap()
    }

    #[test]
    fn a_directory_keeps_its_identity_and_belongs_to_one_host_and_one_agent() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::open(dir.path(), &host("h1")).unwrap();
        let state = first.state();
        assert!(matches!(StateDir::open(dir.path(), &host("h1")), Err(StateError::InUse { .. })));
        drop(first);
        assert!(matches!(StateDir::open(dir.path(), &host("h2")), Err(StateError::AnotherHost { .. })));
        assert_eq!(StateDir::open(dir.path(), &host("h1")).unwrap().state(), state);
    }

    #[test]
    fn a_directory_remembers_that_it_had_a_raft_node() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path(), &host("h1")).unwrap();
        let [blue, green]: [ClusterId; 2] = ["blue", "green"].map(|name| name.parse().unwrap());
        assert!(!state.had_raft(&blue));
        state.note_raft(&blue).unwrap();
        assert!(state.had_raft(&blue));
        let id = state.state();
        drop(state);
        let again = StateDir::open(dir.path(), &host("h1")).unwrap();
        assert!(again.had_raft(&blue) && !again.had_raft(&green) && again.state() == id);
    }

    #[test]
    fn only_releases_are_for_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let state = StateDir::open(&path, &host("h1")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path) & 0o077, mode(&state.releases())), (0o011, 0o755));
        let service = state.service(&"web".parse().unwrap()).unwrap();
        let (first, rebuilt) = ("c1-x".parse().unwrap(), "r2-x".parse().unwrap());
        let made = state.make_raft(&rebuilt).unwrap();
        assert_eq!(
            (state.raft(&first, false), state.raft(&rebuilt, true)),
            (path.join("raft"), made.clone())
        );
        for private in [&state.raft(&first, false), &made, &path.join("services"), &service] {
            assert_eq!(mode(private), 0o700, "{}", private.display());
        }
    }

    #[test]
    fn the_place_of_a_cluster_that_this_host_went_over_to_is_never_that_of_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path(), &host("h1")).unwrap();
        let rebuilt = "r2-x".parse().unwrap();
        let made = state.make_raft(&rebuilt).unwrap();
        fs::remove_dir(&made).unwrap();
        // It is lost, which is said; the log of the old cluster is not opened in its place.
        assert_eq!(state.raft(&rebuilt, true), made);
    }

    #[test]
    fn a_newer_format_and_a_torn_identity_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(StateDir::open(dir.path(), &host("h1")).unwrap());
        let file = dir.path().join("identity.json");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
        assert!(matches!(StateDir::open(dir.path(), &host("h1")), Err(StateError::Newer { found: 2, .. })));
        fs::write(&file, &text[..10]).unwrap();
        assert!(matches!(StateDir::open(dir.path(), &host("h1")), Err(StateError::File { .. })));
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = StateDir::open(&file.join("below"), &host("h1")).unwrap_err();
        assert!(
            matches!(&error, StateError::NotWritable { path, .. } if path.ends_with("file/below")),
            "{error}"
        );
    }
}
