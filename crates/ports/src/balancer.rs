//! The balancer that sends requests to a service.

pub mod contract;
pub mod fake;

use std::{future::Future, net::SocketAddr};

use model::HostId;

use crate::Fault;

/// One host's place behind a balancer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The host.
    pub host: HostId,
    /// Where its service listens.
    pub address: SocketAddr,
}

/// What the balancer says of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It does not know the target; no request reaches it, none is in flight.
    Absent,
    /// Registered, not yet found healthy.
    Initial,
    /// It gets requests.
    InService,
    /// Registered, and found unhealthy.
    Unhealthy {
        /// The balancer's own words.
        reason: String,
    },
    /// No new requests; those in flight go on.
    Draining,
}

/// Admits and drains one target of one service. What every implementation owes is written in [`contract`].
pub trait Balancer: Send + Sync + 'static {
    /// Registers the target. Doing it twice is doing it once; during a drain it ends the drain.
    fn join(&self, target: &Target) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Deregisters the target, which starts its drain. Doing it twice is doing it once.
    fn leave(&self, target: &Target) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Asks what the balancer says of the target now.
    fn standing(&self, target: &Target) -> impl Future<Output = Result<Standing, Fault>> + Send;
}
