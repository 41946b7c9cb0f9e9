//! Where the copies are kept.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use model::{Release, ReleaseId};
use ports::{Fault, FaultKind, ReleaseStore, store::NotARelease};

use crate::{
    copy::copy,
    digest::{Unfit, tree},
};

/// Hexadecimal digits of the hash in an id: 160 bits.
const ID_DIGITS: usize = 40;
/// Names of copies in the making; none of them is a release.
const HALF_DONE: &str = ".new-";

/// Keeps releases below one directory of the host.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    keep: usize,
}

impl Store {
    /// Opens the store below `root`, making it when there is none; `keep` releases are kept besides those in use.
    ///
    /// # Errors
    /// The directory cannot be made or read.
    pub fn open(root: PathBuf, keep: usize) -> Result<Self, Fault> {
        let clean = || {
            fs::create_dir_all(&root)?;
            for entry in fs::read_dir(&root)? {
                let entry = entry?;
                if entry.file_name().as_encoded_bytes().starts_with(HALF_DONE.as_bytes()) {
                    fs::remove_dir_all(entry.path())?;
                }
            }
            Ok(())
        };
        clean().map_err(|error: io::Error| {
            Fault::new(FaultKind::Permanent, format!("open the release store {}", root.display()), error)
        })?;
        Ok(Self { root, keep })
    }

    fn place(&self, release: &ReleaseId) -> PathBuf {
        self.root.join(release.as_str())
    }

    async fn blocking<T: Send + 'static>(&self, attempted: String, work: impl FnOnce(Self) -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || work(store)).await;
        done.unwrap_or_else(|error| Err(Fault::new(FaultKind::Transient, attempted, error)))
    }

    fn stage_now(&self, release: &Release) -> Result<(), Fault> {
        let attempted = format!("stage {} from {}", release.id, release.source);
        let place = self.place(&release.id);
        if place.exists() {
            match self.verify_now(&release.id) {
                Ok(_) => return Ok(()),
                // A damaged copy is no use to anybody; the source has the right one.
                Err(fault) if fault.kind == FaultKind::Permanent => remove(&place).map_err(|error| Fault::new(FaultKind::Transient, &attempted, error))?,
                Err(fault) => return Err(fault),
            }
        }
        let source = Path::new(&release.source);
        let found = tree(source).map_err(|unfit| unstageable(&attempted, unfit))?;
        let id = id_of(&found.hash);
        if id != release.id.as_str() {
            let text = format!("the directory has changed since the push: its content is {id} now; push it again");
            return Err(Fault::new(FaultKind::Permanent, attempted, text));
        }
        self.check_space(found.bytes).map_err(|text| Fault::new(FaultKind::Transient, &attempted, text))?;
        let fresh = self.root.join(format!("{HALF_DONE}{}", release.id));
        let put = || {
            remove(&fresh)?;
            copy(&found, source, &fresh)?;
            let copied = tree(&fresh).map_err(io::Error::other)?;
            if copied.hash != found.hash {
                return Err(io::Error::other("the directory changed while it was copied"));
            }
            fs::rename(&fresh, &place)?;
            File::open(&self.root)?.sync_all()
        };
        put().map_err(|error| Fault::new(FaultKind::Transient, attempted, error))
    }

    /// Twice the size, so that the copy is not what fills the disk.
    fn check_space(&self, bytes: u64) -> Result<(), String> {
        let Ok(disk) = rustix::fs::statvfs(&self.root) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free / 2 < bytes {
            return Err(format!("{} needs {bytes} bytes twice, and has {free} free", self.root.display()));
        }
        Ok(())
    }

    fn verify_now(&self, release: &ReleaseId) -> Result<PathBuf, Fault> {
        let attempted = format!("verify {release}");
        let place = self.place(release);
        if !place.is_dir() {
            return Err(Fault::new(FaultKind::Permanent, attempted, "it is not staged on this host"));
        }
        let found = tree(&place).map_err(|unfit| unstageable(&attempted, unfit))?;
        if id_of(&found.hash) != release.as_str() {
            let text = format!("{} was changed after it was staged: its content is {} now", place.display(), id_of(&found.hash));
            return Err(Fault::new(FaultKind::Permanent, attempted, text));
        }
        Ok(place)
    }

    fn staged_now(&self) -> io::Result<Vec<(SystemTime, ReleaseId)>> {
        let mut staged = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let name = entry.file_name().into_string().unwrap_or_default();
            if let Ok(release) = name.parse::<ReleaseId>() {
                staged.push((entry.metadata()?.modified()?, release));
            }
        }
        staged.sort();
        Ok(staged)
    }

    fn collect_now(&self, keep: &BTreeSet<ReleaseId>) -> io::Result<Vec<ReleaseId>> {
        let staged = self.staged_now()?;
        let surplus = staged.len().saturating_sub(self.keep.max(keep.len()));
        let free = staged.into_iter().map(|(_, release)| release).filter(|release| !keep.contains(release));
        let mut removed = Vec::new();
        for release in free.take(surplus) {
            // Out of sight first: a half-removed release must not look staged.
            let aside = self.root.join(format!("{HALF_DONE}{release}"));
            remove(&aside)?;
            fs::rename(self.place(&release), &aside)?;
            remove(&aside)?;
            removed.push(release);
        }
        Ok(removed)
    }
}

