//! Writes copies, and removes them.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{ErrorKind, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use model::{ReleaseId, StageProgress};
use ports::store::Progress;

use crate::{
    content::{self, Entry, Hasher, Kind},
    read,
    trouble::Trouble,
};

const READ_ONLY: u32 = 0o444;
const READ_ONLY_EXECUTABLE: u32 = 0o555;

/// Copies what was scanned below `from` to the new folder `to`, read-only and flushed to the disk. Returns the
/// id of what was read, which need not be what was expected.
pub(crate) fn copy(
    from: &Path,
    entries: &[Entry],
    to: &Path,
    progress: &Progress,
) -> Result<ReleaseId, Trouble> {
    fs::create_dir(to).map_err(Trouble::io("make", to))?;
    let mut hasher = Hasher::new();
    let mut so_far = StageProgress { bytes: content::bytes(entries), ..StageProgress::default() };
    for entry in entries {
        let target = to.join(&entry.path);
        let content = match &entry.kind {
            Kind::Directory => {
                fs::create_dir(&target).map_err(Trouble::io("make", target))?;
                [0; 32]
            }
            Kind::Link { target: leads_to } => {
                symlink(leads_to, &target).map_err(Trouble::io("make the link", target))?;
                [0; 32]
            }
            Kind::File { executable, .. } => {
                let mode = if *executable { READ_ONLY_EXECUTABLE } else { READ_ONLY };
                let mut file = create(&target, 0o600)?;
                let content = read::file(from, entry, |bytes| {
                    file.write_all(bytes).map_err(Trouble::io("write", &target))?;
                    so_far.bytes_done += bytes.len() as u64;
                    progress.tell(so_far);
                    Ok(())
                })?;
                file.set_permissions(Permissions::from_mode(mode))
                    .and_then(|()| file.sync_all())
                    .map_err(Trouble::io("flush", target))?;
                content
            }
        };
        hasher.add(entry, content);
    }
    let folders =
        entries.iter().filter(|entry| entry.kind == Kind::Directory).map(|entry| to.join(&entry.path));
    // Those within before those around them: nothing can be changed in what is read-only already.
    for folder in std::iter::once(to.to_owned()).chain(folders).collect::<Vec<_>>().iter().rev() {
        flush_folder(folder)?;
        fs::set_permissions(folder, Permissions::from_mode(READ_ONLY_EXECUTABLE))
            .map_err(Trouble::io("make read-only", folder))?;
    }
    Ok(hasher.finish())
}

fn create(path: &Path, mode: u32) -> Result<File, Trouble> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(Trouble::io("create", path))
}

/// Makes what was created, renamed or removed in the folder last.
pub(crate) fn flush_folder(folder: &Path) -> Result<(), Trouble> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Trouble::io("flush", folder))
}

/// Puts `text` in the place of `path` in one step. `beside` is a name in the same folder that nobody else uses.
pub(crate) fn replace(path: &Path, beside: &Path, text: &str) -> Result<(), Trouble> {
    remove(beside)?;
    let mut file = create(beside, 0o644)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(Trouble::io("write", beside))?;
    fs::rename(beside, path).map_err(Trouble::io("replace", path))?;
    flush_folder(path.parent().unwrap_or(path))
}

/// Removes whatever is at `path`, read-only folders too. What is not there is removed already.
pub(crate) fn remove(path: &Path) -> Result<(), Trouble> {
    let removing = || Trouble::io("remove", path);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(removing()(error)),
        Ok(found) if found.is_dir() => {
            make_writable(path.to_owned())?;
            fs::remove_dir_all(path).map_err(removing())
        }
        Ok(_) => fs::remove_file(path).map_err(removing()),
    }
}

fn make_writable(root: PathBuf) -> Result<(), Trouble> {
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        fs::set_permissions(&folder, Permissions::from_mode(0o700))
            .map_err(Trouble::io("make writable", &folder))?;
        for found in fs::read_dir(&folder).map_err(Trouble::io("list", &folder))? {
            let found = found.map_err(Trouble::io("list", &folder))?;
            if found.file_type().map_err(Trouble::io("look at", &folder))?.is_dir() {
                folders.push(found.path());
            }
        }
    }
    Ok(())
}
