//! Verifies a release while its host leaves the balancer: the closure may be large, and the host would be out for as long.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::{ReleaseId, Timestamp};
use ports::ReleaseStore;
use tokio_util::task::AbortOnDropHandle;

use crate::clock;

/// What was verified longer ago is verified again. Longer than a balancer lets a target drain by default (300 s).
const FRESH: Duration = Duration::from_secs(900);

/// The last verification that was begun ahead of its use.
#[derive(Debug, Default)]
pub struct Ahead {
    last: Mutex<Option<Verification>>,
}

#[derive(Debug)]
struct Verification {
    release: ReleaseId,
    began: Timestamp,
    /// The root of the release, if it is what was staged.
    task: AbortOnDropHandle<Option<PathBuf>>,
}

impl Ahead {
    /// Verifies this release from now on. One that was begun before is given up.
    pub(super) fn begin<R: ReleaseStore>(&self, store: &Arc<R>, release: ReleaseId) {
        let (store, wanted) = (store.clone(), release.clone());
        // What is wrong is told by the verification right before the start, which follows one that failed.
        let task = tokio::spawn(async move { store.verify(&wanted).await.ok() });
        let verification = Verification { release, began: clock::now(), task: AbortOnDropHandle::new(task) };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(verification);
    }

    /// The root of this release, if it was verified lately: waits for a verification that is under way. One serves for one start.
    pub(super) async fn end(&self, release: &ReleaseId) -> Option<PathBuf> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let usable = last.release == *release && clock::now().since(last.began) <= FRESH;
        if usable { last.task.await.ok().flatten() } else { None }
    }
}
