//! How a host goes over from a cluster that was rebuilt to the one that took its place.

use std::sync::Arc;

use model::forming::Kinship;
use ports::Inventory as _;
use tracing::{error, info};

use super::{Driver, FormingError, Then};
use crate::{
    durable,
    recovery::{
        News,
        found::{self, FoundError, Founded, Founding},
        survey,
    },
};

impl Driver {
    /// Asks others whether this host's cluster was rebuilt while its agent was away. What they say comes as a knock.
    pub(super) fn ask_around(&self) {
        let Some(cluster) = self.former.cluster().cloned() else { return };
        let parts = Arc::clone(self.cell.shared());
        tokio::spawn(async move {
            // Without a list there are still the members that were known last.
            if let Ok(listed) = parts.inventory.list().await {
                parts.members.listed(ports::inventory::present(&listed));
            }
            survey::at_start(&parts, &cluster).await;
        });
    }

    /// A cluster was rebuilt. Returns whether this host is in it now, or goes over.
    pub(super) async fn succeeded(&mut self, news: News) -> Result<(bool, Then), FormingError> {
        let News { succession, members } = news;
        let Some(mine) = self.former.record().succession() else { return Ok((false, Then::GoOn)) };
        match succession.kinship(&mine) {
            Kinship::Same => Ok((true, Then::GoOn)),
            Kinship::Successor => {
                let parts = self.cell.parts();
                parts.state.make_raft(&succession.cluster).map_err(FormingError::Place)?;
                parts.members.are(members.into_iter().collect());
                info!(from = %mine.cluster, to = %succession.cluster, "the cluster was rebuilt: this host goes over");
                durable::write(&self.file, &self.former.record().gone_over(succession))?;
                if let Some(core) = self.cell.get() {
                    // Nobody is to take the old one over.
                    core.link.node().halt().await;
                }
                Ok((true, Then::BeginAgain))
            }
            Kinship::Rival => {
                if self.rival.replace(succession.cluster.clone()).as_ref() != Some(&succession.cluster) {
                    error!(
                        ours = %mine.cluster, theirs = %succession.cluster,
                        "the old cluster was rebuilt twice; see \"Rebuilt twice\" in docs/guide/cluster.md"
                    );
                }
                Ok((false, Then::GoOn))
            }
            Kinship::Predecessor | Kinship::Stranger => Ok((false, Then::GoOn)),
        }
    }

    /// Rebuilds a lost cluster: this host alone, for the beginning.
    pub(super) async fn found(&mut self, founding: Founding) -> (Result<Founded, FoundError>, Then) {
        if let Err(error) = founding.check(self.former.record()) {
            return (Err(error), Then::GoOn);
        }
        // What is under way is gone on with by the next run, as after a crash.
        if let Some(core) = self.cell.get() {
            core.link.node().halt().await;
        }
        self.cell.shutdown().await;
        let (parts, record) = (Arc::clone(self.cell.shared()), self.former.record().clone());
        let from = founding.from.clone();
        let founded = tokio::task::spawn_blocking(move || found::found(&parts, &record, founding));
        let founded = founded.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        match &founded {
            Ok(Founded { cluster, last }) => {
                info!(%from, %cluster, %last, "rebuilt the cluster from what this host holds");
            }
            Err(error) => error!(%from, error = %ports::fault::Chain(error), "rebuild the cluster"),
        }
        // Whether it was founded or not, the core is gone.
        (founded, Then::BeginAgain)
    }
}
