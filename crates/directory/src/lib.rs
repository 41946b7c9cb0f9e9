//! Keeps releases that come from directories.
//!
//! A release is a directory with `bin/serve`. Its id is a hash of its content, so that the same content is the
//! same release wherever it lies. It is staged by copying it to `ID` in the store's folder: the copy is written
//! beside its place, flushed, hashed again and moved there in one step, read-only. So whatever has its place is
//! whole, until somebody changes it: every use is preceded by another hash of all of it, whose cost grows with
//! its size.
//!
//! Absent on purpose: fetching from other hosts (the directory must be there on each of them), owners, times,
//! extended attributes and permissions other than "executable" (they are not content), and a cache of hashes,
//! which could not be told from a stale one.

mod content;
mod limits;
mod read;
mod shelf;
mod trouble;
mod write;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use model::{Release, ReleaseId};
use ports::{
    Fault, FaultKind, ReleaseStore,
    store::{NotARelease, Progress},
};

pub use limits::Limits;

use crate::{shelf::Shelf, trouble::Trouble};

/// The releases of one host, in one folder. One store at a time may have it.
#[derive(Debug, Clone)]
pub struct Store {
    shelf: Arc<Shelf>,
    /// Held by whoever changes what is staged.
    changing: Arc<Mutex<()>>,
}

impl Store {
    /// Opens the store in `folder`, making it when there is none, and removes what an interrupted attempt left
    /// there. It keeps `keep_releases` releases, within the usual [`Limits`]. Blocks for as long as that takes.
    ///
    /// # Errors
    /// When the folder cannot be made, read or cleaned.
    pub fn open(folder: PathBuf, keep_releases: usize) -> Result<Self, Fault> {
        Self::with_limits(folder, keep_releases, Limits::default())
    }

    /// Opens the store with limits of its own.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn with_limits(folder: PathBuf, keep_releases: usize, limits: Limits) -> Result<Self, Fault> {
        let attempted = format!("open the releases in {}", folder.display());
        let shelf =
            Shelf::open(folder, keep_releases, limits).map_err(|trouble| trouble.into_fault(&attempted))?;
        Ok(Self { shelf: Arc::new(shelf), changing: Arc::default() })
    }

    /// Runs `work` where it may block; one at a time.
    async fn change<T: Send + 'static>(
        &self,
        attempted: String,
        work: impl FnOnce(&Shelf) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Fault> {
        let (shelf, changing) = (Arc::clone(&self.shelf), Arc::clone(&self.changing));
        let exclusive = move || {
            // What is staged is read from the disk every time, so a panic under the lock has broken nothing.
            let _guard = changing.lock().unwrap_or_else(PoisonError::into_inner);
            work(&shelf)
        };
        blocking(&attempted, exclusive).await
    }
}

/// Runs `work` where it may block. It is not cut short when the caller gives up.
async fn blocking<T: Send + 'static>(
    attempted: &str,
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|trouble| trouble.into_fault(attempted)),
        Err(ended) => Err(Fault::new(FaultKind::Transient, attempted, ended)),
    }
}

impl ReleaseStore for Store {
    async fn resolve(&self, source: &str) -> Result<Release, NotARelease> {
        let next = "push a directory that every host can read, with an executable bin/serve";
        let invalid = |problem: String| NotARelease::Invalid {
            source_name: source.to_owned(),
            problem,
            next: next.to_owned(),
        };
        if !Path::new(source).is_absolute() {
            return Err(invalid("must be the absolute path of a directory".into()));
        }
        let (shelf, path) = (Arc::clone(&self.shelf), PathBuf::from(source));
        let resolved = tokio::task::spawn_blocking(move || shelf.resolve(&path)).await;
        let attempted = || format!("resolve {source}");
        match resolved {
            Ok(Ok((id, migrates))) => Ok(Release { id, source: source.to_owned(), migrates }),
            Ok(Err(Trouble::Unfit(problem))) => Err(invalid(problem)),
            Ok(Err(trouble)) => Err(trouble.into_fault(&attempted()).into()),
            Err(ended) => Err(Fault::new(FaultKind::Transient, attempted(), ended).into()),
        }
    }

    async fn stage(&self, release: &Release, progress: &Progress) -> Result<(), Fault> {
        let attempted = format!("stage {} from {}", release.id, release.source);
        let (release, progress) = (release.clone(), progress.clone());
        self.change(attempted, move |shelf| shelf.stage(&release, &progress)).await
    }

    async fn verify(&self, release: &ReleaseId) -> Result<PathBuf, Fault> {
        let (shelf, release) = (Arc::clone(&self.shelf), release.clone());
        blocking(&format!("verify the staged {release}"), move || shelf.verify(&release)).await
    }

    async fn staged(&self) -> Result<BTreeSet<ReleaseId>, Fault> {
        let shelf = Arc::clone(&self.shelf);
        blocking("list the staged releases", move || shelf.staged()).await
    }

    async fn collect(&self, keep: &BTreeSet<ReleaseId>) -> Result<Vec<ReleaseId>, Fault> {
        let keep = keep.clone();
        self.change("collect old releases".into(), move |shelf| shelf.collect(&keep)).await
    }
}

#[cfg(test)]
mod tests;
