//! A store in memory, for tests: it obeys the same contract test as the real ones, and it can fail.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use model::{Release, ReleaseId};

use super::{NotARelease, Progress, ReleaseStore};
use crate::{Fault, FaultKind};

/// A call that reached the store, in the order of arrival. Calls that failed as scripted did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// A source was resolved.
    Resolve(String),
    /// A release was staged.
    Stage(ReleaseId),
    /// A release was verified.
    Verify(ReleaseId),
    /// Old releases were removed.
    Collect,
}

/// A store in memory. Clones share one state, as an agent that was started again finds its old store.
#[derive(Debug, Clone)]
pub struct FakeStore {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    limit: usize,
    sources: BTreeMap<String, Release>,
    /// The least recently staged first.
    staged: Vec<ReleaseId>,
    broken: BTreeSet<ReleaseId>,
    failures: VecDeque<FaultKind>,
    outage: Option<FaultKind>,
    calls: Vec<Call>,
}

impl FakeStore {
    /// Knows no source, keeps `limit` releases, and does not fail.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let state = State {
            limit,
            sources: BTreeMap::new(),
            staged: Vec::new(),
            broken: BTreeSet::new(),
            failures: VecDeque::new(),
            outage: None,
            calls: Vec::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The release's source resolves to it, and can be fetched from, from now on.
    pub fn offer(&self, release: &Release) {
        self.lock().sources.insert(release.source.clone(), release.clone());
    }

    /// Nothing can be fetched from the source from now on.
    pub fn withdraw(&self, source: &str) {
        self.lock().sources.remove(source);
    }

    /// What is staged under this id is no longer what was staged.
    pub fn tamper(&self, release: &ReleaseId) {
        self.lock().broken.insert(release.clone());
    }

    /// The next calls fail like this, one after the other, and do nothing.
    pub fn fail(&self, kinds: impl IntoIterator<Item = FaultKind>) {
        self.lock().failures.extend(kinds);
    }

    /// Every call fails like this and does nothing, until it is `None`.
    pub fn outage(&self, kind: Option<FaultKind>) {
        self.lock().outage = kind;
    }

    /// Every call that reached the store.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails as scripted; otherwise the call has arrived.
    fn arrive(&self, attempted: &str, call: Option<Call>) -> Result<MutexGuard<'_, State>, Fault> {
        let mut state = self.lock();
        if let Some(kind) = state.failures.pop_front().or(state.outage) {
            return Err(Fault::new(kind, attempted, "scripted failure"));
        }
        state.calls.extend(call);
        Ok(state)
    }
}

impl State {
    fn is_whole(&self, release: &ReleaseId) -> bool {
        self.staged.contains(release) && !self.broken.contains(release)
    }
}

impl ReleaseStore for FakeStore {
    async fn resolve(&self, source: &str) -> Result<Release, NotARelease> {
        let state = self.arrive(&format!("resolve {source}"), Some(Call::Resolve(source.to_owned())))?;
        state.sources.get(source).cloned().ok_or_else(|| NotARelease::Invalid {
            source_name: source.to_owned(),
            problem: "is not on offer".to_owned(),
            next: "push what is on offer".to_owned(),
        })
    }

    async fn stage(&self, release: &Release, _: &Progress) -> Result<(), Fault> {
        let attempted = format!("stage {} from {}", release.id, release.source);
        let mut state = self.arrive(&attempted, Some(Call::Stage(release.id.clone())))?;
        if !state.is_whole(&release.id) {
            match state.sources.get(&release.source) {
                Some(offered) if offered.id == release.id => (),
                Some(_) => {
                    return Err(Fault::new(FaultKind::Permanent, attempted, "it holds another release"));
                }
                None => return Err(Fault::new(FaultKind::Permanent, attempted, "it is not on offer")),
            }
            state.broken.remove(&release.id);
        }
        state.staged.retain(|staged| *staged != release.id);
        state.staged.push(release.id.clone());
        Ok(())
    }

