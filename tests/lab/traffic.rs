//! Requests to a fleet while something happens to it, and what became of them. Half of them come by the data plane of fakeaws, half by HAProxy.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use demo::load::{Load, LoadOptions, Totals};

use crate::{
    fleet::{Lab, WEB},
    haproxy::Haproxy,
};

/// So long the load runs before and after what it is about.
const MARGIN: Duration = Duration::from_millis(500);

/// What a caller waits after each request: so long that the load leaves most of the processors to the fleet.
const THINK: Duration = Duration::from_millis(25);

/// A load that runs.
pub(crate) struct Traffic {
    service: &'static str,
    by_plane: Load,
    by_haproxy: Load,
    haproxy: Haproxy,
    calls: u64,
}

/// What became of the requests.
pub(crate) struct Seen {
    /// By way of fakeaws' data plane.
    pub(crate) by_plane: Totals,
    /// By way of HAProxy.
    pub(crate) by_haproxy: Totals,
    /// The fewest hosts that were in service, as the balancer itself noted at each change.
    pub(crate) least: usize,
    /// Requests that the data plane saw fail.
    pub(crate) counted: u64,
}

impl Traffic {
    /// Starts one on the first service.
    ///
    /// # Errors
    /// HAProxy does not come up, or the cloud's control door does not answer.
    pub(crate) async fn start(lab: &Lab) -> Result<Self> {
        Self::start_on(lab, WEB).await
    }

    /// Starts one on this service.
    ///
    /// # Errors
    /// HAProxy does not come up, or the cloud's control door does not answer.
    pub(crate) async fn start_on(lab: &Lab, service: &'static str) -> Result<Self> {
        let haproxy = Haproxy::start(lab.cloud.clone(), service).await?;
        lab.cloud.reset(service).await.context("reset the counters")?;
        let calls = calls(lab).await?;
        let front = *lab.fronts.get(service).with_context(|| format!("{service} has no balancer"))?;
        let (by_plane, by_haproxy) = (load(lab, front), load(lab, haproxy.front));
        tokio::time::sleep(MARGIN).await;
        Ok(Self { service, by_plane, by_haproxy, haproxy, calls })
    }

    /// How many requests have failed so far.
    pub(crate) fn failed(&self) -> u64 {
        self.by_plane.snapshot().failed + self.by_haproxy.snapshot().failed
    }

    /// Ends it, prints figures, and holds it to what was promised: no request failed, and so many hosts were always in service.
    ///
    /// # Errors
    /// What was promised was not kept.
    pub(crate) async fn end(self, lab: &Lab, name: &str, floor: usize, took: Duration) -> Result<()> {
        let Seen { by_plane, by_haproxy, least, counted } = self.seen(lab, name, took).await?;
        for (way, totals) in [("fakeaws", &by_plane), ("HAProxy", &by_haproxy)] {
            ensure!(totals.failed == 0, "requests by {way} failed: {:?}", totals.reasons);
            let kinds = [totals.long_requests, totals.uploads];
            ensure!(kinds.iter().all(|kind| 0 < *kind), "not every kind of request was sent by {way}");
        }
        ensure!(counted == 0, "the balancer saw {counted} failures");
        ensure!(floor <= least, "{least} hosts were in service, and {floor} were promised");
        Ok(())
    }

    /// Ends it, and prints figures.
    ///
    /// # Errors
    /// The cloud's control door does not answer.
    pub(crate) async fn seen(self, lab: &Lab, name: &str, took: Duration) -> Result<Seen> {
        tokio::time::sleep(MARGIN).await;
        let (by_plane, by_haproxy) = tokio::join!(self.by_plane.stop(), self.by_haproxy.stop());
        drop(self.haproxy);
        let counters = lab.cloud.counters(self.service).await.context("read the counters")?;
        let samples = lab.cloud.samples(self.service).await.context("read the samples")?;
        let least = samples.iter().map(|sample| sample.healthy).min().unwrap_or_default() as usize;
        let sum = |of: fn(&Totals) -> u64| of(&by_plane) + of(&by_haproxy);
        println!(
            "figures: {name}: {} hosts, {:.1} s, {} requests ({} by HAProxy; {} long, {} uploads), {} failed, {least} hosts in service at \
             the least, {} calls of AWS",
            lab.hosts.len(),
            took.as_secs_f64(),
            sum(|totals| totals.requests),
            by_haproxy.requests,
            sum(|totals| totals.long_requests),
            sum(|totals| totals.uploads),
            sum(|totals| totals.failed),
            calls(lab).await?.saturating_sub(self.calls),
        );
        Ok(Seen { by_plane, by_haproxy, least, counted: counters.failed() })
    }
}

/// Short requests, and long ones and uploads of nearly as long as a drain, one after the other on connections that are kept.
fn load(lab: &Lab, front: SocketAddr) -> Load {
    let options = LoadOptions { short_workers: 4, long_workers: 6, think: THINK, ..LoadOptions::new(front) };
    Load::start(LoadOptions { long_ms: lab.long_ms.clone(), ..options })
}

/// How many calls the hosts have made so far.
async fn calls(lab: &Lab) -> Result<u64> {
    let calls = lab.cloud.calls().await.context("read the calls")?;
    Ok(calls.iter().map(|call| call.calls).sum())
}
