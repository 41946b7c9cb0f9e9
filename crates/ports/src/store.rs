//! Where releases come from and where they are kept on a host.

use std::{collections::BTreeSet, fmt, future::Future, path::PathBuf, sync::Arc};

use model::{Release, ReleaseId, StageProgress};

use crate::Fault;

pub mod contract;
pub mod fake;

/// Why something named in a push is not a release. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum NotARelease {
    /// It is not one, and never will be.
    #[error("{source_name}: {problem}")]
    Invalid {
        /// What the push named.
        source_name: String,
        /// What is wrong, and what a release must have.
        problem: String,
        /// What to do instead.
        next: String,
    },
    /// It could not be found out.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Hears how far the staging of a release is.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(StageProgress) + Send + Sync>);

impl Progress {
    /// `hears` is called with each word; it must not block.
    pub fn new(hears: impl Fn(StageProgress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hears))
    }

    /// Nobody listens.
    #[must_use]
    pub fn unheard() -> Self {
        Self::new(drop)
    }

    /// It is so far now.
    pub fn tell(&self, so_far: StageProgress) {
        (self.0)(so_far);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

/// Keeps releases on this host: fetched, verified and pinned.
pub trait ReleaseStore: Send + Sync + 'static {
    /// Finds out which release `source` is: its id, and whether it migrates.
    fn resolve(&self, source: &str) -> impl Future<Output = Result<Release, NotARelease>> + Send;
    /// Fetches, verifies and pins the release. Doing it twice is doing it once; a half-done attempt is no harm.
    /// `progress` hears how far it is, as often as the store knows.
    fn stage(&self, release: &Release, progress: &Progress)
    -> impl Future<Output = Result<(), Fault>> + Send;
    /// Verifies a staged release again, and says where its root is. Done before every use: right before, or while the host
    /// leaves the balancer for it.
    fn verify(&self, release: &ReleaseId) -> impl Future<Output = Result<PathBuf, Fault>> + Send;
    /// The releases that are staged. One that [`Self::verify`] has found changed is none of them, until it is staged again: whoever needs it
    /// is to see that.
    fn staged(&self) -> impl Future<Output = Result<BTreeSet<ReleaseId>, Fault>> + Send;
    /// Unpins and removes old releases, the least recently staged first, until the store's own limit holds. Those
    /// in `keep` are never removed. Returns what was removed.
    fn collect(
        &self,
        keep: &BTreeSet<ReleaseId>,
    ) -> impl Future<Output = Result<Vec<ReleaseId>, Fault>> + Send;
}
