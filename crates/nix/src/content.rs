//! What a release on this host's disk has to say of itself.

use std::{fs, io::ErrorKind, os::unix::fs::PermissionsExt as _, path::Path};

use crate::{path::StorePath, trouble::Trouble};

/// Whether it brings `bin/migrate`.
///
/// # Errors
/// It has no `bin/serve`, or cannot be read.
pub(crate) fn migrates(path: &StorePath) -> Result<bool, Trouble> {
    let unfit = |problem: String| Trouble::Unfit { path: path.as_str().to_owned(), problem };
    let (serve, migrate) = (path.to_path().join("bin/serve"), path.to_path().join("bin/migrate"));
    if !can_start(&serve)? {
        return Err(unfit("it has no executable bin/serve".into()));
    }
    can_start(&migrate)
}

fn can_start(program: &Path) -> Result<bool, Trouble> {
    match fs::metadata(program) {
        Ok(found) => Ok(found.is_file() && found.permissions().mode() & 0o111 != 0),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(Trouble::io("look at", program)(error)),
    }
}
