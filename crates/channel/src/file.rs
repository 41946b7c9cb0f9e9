//! A file of this host.

use std::{
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use ports::{
    Channel, Fault, FaultKind,
    channel::{LIMIT_BYTES, Look, Said},
};

/// A file of this host: read whole each time, so that nothing has to tell one content from another.
#[derive(Debug, Clone)]
pub struct File {
    path: PathBuf,
    /// A read that has not ended, such as one of a file system that is away: no other is begun beside it.
    reading: Arc<AtomicBool>,
}

impl File {
    /// At this path.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), reading: Arc::default() }
    }
}

/// Lets the next read begin when this one has ended, however it did.
struct Ends(Arc<AtomicBool>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Channel for File {
    async fn look(&self, _: Option<&str>) -> Result<Look, Fault> {
        let path = self.path.clone();
        let attempted = format!("read {}", path.display());
        if self.reading.swap(true, Ordering::AcqRel) {
            let why = std::io::Error::other("the last read of it has not ended");
            return Err(Fault::new(FaultKind::Transient, attempted, why));
        }
        let ends = Ends(self.reading.clone());
        let read = tokio::task::spawn_blocking(move || {
            let _ends = ends;
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

    #[tokio::test]
    async fn a_read_that_does_not_end_is_not_begun_again() {
        let channel = File::new(Path::new("/nonexistent"));
        channel.reading.store(true, Ordering::Release);
        let fault = channel.look(None).await.unwrap_err();
        assert!(ports::fault::Chain(&fault).to_string().contains("has not ended"));
        channel.reading.store(false, Ordering::Release);
        assert_eq!(channel.look(None).await.unwrap(), Look::Nothing);
        assert_eq!(channel.look(None).await.unwrap(), Look::Nothing, "one that has ended is in nobody's way");
    }
}
