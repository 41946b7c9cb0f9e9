//! How each service is now, drawn once for all who watch it here: a picture costs a question to the leader.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::v1;
use model::{Revision, ServiceName};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{passed::Passed, public::Public, status};

/// Time between two pictures.
const EVERY: Duration = Duration::from_millis(500);
/// Least time between two pictures that follow changes.
const PAUSE: Duration = Duration::from_millis(100);
/// For so many watchers these times hold; for twice as many they are twice as long, and so on.
const WATCHERS: usize = 100;
/// Longest wait for a picture that is not older than something that was seen.
const LATEST: Duration = Duration::from_secs(3);

/// A picture; none before the first.
type Drawn = Option<Arc<v1::StatusResponse>>;

/// The pictures that are watched. Clones share them.
#[derive(Clone, Default)]
pub struct Pictures {
    shown: Arc<Mutex<BTreeMap<ServiceName, Shown>>>,
}

#[derive(Clone)]
struct Shown {
    drawn: watch::Sender<Drawn>,
    /// Somebody needs one at once.
    wanted: Arc<Notify>,
}

/// Looks at the pictures of one service.
pub(super) struct View {
    drawn: watch::Receiver<Drawn>,
    wanted: Arc<Notify>,
}

impl Pictures {
    /// Pictures of `service`, for as long as the view is kept.
    pub(super) fn of(&self, public: &Public, service: &ServiceName) -> View {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shown.get(service).filter(|known| 0 < known.drawn.receiver_count());
        if let Some(Shown { drawn, wanted }) = known {
            let mut drawn = drawn.subscribe();
            // What there is already is news to whoever comes.
            drawn.mark_changed();
            return View { drawn, wanted: wanted.clone() };
        }
        let (drawn, seen) = watch::channel(None);
        let fresh = Shown { drawn, wanted: Arc::default() };
        shown.insert(service.clone(), fresh.clone());
        tokio::spawn(draw(public.clone(), service.clone(), fresh.clone()));
        View { drawn: seen, wanted: fresh.wanted }
    }
}

/// Draws until nobody looks any more.
async fn draw(public: Public, service: ServiceName, Shown { drawn, wanted }: Shown) {
    let Ok(core) = public.core() else { return };
    let mut state = core.link.node().state();
    let request = v1::StatusRequest { service: Some(service.to_string()) };
    while 0 < drawn.receiver_count() {
        let pace = u32::try_from(1 + drawn.receiver_count() / WATCHERS).unwrap_or(u32::MAX);
        let began = Instant::now();
        state.mark_unchanged();
        if let Ok(now) = status::status(&public, request.clone(), Passed::Not).await {
            drawn.send_if_modified(|last| {
                let news = last.as_deref() != Some(&now);
                if news {
                    *last = Some(Arc::new(now));
                }
                news
            });
        }
        let changed = async {
            let changed = state.changed().await;
            sleep_until(began + PAUSE * pace).await;
            changed
        };
        tokio::select! {
            () = drawn.closed() => return,
            () = wanted.notified() => (),
            () = sleep_until(began + EVERY * pace) => (),
            changed = changed => if changed.is_err() { return },
        }
    }
}

impl View {
    /// The next picture that shows `revision` or what came after it: one that lags behind the events beside it would only confuse.
    pub(super) async fn next(&mut self, revision: Revision) -> Arc<v1::StatusResponse> {
        loop {
            if self.drawn.changed().await.is_err() {
                // Whoever drew them has ended with the agent.
                std::future::pending::<()>().await;
            }
            let seen = self.drawn.borrow_and_update().clone();
            if let Some(seen) = seen.filter(|seen| revision.0 <= seen.revision) {
                return seen;
            }
        }
    }

    /// A picture of how it is at `revision` or later, drawn for this if need be; none when nobody can draw it.
    pub(super) async fn latest(&mut self, revision: Revision) -> Option<Arc<v1::StatusResponse>> {
        self.wanted.notify_one();
        let shows = |drawn: &Drawn| drawn.as_ref().is_some_and(|seen| revision.0 <= seen.revision);
        let seen = timeout(LATEST, self.drawn.wait_for(shows)).await;
        seen.ok()?.ok()?.clone()
    }
}
