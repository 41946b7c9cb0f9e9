//! What every [`ReleaseStore`] owes its callers, as a test that real ones and the fake run alike.
//!
//! Absent on purpose: where releases come from. Each implementation's own test brings that as
//! [`Surroundings`].

use std::{
    collections::BTreeSet,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use model::{Release, ReleaseId};

use super::{NotARelease, Progress, ReleaseStore};
use crate::{Fault, FaultKind};

/// What stands around a store under test. It starts with nothing staged.
pub trait Surroundings: Sync {
    /// The store under test.
    type Store: ReleaseStore;
    /// The store under test.
    fn store(&self) -> &Self::Store;
    /// How many releases it keeps. At least 2.
    fn limit(&self) -> usize;
    /// A new release with content of its own; returns what a push would name.
    fn add(&self, migrates: bool) -> impl Future<Output = String> + Send;
    /// Something that is not a release.
    fn not_a_release(&self) -> impl Future<Output = String> + Send;
    /// Takes the source away, so that nothing can be fetched from it.
    fn withdraw(&self, source: &str) -> impl Future<Output = ()> + Send;
    /// Changes what is staged under this id, behind the store's back.
    fn tamper(&self, release: &ReleaseId) -> impl Future<Output = ()> + Send;
}

/// Checks the whole contract.
///
/// # Panics
/// Where the store breaks it, saying how.
pub async fn check<S: Surroundings>(around: &S) {
    resolves(around).await;
    stages_and_verifies(around).await;
    a_failed_attempt_leaves_nothing(around).await;
    tampering_is_refused_and_staging_repairs_it(around).await;
    collects(around).await;
}

async fn resolves<S: Surroundings>(around: &S) {
    let store = around.store();
    let (one, two) = (around.add(false).await, around.add(true).await);
    let (first, again) = (resolve(around, &one).await, resolve(around, &one).await);
    assert_eq!(first, again, "the same source is the same release");
    assert!(!first.migrates, "a release without bin/migrate migrates");
    let second = resolve(around, &two).await;
    assert!(second.migrates, "a release with bin/migrate does not migrate");
    assert_ne!(first.id, second.id, "two contents share an id");
    let bad = around.not_a_release().await;
    match store.resolve(&bad).await {
        Err(NotARelease::Invalid { source_name, problem, next }) => {
            assert_eq!(source_name, bad, "another source was blamed");
            assert!(!problem.is_empty(), "it does not say what is wrong");
            assert!(!next.is_empty(), "it does not say what to do");
        }
        other => panic!("{bad} was {other:?}"),
    }
    assert_eq!(staged(around).await, BTreeSet::new(), "to resolve is not to stage");
}

async fn stages_and_verifies<S: Surroundings>(around: &S) {
    let store = around.store();
    let source = around.add(false).await;
    let release = resolve(around, &source).await;
    assert_permanent(store.verify(&release.id).await, "verifying what is not staged");
    for attempt in ["the first", "the second"] {
        let told = Arc::new(Mutex::new(None));
        let hears = told.clone();
        let progress = Progress::new(move |so_far| {
            *hears.lock().unwrap_or_else(PoisonError::into_inner) = Some(so_far);
        });
        let done = store.stage(&release, &progress).await;
        done.unwrap_or_else(|fault| panic!("{attempt} staging: {fault:?}"));
        if let Some(last) = *told.lock().unwrap_or_else(PoisonError::into_inner) {
            let ended = (last.paths_done, last.bytes_done) == (last.paths, last.bytes);
            assert!(ended, "{attempt} staging ended, and its last word was {last:?}");
        }
        assert_eq!(staged(around).await, BTreeSet::from([release.id.clone()]), "after {attempt} staging");
    }
    let root = store.verify(&release.id).await.expect("what was staged is verified");
    assert_eq!(store.verify(&release.id).await.expect("twice"), root, "its root moved");
    assert!(root.is_absolute(), "{} is not absolute", root.display());
    around.withdraw(&source).await;
    store.verify(&release.id).await.expect("a staged release needs its source no more");
    store.stage(&release, &Progress::unheard()).await.expect("what is staged is not fetched again");
}

async fn a_failed_attempt_leaves_nothing<S: Surroundings>(around: &S) {
    let source = around.add(false).await;
    let release = resolve(around, &source).await;
    around.withdraw(&source).await;
    let fault = around
        .store()
        .stage(&release, &Progress::unheard())
        .await
        .expect_err("a source that is gone was staged");
    assert!(!fault.attempted.is_empty(), "it does not say what was tried");
    assert!(!staged(around).await.contains(&release.id), "a failed attempt counts as staged");
    assert_permanent(around.store().verify(&release.id).await, "verifying after a failed attempt");
}

async fn tampering_is_refused_and_staging_repairs_it<S: Surroundings>(around: &S) {
    let store = around.store();
    let release = resolve(around, &around.add(false).await).await;
    store.stage(&release, &Progress::unheard()).await.expect("staging");
    around.tamper(&release.id).await;
    assert_permanent(store.verify(&release.id).await, "verifying what was tampered with");
    assert!(!staged(around).await.contains(&release.id), "what was found changed passes for staged");
    store.stage(&release, &Progress::unheard()).await.expect("staging again");
    store.verify(&release.id).await.expect("what was staged again is whole");
    assert!(staged(around).await.contains(&release.id), "what was staged again does not pass for staged");
}

async fn collects<S: Surroundings>(around: &S) {
    let store = around.store();
    let before = staged(around).await;
    let mut releases = Vec::new();
    for _ in 0..around.limit() + 2 {
        let release = resolve(around, &around.add(false).await).await;
        store.stage(&release, &Progress::unheard()).await.expect("staging");
        releases.push(release);
    }
    // Staging the second one again makes the third the least recent but one.
    store.stage(&releases[1], &Progress::unheard()).await.expect("staging again");
    let keep = BTreeSet::from([releases[0].id.clone()]);
    let removed = store.collect(&keep).await.expect("collecting");
    let (first, then) = removed.split_at(before.len().min(removed.len()));
    assert_eq!(first.iter().cloned().collect::<BTreeSet<_>>(), before, "the oldest were not removed first");
    let oldest = [releases[2].id.clone(), releases[3].id.clone()];
    assert_eq!(then, oldest, "the least recently staged go first, but none that is kept");
    let left: BTreeSet<ReleaseId> = releases.iter().map(|release| release.id.clone()).collect();
    let left: BTreeSet<ReleaseId> = left.into_iter().filter(|id| !oldest.contains(id)).collect();
    assert_eq!(staged(around).await, left, "after collecting");
    assert_permanent(store.verify(&oldest[0]).await, "verifying what was removed");
    assert_eq!(store.collect(&keep).await.expect("collecting twice"), [], "the limit held already");
    let all = staged(around).await;
    assert_eq!(store.collect(&all).await.expect("collecting"), [], "all are kept");
    for id in &all {
        store.verify(id).await.expect("what is left is whole");
    }
}

async fn resolve<S: Surroundings>(around: &S, source: &str) -> Release {
    let release = around.store().resolve(source).await.unwrap_or_else(|no| panic!("{source}: {no:?}"));
    assert_eq!(release.source, source, "the release names another source");
    release
}

async fn staged<S: Surroundings>(around: &S) -> BTreeSet<ReleaseId> {
    around.store().staged().await.expect("what is staged can be asked")
}

fn assert_permanent<T: std::fmt::Debug>(result: Result<T, Fault>, what: &str) {
    match result {
        Err(fault) => assert_eq!(fault.kind, FaultKind::Permanent, "{what}: {fault:?}"),
        Ok(done) => panic!("{what} gave {done:?}"),
    }
}
