//! Where this program's file is, also when it was replaced while the program runs.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// This program as it runs, whatever became of its file.
pub(crate) const RUNNING: &str = "/proc/self/exe";
/// What the kernel adds to the path of a file that has lost its name.
const DELETED: &[u8] = b" (deleted)";

/// The file that this program was started from, or the one that took its place since; [`RUNNING`] where there is none any more.
pub(crate) fn this() -> PathBuf {
    std::env::current_exe().ok().and_then(|told| file(&told)).unwrap_or_else(|| RUNNING.into())
}

/// The program of this name in the folder of this one, if there is one.
pub(crate) fn beside(name: &str) -> Option<PathBuf> {
    let told = std::env::current_exe().ok()?;
    Some(told.with_file_name(name)).filter(|beside| beside.is_file())
}

/// The file at a path as the kernel tells it.
fn file(told: &Path) -> Option<PathBuf> {
    if told.is_file() {
        return Some(told.to_owned());
    }
    let path = told.as_os_str().as_bytes().strip_suffix(DELETED)?;
    Some(PathBuf::from(OsStr::from_bytes(path))).filter(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_program_is_found_after_its_file_was_replaced_and_not_when_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deployinatord");
        let told = folder.path().join("deployinatord (deleted)");
        assert_eq!(file(&told), None, "it is gone");
        fs::write(&path, "").unwrap();
        assert_eq!(file(&path).as_ref(), Some(&path));
        assert_eq!(file(&told).as_ref(), Some(&path), "another one has taken its place");
        fs::write(&told, "").unwrap();
        assert_eq!(file(&told).as_ref(), Some(&told), "it is called that");
    }
}
