//! Keeps releases that are Nix store paths.
//!
//! A release is a store path with `bin/serve`. Its id is the path without the store's directory, so that the same path is the same release
//! wherever it comes from. It is staged by Nix: fetched from the caches that this host asks, its signatures checked against the keys that
//! this host trusts, and pinned by a root of Nix's garbage collector, one for each release. Every use is preceded by a check of its whole
//! closure, whose cost grows with its size.
//!
//! Promise: what counts as staged was fetched or checked to the end, and is pinned. Each thing that can go wrong is a class of its own
//! (`trouble`), which says what to do. Absent on purpose: building, evaluating, and every way around Nix's own checks.

mod caches;
mod command;
mod content;
mod info;
mod path;
mod progress;
mod roots;
mod staging;
mod trouble;
mod words;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use model::{Release, ReleaseId};
use ports::{
    Fault, FaultKind, ReleaseStore,
    store::{NotARelease, Progress},
};
use tokio::{sync::Mutex, time::timeout};

pub use command::obstacle;

use crate::{
    command::{Ask, Nix},
    path::StorePath,
    roots::Roots,
    trouble::Trouble,
};

/// The directory of a store, unless somebody says otherwise.
pub const USUAL_STORE: &str = "/nix/store";
/// Longest time to find out what a push names: its caller waits meanwhile.
const RESOLVE_LIMIT: Duration = Duration::from_secs(90);
/// Longest time for a question to this host's own store.
const LOCAL: Duration = Duration::from_secs(60);
/// Longest time to read a whole closure.
const READ_ALL: Duration = Duration::from_secs(1200);

/// How a host's Nix is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The store's directory. Another than [`USUAL_STORE`] is a store of its own, with its state in `var/nix` beside it: for tests, and for
    /// whoever has built Nix for another place.
    pub store_dir: PathBuf,
    /// Where the roots of staged releases are kept.
    pub roots_dir: PathBuf,
    /// Where Nix remembers what caches said, when this agent asks: other users of this host's Nix have another place.
    pub cache_dir: PathBuf,
    /// How many staged releases are kept.
    pub keep_releases: usize,
    /// The caches that are asked; none: Nix's own setting.
    pub substituters: Option<Vec<String>>,
    /// The keys that are trusted; none: Nix's own setting.
    pub trusted_public_keys: Option<Vec<String>>,
    /// Where Nix's programs are; none: they are looked for.
    pub nix_bin: Option<PathBuf>,
    /// Bytes that must stay free in the store once a release is staged.
    pub reserve_bytes: u64,
}

impl Options {
    /// The usual ones, with everything that is kept below `folder`.
    #[must_use]
    pub fn of(folder: &std::path::Path) -> Self {
        Self {
            store_dir: USUAL_STORE.into(),
            roots_dir: folder.join("roots"),
            cache_dir: folder.join("cache"),
            keep_releases: 5,
            substituters: None,
            trusted_public_keys: None,
            nix_bin: None,
            reserve_bytes: 64 << 20,
        }
    }
}

/// The releases of one host. One store at a time may have its folders.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Options,
    nix: Nix,
    roots: Roots,
    /// Held by whoever changes what is staged. One at a time: two first uses of a new cache of answers trip over each other in Nix.
    turn: Mutex<()>,
}

impl Store {
    /// Opens the store. Nix itself is looked for when it is needed.
    ///
    /// # Errors
    /// When the folders cannot be made.
    pub fn open(options: Options) -> Result<Self, Fault> {
        let attempted = format!("open the roots in {}", options.roots_dir.display());
        let open = || -> Result<Roots, Trouble> {
            let cache = &options.cache_dir;
            std::fs::create_dir_all(cache).map_err(Trouble::io("make", cache))?;
            Roots::open(options.roots_dir.clone())
        };
        let roots = open().map_err(|trouble| trouble.into_fault(&attempted))?;
        let nix = Nix::new(options.clone());
        Ok(Self { inner: Arc::new(Inner { options, nix, roots, turn: Mutex::new(()) }) })
    }
}

impl Inner {
    /// Which of the two it is, here or in a cache: with `bin/migrate` or without.
    async fn migrates(&self, path: &StorePath) -> Result<bool, Trouble> {
        if self.is_valid(path).await? {
            return content::migrates(path);
        }
        let _turn = self.turn.lock().await;
        let settings = self.settings().await?;
        let found = self.find(path, &settings).await?;
        self.migrates_there(&found, path).await
    }

    async fn is_valid(&self, path: &StorePath) -> Result<bool, Trouble> {
        match self.nix.answer(Ask::store(LOCAL).args(["--check-validity", path.as_str()])).await {
            Ok(_) => Ok(true),
            Err(Trouble::Nix { source, .. })
                if source.said().iter().any(|line| line.contains("is not valid")) =>
            {
                Ok(false)
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// The settings that decide what is asked and trusted, where this agent has its own.
    fn with_caches(&self, ask: Ask) -> Ask {
        let ask = match &self.options.substituters {
            Some(caches) => ask.option("substituters", caches.join(" ")),
            None => ask,
        };
        match &self.options.trusted_public_keys {
            Some(keys) => ask.option("trusted-public-keys", keys.join(" ")),
            None => ask,
        }
    }
}

impl ReleaseStore for Store {
    async fn resolve(&self, source: &str) -> Result<Release, NotARelease> {
        let attempted = || format!("resolve {source}");
        let refused = |trouble: Trouble| match trouble.next_of_push() {
            Some(next) => {
                let text = trouble.to_string();
                let problem = text.strip_prefix(source).map_or(text.as_str(), str::trim_start).to_owned();
                NotARelease::Invalid { source_name: source.to_owned(), problem, next: next.to_owned() }
            }
            None => trouble.into_fault(&attempted()).into(),
        };
        let path = StorePath::parse(&self.inner.options.store_dir, source);
        let path = path.map_err(|problem| refused(Trouble::NotAPath(problem)))?;
        let migrates = match timeout(RESOLVE_LIMIT, self.inner.migrates(&path)).await {
            Ok(answer) => answer.map_err(refused)?,
            Err(_) => {
                let text = format!("no answer within {} s", RESOLVE_LIMIT.as_secs());
                return Err(Fault::new(FaultKind::Transient, attempted(), text).into());
            }
        };
        Ok(Release { id: path.release(), source: source.to_owned(), migrates })
    }

    async fn stage(&self, release: &Release, progress: &Progress) -> Result<(), Fault> {
        let attempted = format!("stage {}", release.source);
        self.inner.stage(release, progress).await.map_err(|trouble| trouble.into_fault(&attempted))
    }

    async fn verify(&self, release: &ReleaseId) -> Result<PathBuf, Fault> {
        let verified = self.inner.verify(release).await;
        verified.map_err(|trouble| trouble.into_fault(&format!("verify the staged {release}")))
    }

    async fn staged(&self) -> Result<BTreeSet<ReleaseId>, Fault> {
        let staged = self.inner.roots.staged();
        let staged = staged.map_err(|trouble| trouble.into_fault("list the staged releases"))?;
        Ok(staged.into_iter().collect())
    }

    async fn collect(&self, keep: &BTreeSet<ReleaseId>) -> Result<Vec<ReleaseId>, Fault> {
        let collected = self.inner.collect(keep).await;
        collected.map_err(|trouble| trouble.into_fault("collect old releases"))
    }
}
