//! The cluster, as its agents show it.

use anyhow::{Context as _, Result};
use api::v1;

use crate::{Stage, client, within};

/// The cluster as one agent shows it.
///
/// # Errors
/// It does not answer, or has none to show.
pub async fn show(stage: &Stage, number: usize) -> Result<v1::ClusterShowResponse> {
    let mut client = client(stage.fleet.agents[number].address).await?;
    Ok(client.cluster_show(v1::ClusterShowRequest {}).await?.into_inner())
}

/// Waits until an agent shows a cluster that is not `old`, and not stale; returns its name.
///
/// # Errors
/// It does not in time.
pub async fn goes_over(stage: &Stage, number: usize, old: &str) -> Result<String> {
    let host = &stage.fleet.agents[number].host;
    let what = format!("{host} is in the new cluster");
    let over = within(&what, async || {
        let shown = show(stage, number).await.ok()?;
        (shown.cluster != old && !shown.stale).then_some(shown.cluster)
    });
    over.await.with_context(|| stage.fleet.log_tail(host))
}
