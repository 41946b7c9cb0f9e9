//! Who should be in the fleet.

use std::{collections::BTreeSet, future::Future, net::SocketAddr};

use model::HostId;

use crate::Fault;

pub mod fake;

/// A host as the inventory lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The host.
    pub host: HostId,
    /// Where its agent listens.
    pub address: SocketAddr,
    /// Failure domain, when known.
    pub zone: Option<String>,
    /// Launch order: lower is older. A static list uses its own order.
    pub launched: u64,
    /// What the inventory says of it.
    pub state: ListedState,
}

/// What the inventory says of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListedState {
    /// It should be there.
    Present,
    /// It is gone for good. This, and only this, is evidence that a host is no more.
    Terminated,
}

/// Where the agents of those are reached that should be there.
pub fn present(listed: &[Listed]) -> impl Iterator<Item = SocketAddr> + '_ {
    listed.iter().filter(|listed| listed.state == ListedState::Present).map(|listed| listed.address)
}

/// Lists the fleet's hosts. An error, an empty or a partial answer never removes anybody.
pub trait Inventory: Send + Sync + 'static {
    /// All hosts that the inventory knows now.
    fn list(&self) -> impl Future<Output = Result<Vec<Listed>, Fault>> + Send;
    /// Those of `hosts`, none of which is listed, that are gone for good, as far as the inventory knows by now. It may find out behind this: ask
    /// again. Not to be named is no evidence of anything.
    fn terminated(
        &self,
        hosts: &BTreeSet<HostId>,
    ) -> impl Future<Output = Result<BTreeSet<HostId>, Fault>> + Send {
        let _ = hosts;
        async { Ok(BTreeSet::new()) }
    }
}
