//! A file of this host.

use std::{
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

use ports::{
    Channel, Fault, FaultKind,
    channel::{LIMIT_BYTES, Look, Said},
};

/// A file of this host: read whole each time, so that nothing has to tell one content from another.
#[derive(Debug, Clone)]
pub struct File {
    path: PathBuf,
}

impl File {
    /// At this path.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

impl Channel for File {
    async fn look(&self, _: Option<&str>) -> Result<Look, Fault> {
        let path = self.path.clone();
        let attempted = format!("read {}", path.display());
        let read = tokio::task::spawn_blocking(move || {
            // A pipe or a device has no end, and its opening may have none either.
            if !path.metadata()?.is_file() {
                return Err(std::io::Error::other("it is no file"));
            }
            let mut bytes = Vec::new();
            std::fs::File::open(path)?.take(LIMIT_BYTES as u64 + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        match read.await {
            Ok(Ok(bytes)) => Ok(Look::Says(Said { bytes, tag: None })),
            Ok(Err(error)) if error.kind() == ErrorKind::NotFound => Ok(Look::Nothing),
            Ok(Err(error)) => Err(Fault::new(FaultKind::Transient, attempted, error)),
            Err(ended) => Err(Fault::new(FaultKind::Transient, attempted, ended)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_says_what_is_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web");
        let channel = File::new(&path);
        assert_eq!(channel.look(None).await.unwrap(), Look::Nothing);
        std::fs::write(&path, "/a\n").unwrap();
        let says = |bytes: &[u8]| Look::Says(Said { bytes: bytes.to_vec(), tag: None });
        assert_eq!(channel.look(None).await.unwrap(), says(b"/a\n"));
        let long = vec![b'a'; LIMIT_BYTES + 10];
        std::fs::write(&path, &long).unwrap();
        assert_eq!(channel.look(None).await.unwrap(), says(&long[..=LIMIT_BYTES]));
        assert!(File::new(folder.path()).look(None).await.is_err(), "a folder says nothing");
    }
}
