//! The folder of a host's staged releases: `ID` for each, a link to its store path that Nix knows as a root of its garbage collector, and
//! `.order` with the ids of those that are whole, the least recently staged first.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use model::ReleaseId;

use crate::trouble::Trouble;

#[derive(Debug)]
pub(crate) struct Roots {
    folder: PathBuf,
    /// What was found to be changed: it counts as not staged, until it is staged again.
    changed: Mutex<BTreeSet<ReleaseId>>,
}

impl Roots {
    pub(crate) fn open(folder: PathBuf) -> Result<Self, Trouble> {
        fs::create_dir_all(&folder).map_err(Trouble::io("make", &folder))?;
        Ok(Self { folder, changed: Mutex::default() })
    }

    /// The link of a release.
    pub(crate) fn link(&self, id: &ReleaseId) -> PathBuf {
        self.folder.join(id.as_str())
    }

    /// Whether this release was staged to the end.
    pub(crate) fn has(&self, id: &ReleaseId) -> Result<bool, Trouble> {
        Ok(self.order()?.contains(id) && fs::symlink_metadata(self.link(id)).is_ok())
    }

    /// What is staged, as far as anybody knows, the least recently staged first.
    pub(crate) fn staged(&self) -> Result<Vec<ReleaseId>, Trouble> {
        let mut staged = self.order()?;
        let changed = self.changed();
        // The link leads to what is there: whoever took it away did not ask.
        staged.retain(|id| !changed.contains(id) && self.link(id).exists());
        Ok(staged)
    }

    /// Notes that a release is whole, and the one staged last.
    pub(crate) fn note_staged(&self, id: &ReleaseId) -> Result<(), Trouble> {
        let mut order = self.order()?;
        if order.last() != Some(id) {
            order.retain(|known| known != id);
            order.push(id.clone());
            self.write_order(&order)?;
        }
        self.changed().remove(id);
        Ok(())
    }

    pub(crate) fn note_changed(&self, id: &ReleaseId) {
        self.changed().insert(id.clone());
    }

    pub(crate) fn note_whole(&self, id: &ReleaseId) {
        self.changed().remove(id);
    }

    /// Forgets a release and gives up its root.
    pub(crate) fn remove(&self, id: &ReleaseId) -> Result<(), Trouble> {
        let mut order = self.order()?;
        if order.contains(id) {
            order.retain(|known| known != id);
            self.write_order(&order)?;
        }
        self.changed().remove(id);
        match fs::remove_file(self.link(id)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Trouble::io("remove", self.link(id))(error))
            }
            _ => Ok(()),
        }
    }

    /// The ids of all that were staged to the end, the least recently first.
    pub(crate) fn order(&self) -> Result<Vec<ReleaseId>, Trouble> {
        let path = self.folder.join(".order");
        match fs::read(&path) {
            Ok(text) => {
                Ok(String::from_utf8_lossy(&text).lines().filter_map(|line| line.parse().ok()).collect())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Trouble::io("read", path)(error)),
        }
    }

    /// In one step, and flushed.
    fn write_order(&self, order: &[ReleaseId]) -> Result<(), Trouble> {
        let text: String = order.iter().map(|id| format!("{id}\n")).collect();
        let (path, beside) = (self.folder.join(".order"), self.folder.join(".tmp-order"));
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        };
        write().map_err(Trouble::io("write", &path))?;
        flush(&self.folder)
    }

    /// Whoever panicked with it held a whole set.
    fn changed(&self) -> MutexGuard<'_, BTreeSet<ReleaseId>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn flush(folder: &Path) -> Result<(), Trouble> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Trouble::io("flush", folder))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn id(name: &str) -> ReleaseId {
        name.parse().expect("the test's own name")
    }

    #[test]
    fn only_what_was_noted_and_leads_somewhere_is_staged() {
        let folder = tempfile::tempdir().unwrap();
        let roots = Roots::open(folder.path().join("roots")).unwrap();
        assert_eq!(roots.staged().unwrap(), []);
        for name in ["a", "b", "c"] {
            symlink(folder.path(), roots.link(&id(name))).unwrap();
        }
        assert_eq!(roots.staged().unwrap(), [], "a root alone is a half-done attempt");
        for name in ["a", "b", "c", "a"] {
            roots.note_staged(&id(name)).unwrap();
        }
        assert_eq!(roots.staged().unwrap(), [id("b"), id("c"), id("a")]);
        fs::remove_file(roots.link(&id("c"))).unwrap();
        symlink("/nowhere/at/all", roots.link(&id("c"))).unwrap();
        roots.note_changed(&id("b"));
        assert_eq!(roots.staged().unwrap(), [id("a")]);
        assert!(roots.has(&id("b")).unwrap() && !roots.has(&id("d")).unwrap());
        roots.note_staged(&id("b")).unwrap();
        assert_eq!(roots.staged().unwrap(), [id("a"), id("b")], "staged again, it is whole");
        roots.remove(&id("a")).unwrap();
        roots.remove(&id("a")).unwrap();
        assert_eq!(roots.staged().unwrap(), [id("b")]);
        let again = Roots::open(folder.path().join("roots")).unwrap();
        assert_eq!(again.order().unwrap(), [id("c"), id("b")], "it is remembered");
    }
}
