//! The release store that the configuration asks for.

use std::{collections::BTreeSet, path::PathBuf};

use config::{NixStore, Store as Settings};
use model::{Release, ReleaseId};
use ports::{
    Fault, ReleaseStore,
    store::{NotARelease, Progress},
};

use crate::state::StateDir;

/// One of the stores there are.
#[derive(Debug, Clone)]
pub enum Stores {
    /// Releases are directories.
    Directory(directory::Store),
    /// Releases are Nix store paths.
    Nix(nixstore::Store),
}

impl Stores {
    /// Opens the one that is configured, below the state directory.
    ///
    /// # Errors
    /// Its folders cannot be used.
    pub fn open(settings: &Settings, state: &StateDir) -> Result<Self, Fault> {
        match settings {
            Settings::Directory { keep_releases } => {
                directory::Store::open(state.releases(), *keep_releases).map(Self::Directory)
            }
            Settings::Nix(settings) => nixstore::Store::open(options(settings, state)).map(Self::Nix),
        }
    }
}

fn options(settings: &NixStore, state: &StateDir) -> nixstore::Options {
    nixstore::Options {
        store_dir: settings.store_dir.clone(),
        keep_releases: settings.keep_releases,
        substituters: settings.substituters.clone(),
        trusted_public_keys: settings.trusted_public_keys.clone(),
        nix_bin: settings.nix_bin.clone(),
        ..nixstore::Options::of(&state.nix())
    }
}

impl ReleaseStore for Stores {
    async fn resolve(&self, source: &str) -> Result<Release, NotARelease> {
        match self {
            Self::Directory(store) => store.resolve(source).await,
            Self::Nix(store) => store.resolve(source).await,
        }
    }

    async fn stage(&self, release: &Release, progress: &Progress) -> Result<(), Fault> {
        match self {
            Self::Directory(store) => store.stage(release, progress).await,
            Self::Nix(store) => store.stage(release, progress).await,
        }
    }

    async fn verify(&self, release: &ReleaseId) -> Result<PathBuf, Fault> {
        match self {
            Self::Directory(store) => store.verify(release).await,
            Self::Nix(store) => store.verify(release).await,
        }
    }

    async fn staged(&self) -> Result<BTreeSet<ReleaseId>, Fault> {
        match self {
            Self::Directory(store) => store.staged().await,
            Self::Nix(store) => store.staged().await,
        }
    }

    async fn collect(&self, keep: &BTreeSet<ReleaseId>) -> Result<Vec<ReleaseId>, Fault> {
        match self {
            Self::Directory(store) => store.collect(keep).await,
            Self::Nix(store) => store.collect(keep).await,
        }
    }
}
