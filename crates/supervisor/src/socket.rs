//! The keeper's socket, whatever the length of its directory's path.
//!
//! A Unix socket's path ends at 107 bytes; a state directory may be longer. Then it is reached through the open directory,
//! as `/proc/self/fd/N/keeper.sock`, which cannot work only where `/proc` is not mounted; and there no keeper works.

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

/// Name of the socket in the keeper's directory.
pub(crate) const NAME: &str = "keeper.sock";
/// Longest path that the kernel takes, in bytes.
const PATH_LIMIT_BYTES: usize = 107;

/// A path that fits. It may stand on an open directory, so it is used before the value is dropped.
pub(crate) struct Reach {
    path: PathBuf,
    _dir: Option<File>,
}

impl Reach {
    /// How to reach the socket in `dir`.
    pub(crate) fn new(dir: &Path) -> io::Result<Self> {
        let path = dir.join(NAME);
        if path.as_os_str().as_bytes().len() <= PATH_LIMIT_BYTES {
            return Ok(Self { path, _dir: None });
        }
        let open = File::open(dir)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", open.as_raw_fd()));
        Ok(Self { path, _dir: Some(open) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
