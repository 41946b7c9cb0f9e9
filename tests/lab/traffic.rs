//! Requests to a fleet while something happens to it, and what became of them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use demo::load::Load;

use crate::fleet::{Lab, WEB};

/// So long the load runs before and after what it is about.
const MARGIN: Duration = Duration::from_millis(500);

/// A load that runs.
pub(crate) struct Traffic {
    load: Load,
    calls: u64,
}

impl Traffic {
    /// Starts one.
    ///
    /// # Errors
    /// The cloud's control door does not answer.
    pub(crate) async fn start(lab: &Lab) -> Result<Self> {
        lab.cloud.reset(WEB).await.context("reset the counters")?;
        let calls = calls(lab).await?;
        let load = lab.load();
        tokio::time::sleep(MARGIN).await;
        Ok(Self { load, calls })
    }

    /// Ends it, prints figures, and holds it to what was promised: no request failed, and so many hosts were always in service, as the
    /// balancer itself noted at each change.
    ///
    /// # Errors
    /// What was promised was not kept.
    pub(crate) async fn end(self, lab: &Lab, name: &str, floor: usize, took: Duration) -> Result<()> {
        tokio::time::sleep(MARGIN).await;
        let totals = self.load.stop().await;
        let counters = lab.cloud.counters(WEB).await.context("read the counters")?;
        let samples = lab.cloud.samples(WEB).await.context("read the samples")?;
        let least = samples.iter().map(|sample| sample.healthy).min().unwrap_or_default();
        println!(
            "figures: {name}: {} hosts, {:.1} s, {} requests ({} long), {} failed, {} hosts in service at the least, {} calls of AWS",
            lab.hosts.len(),
            took.as_secs_f64(),
            totals.requests,
            totals.long_requests,
            totals.failed,
            least,
            calls(lab).await?.saturating_sub(self.calls),
        );
        ensure!(totals.failed == 0, "requests failed: {:?}", totals.reasons);
        ensure!(0 < totals.requests, "there was no request");
        ensure!(counters.failed() == 0, "the balancer saw failures: {counters:?}");
        ensure!(floor <= least as usize, "{least} hosts were in service, and {floor} were promised");
        Ok(())
    }
}

/// How many calls the hosts have made so far.
async fn calls(lab: &Lab) -> Result<u64> {
    let calls = lab.cloud.calls().await.context("read the calls")?;
    Ok(calls.iter().map(|call| call.calls).sum())
}
