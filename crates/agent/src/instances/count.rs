//! How many instances a service has on this host, and how many it may have left behind at the balancer.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use crate::durable::{self, FileError};

/// Where the number is kept, in the service's directory. None is one.
const FILE: &str = "instances.json";

/// How many instances there are now, and how many there are to be from the next start on.
#[derive(Debug)]
pub struct Count {
    file: PathBuf,
    wanted: usize,
    reach: usize,
    present: AtomicUsize,
    /// So many may be registered.
    most: AtomicUsize,
    writing: Mutex<()>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "version", rename_all = "snake_case")]
enum Stored {
    /// The first format.
    V1 {
        /// What was started last has so many.
        instances: usize,
        /// So many targets may be registered; none: as many as there are instances.
        #[serde(default)]
        most: usize,
    },
}

impl Count {
    /// What was written in the service's directory, beside what its configuration says now.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn open(service: &Path, wanted: usize) -> Result<Arc<Self>, FileError> {
        let file = service.join(FILE);
        let (present, most) =
            durable::read(&file)?.map_or((1, 1), |Stored::V1 { instances, most }| (instances, most));
        let (present, wanted) = (present.max(1), wanted.max(1));
        let most = most.max(present);
        Ok(Arc::new(Self {
            file,
            wanted,
            reach: wanted.max(most),
            present: AtomicUsize::new(present),
            most: AtomicUsize::new(most),
            writing: Mutex::default(),
        }))
    }

    /// So many were started last, and are watched.
    #[must_use]
    pub fn present(&self) -> usize {
        self.present.load(Ordering::Acquire)
    }

    /// So many there are to be.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// Beyond this number there is none, neither now nor after the next start. Stays the same while the agent runs.
    #[must_use]
    pub fn reach(&self) -> usize {
        self.reach
    }

    /// All are stopped: what is started next has as many as are wanted. On disk when this returns.
    ///
    /// # Errors
    /// It cannot be written; then nothing has changed.
    pub(super) fn renew(&self) -> Result<(), FileError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.present() != self.wanted {
            let most = self.most.load(Ordering::Acquire).max(self.wanted);
            durable::write(&self.file, &Stored::V1 { instances: self.wanted, most })?;
            self.most.store(most, Ordering::Release);
            self.present.store(self.wanted, Ordering::Release);
        }
        Ok(())
    }

    /// Instances that there are no more and are not to be, and whose targets may be registered still: after a reboot with another number
    /// in the configuration nobody has drained them.
    pub(super) fn left_behind(&self) -> Range<usize> {
        self.present().max(self.wanted)..self.most.load(Ordering::Acquire)
    }

    /// What was left behind is registered no more.
    ///
    /// # Errors
    /// It cannot be written: they are asked to leave again.
    pub(super) fn none_left_behind(&self) -> Result<(), FileError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (present, most) = (self.present(), self.present().max(self.wanted));
        durable::write(&self.file, &Stored::V1 { instances: present, most })?;
        self.most.store(most, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_what_was_started_outlives_its_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let first = Count::open(dir.path(), 3).unwrap();
        assert_eq!((first.present(), first.reach()), (1, 3), "nothing was started with three yet");
        first.renew().unwrap();
        let second = Count::open(dir.path(), 2).unwrap();
        assert_eq!((second.present(), second.wanted(), second.reach()), (3, 2, 3));
        second.renew().unwrap();
        assert_eq!((second.present(), second.reach()), (2, 3), "those stopped now are still known");
        assert_eq!(second.left_behind(), 2..3, "the third may be registered still");
        let third = Count::open(dir.path(), 2).unwrap();
        assert_eq!(
            (third.reach(), third.left_behind()),
            (3, 2..3),
            "and an agent that is started again knows that"
        );
        third.none_left_behind().unwrap();
        assert!(third.left_behind().is_empty());
        assert_eq!(Count::open(dir.path(), 2).unwrap().reach(), 2);
    }

    #[test]
    fn a_single_one_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        Count::open(dir.path(), 1).unwrap().renew().unwrap();
        assert!(!dir.path().join(FILE).exists());
    }

    #[test]
    fn the_format_stays_readable() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), r#"{"version":"v1","instances":4}"#).unwrap();
        assert_eq!(Count::open(dir.path(), 1).unwrap().present(), 4);
        std::fs::write(dir.path().join(FILE), r#"{"version":"v1","inst"#).unwrap();
        assert!(matches!(Count::open(dir.path(), 1), Err(FileError::Damaged { .. })));
    }
}
