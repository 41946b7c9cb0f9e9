//! What programs wrote: read from this host's files, asked of the other hosts' agents, put together for a caller.
//!
//! Promise: a caller that reads slowly slows its own stream and nothing else. Nothing is kept for it but one batch for each host and
//! what the connections hold; what it does not take stays in the files, and what is cut from them meanwhile is a gap.
//! Absent on purpose: the keepers. The files are this agent's to read.

mod host;
mod own;
mod places;

use api::view::LogItem;
use tokio::sync::mpsc;
use tonic::Status;

pub use self::{
    host::{Channel, Host, Turns},
    own::Own,
    places::{AllPlaces, Places},
};

/// Where output goes.
pub type Sender = mpsc::Sender<Result<LogItem, Status>>;

/// The reader has gone.
#[derive(Debug)]
pub struct Gone;

async fn send(to: &Sender, item: LogItem) -> Result<(), Gone> {
    to.send(Ok(item)).await.map_err(|_| Gone)
}
