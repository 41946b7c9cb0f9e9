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
    /// Looks whether the target could be admitted and drained, and changes nothing: its group is there and gets requests, and this host may
    /// ask about it. Registered or not makes no difference.
    fn check(&self, target: &Target) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// What is said of several targets, or of one in several groups, as one: absent only if all are, in service only if all are, and never better
/// than the worst. Each has a name for people, empty where there is only one.
#[must_use]
pub fn as_one<'s, N: std::fmt::Display>(all: impl Iterator<Item = (N, &'s Standing)> + Clone) -> Standing {
    let is = |wanted: &[Standing]| all.clone().all(|(_, one)| wanted.contains(one));
    let unhealthy = all.clone().find_map(|(name, one)| match one {
        Standing::Unhealthy { reason } => Some((name, reason)),
        _ => None,
    });
    match unhealthy {
        Some((_, reason)) if all.clone().count() == 1 => Standing::Unhealthy { reason: reason.clone() },
        Some((name, reason)) => Standing::Unhealthy { reason: format!("{name}: {reason}") },
        None if is(&[Standing::Absent]) => Standing::Absent,
        None if is(&[Standing::InService]) => Standing::InService,
        // None of them gets new requests. With one that does, leaving has not had its effect.
        None if is(&[Standing::Absent, Standing::Draining]) => Standing::Draining,
        None => Standing::Initial,
    }
}
