//! Where releases come from and where they are kept on a host.

use std::{collections::BTreeSet, future::Future, path::PathBuf};

use model::{Release, ReleaseId};

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

/// Keeps releases on this host: fetched, verified and pinned.
pub trait ReleaseStore: Send + Sync + 'static {
    /// Finds out which release `source` is: its id, and whether it migrates.
    fn resolve(&self, source: &str) -> impl Future<Output = Result<Release, NotARelease>> + Send;
    /// Fetches, verifies and pins the release. Doing it twice is doing it once; a half-done attempt is no harm.
    fn stage(&self, release: &Release) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Verifies a staged release again, and says where its root is. Done before every use.
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
