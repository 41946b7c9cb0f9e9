//! Reads a directory: what is in it, and the hash of that.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{ErrorKind, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use model::ReleaseId;
use rustix::{fs::OFlags, io::Errno};
use sha2::{Digest, Sha256};

use crate::{
    content::{self, Entry, FileHash, Hasher, Kind},
    limits::Limits,
    trouble::Trouble,
};

const BUFFER_BYTES: usize = 128 * 1024;

/// Everything below `root`, in order. Links are not followed, but `root` itself may be one.
pub(crate) fn scan(root: &Path, limits: &Limits) -> Result<Vec<Entry>, Trouble> {
    match fs::metadata(root) {
        Ok(found) if found.is_dir() => (),
        Ok(_) => return Err(Trouble::Unfit(format!("{} is not a directory", root.display()))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(Trouble::Unfit(format!("there is no directory {} on this host", root.display())));
        }
        Err(error) => return Err(Trouble::io("look at", root)(error)),
    }
    let mut entries = Vec::new();
    let mut bytes = 0_u64;
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        for found in fs::read_dir(&path).map_err(Trouble::io("list", &path))? {
            let name = found.map_err(Trouble::io("list", &path))?.file_name();
            let entry = look(root, folder.join(name))?;
            match entry.kind {
                Kind::Directory => folders.push(entry.path.clone()),
                Kind::File { bytes: more, .. } => bytes = bytes.saturating_add(more),
                Kind::Link { .. } => (),
            }
            entries.push(entry);
            if let Some(problem) = limits.problem(entries.len(), bytes) {
                return Err(Trouble::Unfit(problem));
            }
        }
    }
    content::sort(&mut entries);
    Ok(entries)
}

fn look(root: &Path, path: PathBuf) -> Result<Entry, Trouble> {
    let whole = root.join(&path);
    let found = fs::symlink_metadata(&whole).map_err(Trouble::io("look at", &whole))?;
    let kind = found.file_type();
    let kind = if kind.is_dir() {
        Kind::Directory
    } else if kind.is_file() {
        Kind::File { executable: is_executable(&found), bytes: found.len() }
    } else if kind.is_symlink() {
        Kind::Link { target: fs::read_link(&whole).map_err(Trouble::io("read the link", &whole))? }
    } else {
        let what = if kind.is_fifo() {
            "a pipe"
        } else if kind.is_socket() {
            "a socket"
        } else {
            "a device"
        };
        let path = path.display();
        return Err(Trouble::Unfit(format!(
            "{path} is {what}; only files, directories and links are content"
        )));
    };
    Ok(Entry { path, kind })
}

/// The owner's bit counts: who owns a file is not content, who may run it is the same for all.
fn is_executable(found: &Metadata) -> bool {
    found.permissions().mode() & 0o100 != 0
}

/// The id of what lies below `root`, which was scanned as `entries`.
pub(crate) fn hash(root: &Path, entries: &[Entry]) -> Result<ReleaseId, Trouble> {
    let mut hasher = Hasher::new();
    for entry in entries {
        let content = match entry.kind {
            Kind::File { .. } => file(root, entry, |_| Ok(()))?,
            Kind::Directory | Kind::Link { .. } => [0; 32],
        };
        hasher.add(entry, content);
    }
    Ok(hasher.finish())
}

/// Reads the file once, from its beginning to its end, into `sink`, and hashes what was read. It must still be
/// what was scanned.
pub(crate) fn file(
    root: &Path,
    entry: &Entry,
    mut sink: impl FnMut(&[u8]) -> Result<(), Trouble>,
) -> Result<FileHash, Trouble> {
    let path = root.join(&entry.path);
    let (mut file, found) = open(&path)?;
    let now = Kind::File { executable: is_executable(&found), bytes: found.len() };
    if !found.is_file() || now != entry.kind {
        return Err(Trouble::Changing(path));
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut left = found.len();
    loop {
        let count = match file.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(Trouble::io("read", path)(error)),
        };
        if count == 0 && left == 0 {
            return Ok(hash.finalize().into());
        }
        match left.checked_sub(count as u64) {
            Some(rest) if count > 0 => left = rest,
            _ => return Err(Trouble::Changing(path)),
        }
        hash.update(&buffer[..count]);
        sink(&buffer[..count])?;
    }
}

/// Opens without following a link and without waiting for a pipe's other end: it may have become either.
fn open(path: &Path) -> Result<(File, Metadata), Trouble> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = opened.map_err(|error| {
        let gone = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::NXIO];
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(code) if gone.contains(&code) => Trouble::Changing(path.to_owned()),
            _ => Trouble::io("open", path)(error),
        }
    })?;
    let found = file.metadata().map_err(Trouble::io("look at", path))?;
    Ok((file, found))
}
