//! Fills in what a configuration leaves to the instance that the host runs on.

use std::time::Duration;

use config::{Instance, Partial, Problem, Settings};
use model::HostId;
use tokio::time::{Instant, sleep};

use super::OutsideError;

/// How long an agent that starts goes on asking: the metadata service may be late when a machine boots.
pub(crate) const AT_START: Duration = Duration::from_secs(60);
/// How long `deployinatord check` does.
pub(crate) const FOR_A_CHECK: Duration = Duration::from_secs(10);
/// Between two questions.
const PAUSE: Duration = Duration::from_secs(1);

/// Why it is not known who the instance is.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "without AWS nobody is asked"))]
pub(crate) enum Unknown {
    /// It is not asked.
    #[error(transparent)]
    NotAsked(#[from] OutsideError),
    /// It has no address of the kind that the inventory goes by.
    #[error("find where the others reach {host}: it has no {kind}; give it one, or set inventory.address")]
    NoAddress {
        /// The host.
        host: HostId,
        /// The kind, for people.
        kind: &'static str,
    },
    /// It did not say.
    #[error(transparent)]
    Unsaid(Box<dyn std::error::Error + Send + Sync>),
}

/// Why there are no settings.
#[derive(Debug)]
pub(crate) enum Unsettled {
    /// The instance did not say who it is.
    Unknown {
        /// Why.
        why: Unknown,
        /// The keys that would make the question needless.
        keys: String,
    },
    /// What it says does not go with the files.
    Problems(Vec<Problem>),
}

/// Asks the instance who it is, for at most so long, and fills that in.
pub(crate) async fn settled(partial: &Partial, limit: Duration) -> Result<Settings, Unsettled> {
    let until = Instant::now() + limit;
    let instance: Instance = loop {
        match ask(partial).await {
            Ok(instance) => break instance,
            Err(why) if matches!(why, Unknown::NotAsked(_)) || until <= Instant::now() + PAUSE => {
                return Err(Unsettled::Unknown { why, keys: partial.keys.join(", ") });
            }
            Err(_) => sleep(PAUSE).await,
        }
    };
    partial.with(&instance).map_err(Unsettled::Problems)
}

async fn ask(partial: &Partial) -> Result<Instance, Unknown> {
    #[cfg(feature = "aws")]
    return super::aws::instance(partial).await;
    #[cfg(not(feature = "aws"))]
    Ok(super::absent::instance(partial)?)
}
