//! Callers of a service behind a balancer, who notice every request that did not end well.
//!
//! Promise: a request that was sent and got no complete answer with a 2xx status counts as failed. Nothing that
//! reached the wire is ever sent again. A kept connection that the other side closed *between* requests is no failure:
//! as in any client, the next request gets a new one.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::RngExt;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

mod caller;

use caller::{Asked, Caller, Ended};

/// Most distinct reasons that are kept; others are only counted.
pub const REASONS_LIMIT: usize = 20;

/// Who calls what, and how often.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Where requests go.
    pub target: SocketAddr,
    /// Callers that send short requests, one after the other.
    pub short_workers: usize,
    /// What a caller of short requests waits after each.
    pub think: Duration,
    /// Callers that send long requests, one after the other.
    pub long_workers: usize,
    /// Callers that send uploads, one after the other.
    pub upload_workers: usize,
    /// How long a long request or an upload takes, in milliseconds; drawn anew for each.
    pub long_ms: RangeInclusive<u64>,
    /// Longest wait for a complete answer, beyond what a long request or an upload takes.
    pub patience: Duration,
}

impl LoadOptions {
    /// A steady load of short and long requests and of uploads on `target`.
    #[must_use]
    pub fn new(target: SocketAddr) -> Self {
        Self {
            target,
            short_workers: 8,
            think: Duration::from_millis(5),
            long_workers: 4,
            upload_workers: 2,
            long_ms: 300..=1500,
            patience: Duration::from_secs(10),
        }
    }
}

/// What became of the requests that ended so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Requests that ended, well or not.
    pub requests: u64,
    /// Of these, long ones.
    pub long_requests: u64,
    /// Of all, uploads.
    pub uploads: u64,
    /// Of all, those that did not end well.
    pub failed: u64,
    /// Why, and how often: the first [`REASONS_LIMIT`] that differ.
    pub reasons: BTreeMap<String, u64>,
    /// Failures for other reasons.
    pub other_reasons: u64,
    /// Good answers of each release.
    pub releases: BTreeMap<String, u64>,
    /// Connections that were made.
    pub connections: u64,
}

/// A load that runs. Dropping it stops it in the middle of its requests.
#[derive(Debug)]
pub struct Load {
    totals: Arc<Mutex<Totals>>,
    stop: CancellationToken,
    workers: JoinSet<()>,
}

impl Load {
    /// Starts the load on the current runtime.
    #[must_use]
    pub fn start(options: LoadOptions) -> Self {
        let options = Arc::new(options);
        let (totals, stop, mut workers) = (Arc::default(), CancellationToken::new(), JoinSet::new());
        let LoadOptions { short_workers, long_workers, upload_workers, .. } = *options;
        let all = [(Kind::Short, short_workers), (Kind::Long, long_workers), (Kind::Upload, upload_workers)];
        for kind in all.into_iter().flat_map(|(kind, workers)| std::iter::repeat_n(kind, workers)) {
            workers.spawn(work(options.clone(), kind, Arc::clone(&totals), stop.clone()));
        }
        Self { totals, stop, workers }
    }

    /// What became of the requests that ended so far.
    #[must_use]
    pub fn snapshot(&self) -> Totals {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends no more requests, and waits for those in flight.
    pub async fn stop(mut self) -> Totals {
        self.stop.cancel();
        while let Some(ended) = self.workers.join_next().await {
            ended.expect("a worker does not panic");
        }
        self.snapshot()
    }
}

/// What a caller sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Short,
    /// Its answer comes in pieces.
    Long,
    /// It is sent in pieces.
    Upload,
}

/// One caller: sends a request, counts how it ended, thinks, and again.
async fn work(options: Arc<LoadOptions>, kind: Kind, totals: Arc<Mutex<Totals>>, stop: CancellationToken) {
    let mut caller = Caller::new(options.target);
    while !stop.is_cancelled() {
        let ms = if kind == Kind::Short { 0 } else { rand::rng().random_range(options.long_ms.clone()) };
        let takes = Duration::from_millis(ms);
        let asked = match kind {
            Kind::Short => Asked::Get("/".to_owned()),
            Kind::Long => Asked::Get(format!("/slow?ms={ms}")),
            Kind::Upload => Asked::Upload(takes),
        };
        let ended = caller.call(&asked, options.patience + takes).await;
        totals.lock().unwrap_or_else(PoisonError::into_inner).count(kind, ended);
        stop.run_until_cancelled(tokio::time::sleep(options.think)).await;
    }
}

impl Totals {
    fn count(&mut self, kind: Kind, ended: Ended) {
        self.requests += 1;
        self.long_requests += u64::from(kind == Kind::Long);
        self.uploads += u64::from(kind == Kind::Upload);
        self.connections += ended.connections;
        match ended.outcome {
            Ok(release) => *self.releases.entry(release).or_default() += 1,
            Err(reason) => {
                self.failed += 1;
                if self.reasons.len() < REASONS_LIMIT || self.reasons.contains_key(&reason) {
                    *self.reasons.entry(reason).or_default() += 1;
                } else {
                    self.other_reasons += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_reasons_are_kept_and_all_failures_are_counted() {
        let mut totals = Totals::default();
        for round in 0..2 {
            for reason in 0..REASONS_LIMIT + 5 {
                let outcome = Err(format!("reason {reason:02}"));
                let kind = if round == 0 { Kind::Long } else { Kind::Upload };
                totals.count(kind, Ended { outcome, connections: 1 });
            }
        }
        totals.count(Kind::Short, Ended { outcome: Ok("r1".to_owned()), connections: 0 });
        assert_eq!((totals.requests, totals.failed), (51, 50));
        assert_eq!((totals.long_requests, totals.uploads), (25, 25));
        assert_eq!((totals.reasons.len(), totals.other_reasons), (REASONS_LIMIT, 10));
        assert_eq!(totals.reasons["reason 00"], 2);
        assert_eq!(totals.releases["r1"], 1);
    }
}