    async fn verify(&self, release: &ReleaseId) -> Result<PathBuf, Fault> {
        let attempted = format!("verify {release}");
        let state = self.arrive(&attempted, Some(Call::Verify(release.clone())))?;
        if state.is_whole(release) {
            return Ok(PathBuf::from("/releases").join(release.as_str()));
        }
        let why = if state.staged.contains(release) { "its content was changed" } else { "it is not staged" };
        Err(Fault::new(FaultKind::Permanent, attempted, why))
    }

    async fn staged(&self) -> Result<BTreeSet<ReleaseId>, Fault> {
        let state = self.arrive("list the staged releases", None)?;
        Ok(state.staged.iter().filter(|release| state.is_whole(release)).cloned().collect())
    }

    async fn collect(&self, keep: &BTreeSet<ReleaseId>) -> Result<Vec<ReleaseId>, Fault> {
        let mut state = self.arrive("collect old releases", Some(Call::Collect))?;
        let surplus = state.staged.len().saturating_sub(state.limit);
        let removed: Vec<ReleaseId> =
            state.staged.iter().filter(|staged| !keep.contains(staged)).take(surplus).cloned().collect();
        state.staged.retain(|staged| !removed.contains(staged));
        state.broken.retain(|broken| !removed.contains(broken));
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;
    use crate::store::contract::{self, Surroundings};

    /// Nothing here ever waits, so one poll is enough.
    fn finish<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => done,
            Poll::Pending => panic!("a fake waited"),
        }
    }

    fn release(number: usize, migrates: bool) -> Release {
        let id = format!("r{number}").parse().expect("the test's own id");
        Release { id, source: format!("/source/{number}"), migrates }
    }

    struct Around {
        store: FakeStore,
        made: Mutex<usize>,
    }

    impl Surroundings for Around {
        type Store = FakeStore;
        fn store(&self) -> &FakeStore {
            &self.store
        }
        fn limit(&self) -> usize {
            3
        }
        async fn add(&self, migrates: bool) -> String {
            let mut made = self.made.lock().expect("no test panics while it counts");
            *made += 1;
            let release = release(*made, migrates);
            self.store.offer(&release);
            release.source
        }
        async fn not_a_release(&self) -> String {
            "/nothing".into()
        }
        async fn withdraw(&self, source: &str) {
            self.store.withdraw(source);
        }
        async fn tamper(&self, release: &ReleaseId) {
            self.store.tamper(release);
        }
    }

    #[test]
    fn obeys_the_contract() {
        finish(contract::check(&Around { store: FakeStore::new(3), made: Mutex::new(0) }));
    }

    #[test]
    fn fails_as_scripted_and_does_nothing_then() {
        let (store, release) = (FakeStore::new(2), release(1, false));
        store.offer(&release);
        store.fail([FaultKind::Throttled, FaultKind::Transient]);
        assert_eq!(
            finish(store.stage(&release, &Progress::unheard())).unwrap_err().kind,
            FaultKind::Throttled
        );
        match finish(store.resolve(&release.source)) {
            Err(NotARelease::Fault(fault)) => assert_eq!(fault.kind, FaultKind::Transient),
            other => panic!("resolved as {other:?}"),
        }
        store.outage(Some(FaultKind::Permanent));
        assert_eq!(finish(store.staged()).unwrap_err().kind, FaultKind::Permanent);
        store.outage(None);
        assert_eq!(finish(store.staged()).unwrap(), BTreeSet::new());
        assert_eq!(store.calls(), []);
        finish(store.stage(&release, &Progress::unheard())).unwrap();
        assert_eq!(store.calls(), [Call::Stage(release.id)]);
    }

    #[test]
    fn a_source_that_holds_another_release_now_is_not_staged() {
        let (store, old) = (FakeStore::new(2), release(1, false));
        store.offer(&Release { source: old.source.clone(), ..release(2, false) });
        assert_eq!(finish(store.stage(&old, &Progress::unheard())).unwrap_err().kind, FaultKind::Permanent);
        assert_eq!(finish(store.staged()).unwrap(), BTreeSet::new());
    }
}
