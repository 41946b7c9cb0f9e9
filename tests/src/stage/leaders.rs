//! Who leads.

use anyhow::{Context, Result};
use api::v1;

use super::{PATIENCE, Stage};

impl Stage {
    /// The number of the host that leads.
    ///
    /// # Errors
    /// None leads.
    pub async fn leader(&mut self) -> Result<usize> {
        let status =
            self.fleet.wait_for("somebody leads", PATIENCE, |status| status.leader.is_some()).await?;
        let leader = status.leader.context("a leader")?;
        self.number(&leader)
    }

    /// Waits until another host than this one leads, as another one sees it.
    ///
    /// # Errors
    /// None does in time.
    pub async fn another_leads(&self, gone: usize) -> Result<()> {
        let host = &self.fleet.agents[gone].host;
        let other = |status: &v1::StatusResponse| {
            !status.stale && status.leader.as_ref().is_some_and(|leader| leader != host)
        };
        self.wait_at(self.other_than(&[gone])?, "another one leads", other).await.map(drop)
    }
}
