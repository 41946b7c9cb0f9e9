//! The content of a directory as one hash: sorted paths, kinds, the executable bit, link targets and bytes.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Component, Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

/// Most files and directories in a release.
pub(crate) const ENTRIES_LIMIT: usize = 100_000;
/// Most bytes in a release: 8 GiB.
pub(crate) const BYTES_LIMIT: u64 = 8 << 30;

/// What a directory holds.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) hash: String,
    pub(crate) entries: Vec<Entry>,
    pub(crate) bytes: u64,
}

/// One thing in a directory, by its path below it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File { executable: bool },
    Link { target: PathBuf },
}

/// Why a directory cannot be a release.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("read {path}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: {problem}")]
    Content { path: PathBuf, problem: &'static str },
}

/// Walks and hashes the directory.
pub(crate) fn tree(root: &Path) -> Result<Tree, Unfit> {
    let mut entries = Vec::new();
    walk(root, Path::new(""), &mut entries)?;
    let mut hasher = Sha256::new();
    let mut bytes = 0;
    for Entry { path, kind } in &entries {
        let (word, target) = match kind {
            Kind::Directory => ("directory", None),
            Kind::File { executable: false } => ("file", None),
            Kind::File { executable: true } => ("program", None),
            Kind::Link { target } => ("link", Some(target)),
        };
        // Lengths go first, so that no two trees give the same bytes.
        field(&mut hasher, word.as_bytes());
        field(&mut hasher, path.as_os_str().as_encoded_bytes());
        if let Some(target) = target {
            field(&mut hasher, target.as_os_str().as_encoded_bytes());
        }
        if matches!(kind, Kind::File { .. }) {
            bytes += content(&root.join(path), &mut hasher)?;
            if BYTES_LIMIT < bytes {
                return Err(Unfit::Content { path: root.to_owned(), problem: "holds more than 8 GiB" });
            }
        }
    }
    let hash = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Tree { hash, entries, bytes })
}

fn field(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update((bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

fn content(path: &Path, hasher: &mut Sha256) -> Result<u64, Unfit> {
    let fail = |source| Unfit::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(fail)?;
    let length = file.metadata().map_err(fail)?.len();
    hasher.update(length.to_le_bytes());
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer).map_err(fail)?;
        if read == 0 {
            return Ok(length);
        }
        hasher.update(&buffer[..read]);
    }
}

fn walk(root: &Path, below: &Path, entries: &mut Vec<Entry>) -> Result<(), Unfit> {
    let dir = root.join(below);
    let fail = |source| Unfit::Io { path: dir.clone(), source };
    let mut names: Vec<_> = fs::read_dir(&dir).map_err(fail)?.collect::<Result<_, _>>().map_err(fail)?;
    names.sort_by_key(fs::DirEntry::file_name);
    for name in names {
        if ENTRIES_LIMIT <= entries.len() {
            return Err(Unfit::Content { path: root.to_owned(), problem: "holds more than 100000 files" });
        }
        let path = below.join(name.file_name());
        let full = root.join(&path);
        let kind = kind(&full, &path)?;
        let is_dir = kind == Kind::Directory;
        entries.push(Entry { path: path.clone(), kind });
        if is_dir {
            walk(root, &path, entries)?;
        }
    }
    Ok(())
}

fn kind(full: &Path, path: &Path) -> Result<Kind, Unfit> {
    let fail = |source| Unfit::Io { path: full.to_owned(), source };
    let metadata = fs::symlink_metadata(full).map_err(fail)?;
    if metadata.is_dir() {
        return Ok(Kind::Directory);
    }
    if metadata.is_file() {
        return Ok(Kind::File { executable: metadata.permissions().mode() & 0o111 != 0 });
    }
    if metadata.is_symlink() {
        let target = fs::read_link(full).map_err(fail)?;
        if leaves(path, &target) {
            return Err(Unfit::Content { path: full.to_owned(), problem: "is a link out of the release" });
        }
        return Ok(Kind::Link { target });
    }
    Err(Unfit::Content { path: full.to_owned(), problem: "is neither a file, a directory nor a link" })
}

/// Whether a link at `path` with this target points out of the tree.
fn leaves(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count() as i64 - 1;
    for component in target.components() {
        match component {
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            Component::CurDir => (),
            Component::RootDir | Component::Prefix(_) => return true,
        }
        if depth < 0 {
            return true;
        }
    }
    false
}
