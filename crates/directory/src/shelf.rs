//! The folder in which a host's releases stand: `ID/` for each, `.order` with their ids, the least recently
//! staged first, and `.tmp-…` for what is being made or removed.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use model::{Release, ReleaseId};
use ports::store::Progress;

use crate::{content, limits::Limits, read, trouble::Trouble, write};

const UNFINISHED: &str = ".tmp-";

#[derive(Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
    keep: usize,
    limits: Limits,
    /// What stands here and was found to be changed: it counts as not staged, until it is staged again.
    changed: Mutex<BTreeSet<ReleaseId>>,
}

impl Shelf {
    pub(crate) fn open(folder: PathBuf, keep: usize, limits: Limits) -> Result<Self, Trouble> {
        fs::create_dir_all(&folder).map_err(Trouble::io("make", &folder))?;
        for found in fs::read_dir(&folder).map_err(Trouble::io("list", &folder))? {
            let found = found.map_err(Trouble::io("list", &folder))?;
            if found.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
                write::remove(&found.path())?;
            }
        }
        Ok(Self { folder, keep, limits, changed: Mutex::default() })
    }

    /// Which release `source` holds, and whether it migrates.
    pub(crate) fn resolve(&self, source: &Path) -> Result<(ReleaseId, bool), Trouble> {
        let entries = read::scan(source, &self.limits)?;
        let migrates = content::migrates(&entries).map_err(Trouble::Unfit)?;
        Ok((read::hash(source, &entries)?, migrates))
    }

    pub(crate) fn stage(&self, release: &Release, progress: &Progress) -> Result<(), Trouble> {
        match self.verify(&release.id) {
            Ok(_) => return self.note_staged(&release.id),
            Err(Trouble::NotStaged(_)) => (),
            Err(trouble @ Trouble::Tampered { .. }) => {
                tracing::warn!(release = %release.id, "replacing a staged release: {trouble}");
                self.remove(&release.id)?;
            }
            Err(trouble) => return Err(trouble),
        }
        let unfinished = self.unfinished(&release.id);
        write::remove(&unfinished)?;
        let made = self.make(release, &unfinished, progress);
        if made.is_ok() {
            self.changed().remove(&release.id);
        } else {
            // The first trouble is the one to tell; what cannot be removed now is removed at the next attempt.
            let _ = write::remove(&unfinished);
        }
        made
    }

    fn make(&self, release: &Release, unfinished: &Path, progress: &Progress) -> Result<(), Trouble> {
        let source = Path::new(&release.source);
        let entries = read::scan(source, &self.limits)?;
        content::migrates(&entries).map_err(Trouble::Unfit)?;
        self.check_space(entries.len(), content::bytes(&entries))?;
        let found = write::copy(source, &entries, unfinished, progress)?;
        if found != release.id {
            return Err(Trouble::Other { path: source.to_owned(), found });
        }
        let found = read::hash(unfinished, &read::scan(unfinished, &self.limits)?)?;
        if found != release.id {
            return Err(Trouble::BadCopy { path: unfinished.to_owned(), found });
        }
        // Noted first: a name without a release is passed over, a release without a name would look old.
        self.note_staged(&release.id)?;
        let place = self.place(&release.id);
        fs::rename(unfinished, &place).map_err(Trouble::io("move the finished copy to", place))?;
        write::flush_folder(&self.folder)
    }

    fn check_space(&self, entries: usize, bytes: u64) -> Result<(), Trouble> {
        let disk = rustix::fs::statvfs(&self.folder)
            .map_err(|error| Trouble::io("ask for the free space of", &self.folder)(error.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        match self.limits.shortage(entries, bytes, free) {
            Some(problem) => Err(Trouble::NoSpace { path: self.folder.clone(), problem }),
            None => Ok(()),
        }
    }

    /// The root of the staged release, if it is what was staged.
    pub(crate) fn verify(&self, id: &ReleaseId) -> Result<PathBuf, Trouble> {
        let verified = self.look_through(id);
        match &verified {
            Ok(_) => drop(self.changed().remove(id)),
            Err(Trouble::Tampered { .. }) => drop(self.changed().insert(id.clone())),
            Err(_) => (),
        }
        verified
    }

    /// Whoever panicked with it held a whole set.
    fn changed(&self) -> MutexGuard<'_, BTreeSet<ReleaseId>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_through(&self, id: &ReleaseId) -> Result<PathBuf, Trouble> {
        let place = self.place(id);
        let tampered = |why: String| Trouble::Tampered { path: place.clone(), why };
        match fs::symlink_metadata(&place) {
            Ok(found) if found.is_dir() => (),
            Ok(_) => return Err(tampered("it is not a directory".into())),
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(Trouble::NotStaged(place)),
            Err(error) => return Err(Trouble::io("look at", place)(error)),
        }
        let entries = match read::scan(&place, &self.limits) {
            Err(Trouble::Unfit(why)) => return Err(tampered(why)),
            scanned => scanned?,
        };
        let found = read::hash(&place, &entries)?;
        if found == *id { Ok(place) } else { Err(tampered(format!("its content is {found}"))) }
    }

    /// What is staged, as far as anybody knows.
    pub(crate) fn staged(&self) -> Result<BTreeSet<ReleaseId>, Trouble> {
        let mut staged = self.standing()?;
        let changed = self.changed();
        staged.retain(|id| !changed.contains(id));
        Ok(staged)
    }

    /// The releases that have a place here.
    fn standing(&self) -> Result<BTreeSet<ReleaseId>, Trouble> {
        let listing = || Trouble::io("list", &self.folder);
        let mut staged = BTreeSet::new();
        for found in fs::read_dir(&self.folder).map_err(listing())? {
            let found = found.map_err(listing())?;
            let is_folder = found.file_type().map_err(listing())?.is_dir();
            let id = found.file_name().to_str().and_then(|name| name.parse().ok());
            staged.extend(id.filter(|_| is_folder));
        }
        Ok(staged)
    }

    pub(crate) fn collect(&self, keep: &BTreeSet<ReleaseId>) -> Result<Vec<ReleaseId>, Trouble> {
        let removed = surplus(&self.order()?, &self.standing()?, keep, self.keep);
        for id in &removed {
            self.remove(id)?;
        }
        Ok(removed)
    }

    /// Out of its place in one step, and then file by file.
    fn remove(&self, id: &ReleaseId) -> Result<(), Trouble> {
        let (place, unfinished) = (self.place(id), self.unfinished(id));
        write::remove(&unfinished)?;
        fs::rename(&place, &unfinished).map_err(Trouble::io("move aside", place))?;
        write::flush_folder(&self.folder)?;
        write::remove(&unfinished)
    }

    fn place(&self, id: &ReleaseId) -> PathBuf {
        self.folder.join(id.as_str())
    }

    fn unfinished(&self, id: &ReleaseId) -> PathBuf {
        self.folder.join(format!("{UNFINISHED}{id}"))
    }

    /// The ids as they were staged, the least recently first. Some may be gone.
    fn order(&self) -> Result<Vec<ReleaseId>, Trouble> {
        let path = self.folder.join(".order");
        match fs::read(&path) {
            Ok(text) => {
                Ok(String::from_utf8_lossy(&text).lines().filter_map(|line| line.parse().ok()).collect())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Trouble::io("read", path)(error)),
        }
    }

    fn note_staged(&self, id: &ReleaseId) -> Result<(), Trouble> {
        let mut order = self.order()?;
        if order.last() == Some(id) {
            return Ok(());
        }
        let staged = self.standing()?;
        order.retain(|known| known != id && staged.contains(known));
        order.push(id.clone());
        let text: String = order.iter().map(|id| format!("{id}\n")).collect();
        write::replace(&self.folder.join(".order"), &self.folder.join(".tmp-order"), &text)
    }
}