impl ReleaseStore for Store {
    async fn resolve(&self, source: &str) -> Result<Release, NotARelease> {
        let named = source.to_owned();
        let resolved = tokio::task::spawn_blocking(move || resolve(&named)).await;
        resolved.unwrap_or_else(|error| Err(Fault::new(FaultKind::Transient, format!("read {source}"), error).into()))
    }

    async fn stage(&self, release: &Release) -> Result<(), Fault> {
        let release = release.clone();
        self.blocking(format!("stage {}", release.id), move |store| store.stage_now(&release)).await
    }

    async fn verify(&self, release: &ReleaseId) -> Result<PathBuf, Fault> {
        let release = release.clone();
        self.blocking(format!("verify {release}"), move |store| store.verify_now(&release)).await
    }

    async fn staged(&self) -> Result<BTreeSet<ReleaseId>, Fault> {
        let attempted = format!("list {}", self.root.display());
        self.blocking(attempted.clone(), move |store| {
            let staged = store.staged_now().map_err(|error| Fault::new(FaultKind::Transient, attempted, error))?;
            Ok(staged.into_iter().map(|(_, release)| release).collect())
        })
        .await
    }

    async fn collect(&self, keep: &BTreeSet<ReleaseId>) -> Result<Vec<ReleaseId>, Fault> {
        let (attempted, keep) = (format!("collect old releases in {}", self.root.display()), keep.clone());
        self.blocking(attempted.clone(), move |store| {
            store.collect_now(&keep).map_err(|error| Fault::new(FaultKind::Transient, attempted, error))
        })
        .await
    }
}

fn resolve(source: &str) -> Result<Release, NotARelease> {
    let no = |problem: String| NotARelease::Invalid { source_name: source.to_owned(), problem };
    let root = Path::new(source);
    if !root.is_absolute() {
        return Err(no("is not an absolute path".into()));
    }
    match fs::metadata(root) {
        Ok(found) if !found.is_dir() => return Err(no("is a file; a release is a directory with bin/serve".into())),
        Ok(_) => (),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no("does not exist on the host that was asked".into())),
        Err(error) => return Err(no(format!("cannot be read: {error}"))),
    }
    program(root, "serve", true).map_err(no)?;
    let migrates = program(root, "migrate", false).map_err(no)?;
    let found = tree(root).map_err(|unfit| no(ports::fault::Chain(&unfit).to_string()))?;
    let id = id_of(&found.hash).parse().map_err(|error: model::ids::InvalidId| no(error.to_string()))?;
    Ok(Release { id, source: source.to_owned(), migrates })
}

/// Whether `bin/NAME` is there; it must be executable then.
fn program(root: &Path, name: &str, needed: bool) -> Result<bool, String> {
    let path = root.join("bin").join(name);
    match fs::metadata(&path) {
        Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => Ok(true),
        Ok(found) if found.is_file() => Err(format!("bin/{name} is not executable; chmod +x it")),
        Ok(_) => Err(format!("bin/{name} is not a file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !needed => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!("has no bin/{name}, so it is not a release")),
        Err(error) => Err(format!("bin/{name} cannot be read: {error}")),
    }
}

fn id_of(hash: &str) -> String {
    format!("dir-{}", &hash[..ID_DIGITS])
}

fn unstageable(attempted: &str, unfit: Unfit) -> Fault {
    let kind = match &unfit {
        // A directory that is gone may come back: a mount, a copy on its way.
        Unfit::Io { .. } => FaultKind::Transient,
        Unfit::Content { .. } => FaultKind::Permanent,
    };
    Fault::new(kind, attempted, unfit)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
