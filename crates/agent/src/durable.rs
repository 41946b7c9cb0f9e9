//! Small files that are replaced whole: either the old content is there after a crash, or the new one.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

/// A file that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Reading failed.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Writing failed.
    #[error("write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its content is torn, or not ours. It is never guessed at.
    #[error(
        "{path} is damaged and is not guessed at; remove the host from the fleet, empty its state directory, and start it again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// Reads a file; `None` when there is none.
///
/// # Errors
/// It cannot be read, or is damaged.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(FileError::Read { path: path.to_owned(), source }),
    };
    let value = serde_json::from_slice(&text)
        .map_err(|source| FileError::Damaged { path: path.to_owned(), source })?;
    Ok(Some(value))
}

/// Replaces a file, durably.
///
/// # Errors
/// It cannot be written. The old content is still there then.
pub fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), FileError> {
    let fail = |source| FileError::Write { path: path.to_owned(), source };
    let text = serde_json::to_vec_pretty(value).map_err(|error| fail(io::Error::other(error)))?;
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let replace = || {
        let mut file = File::create(&fresh)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        // The rename itself is durable only with its directory.
        sync_parent(path)
    };
    replace().map_err(fail)
}

/// Makes the name of a file or directory durable.
///
/// # Errors
/// Its directory cannot be opened or written.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_file_is_refused_and_an_absent_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.json");
        assert_eq!(read::<Vec<u8>>(&path).unwrap(), None);
        write(&path, &vec![1_u8, 2]).unwrap();
        assert_eq!(read::<Vec<u8>>(&path).unwrap(), Some(vec![1, 2]));
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(matches!(read::<Vec<u8>>(&path), Err(FileError::Damaged { .. })));
    }
}
