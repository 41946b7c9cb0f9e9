//! Verifies a release while its host leaves the balancer: the closure may be large, and the host would be out for as long. See
//! docs/adr/0038-verified-while-draining.md.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use model::{ReleaseId, Timestamp};
use ports::{ReleaseStore, fault::Chain};
use tokio_util::task::AbortOnDropHandle;

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
    /// The root of the release, if it was found to be what was staged.
    task: AbortOnDropHandle<Option<PathBuf>>,
}

impl Verification {
    fn serves(&self, release: &ReleaseId, now: Timestamp) -> bool {
        self.release == *release && now.since(self.began) <= FRESH
    }
}

impl Ahead {
    /// Verifies this release from now on, unless that has begun already: a host may be told to leave again and again.
    pub(super) fn begin<R: ReleaseStore>(&self, store: &Arc<R>, release: &ReleaseId, now: Timestamp) {
        let mut last = self.lock();
        if last.as_ref().is_some_and(|last| last.serves(release, now)) {
            return;
        }
        let (store, wanted) = (store.clone(), release.clone());
        let task = tokio::spawn(async move {
            let verified = store.verify(&wanted).await;
            // It is verified once more before the start, and that has the word.
            verified
                .inspect_err(
                    |fault| tracing::warn!(release = %wanted, error = %Chain(fault), "verified while draining: failed"),
                )
                .ok()
        });
        let task = AbortOnDropHandle::new(task);
        *last = Some(Verification { release: release.clone(), began: now, task });
    }

    /// The root of this release, if it was verified lately: waits for a verification that is under way. One serves for one start.
    pub(super) async fn end(&self, release: &ReleaseId, now: Timestamp) -> Option<PathBuf> {
        let last = self.lock().take().filter(|last| last.serves(release, now))?;
        last.task.await.ok().flatten()
    }

    /// Gives up what was begun: the host stays as it is.
    pub(super) fn forget(&self) {
        self.lock().take();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Verification>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use model::Release;
    use ports::store::{
        Progress,
        fake::{Call, FakeStore},
    };

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn after(time: Duration) -> Timestamp {
        Timestamp(NOW.0 + u64::try_from(time.as_millis()).unwrap())
    }

    async fn store() -> (Arc<FakeStore>, [ReleaseId; 2]) {
        let store = FakeStore::new(3);
        let ids: [ReleaseId; 2] = ["a".parse().unwrap(), "b".parse().unwrap()];
        for id in &ids {
            let release = Release { id: id.clone(), source: id.to_string(), migrates: false };
            store.offer(&release);
            store.stage(&release, &Progress::new(|_| ())).await.unwrap();
        }
        (Arc::new(store), ids)
    }

    #[tokio::test]
    async fn it_serves_for_one_start_of_its_own_release() {
        let (store, [a, b]) = store().await;
        let ahead = Ahead::default();
        ahead.begin(&store, &a, NOW);
        assert_eq!(ahead.end(&a, NOW).await, Some(store.verify(&a).await.unwrap()));
        assert_eq!(ahead.end(&a, NOW).await, None, "it has served");
        ahead.begin(&store, &a, NOW);
        assert_eq!(ahead.end(&b, NOW).await, None, "it is about another one");
        ahead.begin(&store, &a, NOW);
        ahead.forget();
        assert_eq!(ahead.end(&a, NOW).await, None, "it was given up");
    }

    #[tokio::test]
    async fn what_is_old_or_was_found_changed_serves_nobody() {
        let (store, [a, _]) = store().await;
        let ahead = Ahead::default();
        ahead.begin(&store, &a, NOW);
        assert_eq!(ahead.end(&a, after(FRESH + Duration::from_millis(1))).await, None);
        store.tamper(&a);
        ahead.begin(&store, &a, NOW);
        assert_eq!(ahead.end(&a, NOW).await, None);
    }

    #[tokio::test]
    async fn leaving_again_begins_nothing_anew() {
        let (store, [a, b]) = store().await;
        let ahead = Ahead::default();
        let verified = || store.calls().iter().filter(|call| matches!(call, Call::Verify(_))).count();
        for ms in 0..3 {
            ahead.begin(&store, &a, after(Duration::from_millis(ms)));
        }
        assert!(ahead.end(&a, NOW).await.is_some());
        assert_eq!(verified(), 1);
        ahead.begin(&store, &a, NOW);
        ahead.begin(&store, &b, NOW);
        assert!(ahead.end(&b, NOW).await.is_some(), "another release takes its place");
    }
}
