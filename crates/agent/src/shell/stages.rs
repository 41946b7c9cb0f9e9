//! How far the release is that is being staged: from the store, which says so often, to sightings, which are sent now and then.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::{ReleaseId, StageProgress, Timestamp};
use ports::store::Progress;
use tokio::sync::watch;

use crate::clock;

/// Shortest time between two words that are passed on.
const PAUSE: Duration = Duration::from_millis(250);

type Word = Option<(ReleaseId, StageProgress)>;

/// How far the release is that is being staged.
#[derive(Debug, Clone)]
pub struct Stages {
    last: Arc<watch::Sender<Word>>,
}

impl Default for Stages {
    fn default() -> Self {
        Self { last: Arc::new(watch::Sender::new(None)) }
    }
}

impl Stages {
    /// What the store tells about this release from now on. One at a time.
    pub(super) fn begin(&self, release: &ReleaseId) -> Progress {
        let (last, release) = (self.last.clone(), release.clone());
        let told: Mutex<Option<Timestamp>> = Mutex::new(None);
        Progress::new(move |so_far| {
            let now = clock::now();
            // Whoever panicked with it held a whole time.
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.is_none_or(|told| PAUSE <= now.since(told)) {
                *told = Some(now);
                last.send_replace(Some((release.clone(), so_far)));
            }
        })
    }

    /// It is over.
    pub(super) fn end(&self) {
        self.last.send_replace(None);
    }

    /// Changes with each word.
    pub(super) fn listen(&self) -> watch::Receiver<Word> {
        self.last.subscribe()
    }

    /// The last word, if it is about this release.
    pub(super) fn of(&self, release: Option<&ReleaseId>) -> Option<StageProgress> {
        let last = self.last.borrow();
        last.as_ref().filter(|(about, _)| Some(about) == release).map(|(_, so_far)| *so_far)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_about_one_release_until_it_is_over() {
        let (stages, one, two) = (Stages::default(), "r1".parse().unwrap(), "r2".parse().unwrap());
        let mut listener = stages.listen();
        let so_far = |bytes_done| StageProgress { bytes_done, bytes: 9, ..StageProgress::default() };
        let progress = stages.begin(&one);
        progress.tell(so_far(1));
        assert!(listener.has_changed().unwrap());
        listener.mark_unchanged();
        assert_eq!(
            (stages.of(Some(&one)), stages.of(Some(&two)), stages.of(None)),
            (Some(so_far(1)), None, None)
        );
        progress.tell(so_far(2));
        assert!(!listener.has_changed().unwrap(), "a word right after another one is not passed on");
        stages.end();
        assert_eq!(stages.of(Some(&one)), None);
    }
}
