//! What can go wrong with a directory, and how it is classified.

use std::{io, path::PathBuf};

use model::ReleaseId;
use ports::{Fault, FaultKind};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// It is not a release.
    #[error("{0}")]
    Unfit(String),
    /// What was looked at a moment ago is different now.
    #[error("{} changed while it was read", .0.display())]
    Changing(PathBuf),
    /// A source that held the release when it was resolved, on some host, holds another one.
    #[error("{} holds {found} now: it was changed since the push, or differs on this host", path.display())]
    Other { path: PathBuf, found: ReleaseId },
    /// A copy is not what was copied.
    #[error("the copy in {} came out as {found}", path.display())]
    BadCopy { path: PathBuf, found: ReleaseId },
    /// A staged release is not what was staged.
    #[error("{} was changed after it was staged: {why}", path.display())]
    Tampered { path: PathBuf, why: String },
    /// There is no such staged release.
    #[error("{} does not exist: it is not staged on this host", .0.display())]
    NotStaged(PathBuf),
    /// The disk is too full.
    #[error("{}: {problem}", path.display())]
    NoSpace { path: PathBuf, problem: String },
    /// The system said no.
    #[error("{doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
}

impl Trouble {
    /// For `map_err`: what was done with which path.
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    pub(crate) fn kind(&self) -> FaultKind {
        match self {
            Self::Changing(_) | Self::BadCopy { .. } | Self::NoSpace { .. } => FaultKind::Transient,
            Self::Unfit(_) | Self::Other { .. } | Self::Tampered { .. } | Self::NotStaged(_) => {
                FaultKind::Permanent
            }
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => FaultKind::Permanent,
                _ => FaultKind::Transient,
            },
        }
    }

    pub(crate) fn into_fault(self, attempted: &str) -> Fault {
        Fault::new(self.kind(), attempted, self)
    }
}