/// Which releases go, so that `limit` are left: the least recently staged first, none that is kept. What is in
/// no order counts as the oldest.
fn surplus(
    order: &[ReleaseId],
    staged: &BTreeSet<ReleaseId>,
    keep: &BTreeSet<ReleaseId>,
    limit: usize,
) -> Vec<ReleaseId> {
    let unordered = staged.iter().filter(|id| !order.contains(id));
    let ordered = order.iter().filter(|id| staged.contains(id));
    let count = staged.len().saturating_sub(limit);
    unordered.chain(ordered).filter(|id| !keep.contains(id)).take(count).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &str) -> Vec<ReleaseId> {
        names.split_whitespace().map(|name| name.parse().expect("the test's own name")).collect()
    }

    #[test]
    fn the_least_recently_staged_go_first() {
        for (order, staged, keep, limit, expected) in [
            ("a b c", "a b c", "", 2, "a"),
            ("c b a", "a b c", "", 2, "c"),
            ("a b c", "a b c", "a", 2, "b"),
            ("a b c", "a b c", "a b c", 2, ""),
            ("a b c", "b c", "", 2, ""),
            ("b", "a b c", "", 1, "a c"),
            ("", "a b c", "x", 0, "a b c"),
        ] {
            let set = |names| ids(names).into_iter().collect();
            let found = surplus(&ids(order), &set(staged), &set(keep), limit);
            assert_eq!(found, ids(expected), "order {order}, staged {staged}, keep {keep}, limit {limit}");
        }
    }
}
