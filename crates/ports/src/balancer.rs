//! The balancer that sends requests to a service.

pub mod contract;
pub mod fake;

use std::{future::Future, net::SocketAddr, time::Duration};

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
    /// Deregisters the target, which starts its drain. Doing it twice is doing it once. Returns how long the drain takes at the most from now,
    /// where the balancer says so.
    fn leave(&self, target: &Target) -> impl Future<Output = Result<Option<Duration>, Fault>> + Send;
    /// Asks what the balancer says of the target now.
    fn standing(&self, target: &Target) -> impl Future<Output = Result<Standing, Fault>> + Send;
    /// Looks whether the target could be admitted and drained, and changes nothing: its group is there and gets requests, and this host may
    /// ask about it. Registered or not makes no difference, nor does the port.
    fn check(&self, target: &Target) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// What is said of several targets, or of one in several groups, as one: absent only if all are, in service only if all are, and never better
/// than the worst. Each has a name for people, empty where there is only one.
#[must_use]
pub fn as_one<N: std::fmt::Display>(all: &[(N, Standing)]) -> Standing {
    let is = |wanted: &[Standing]| all.iter().all(|(_, one)| wanted.contains(one));
    let unhealthy = all.iter().find_map(|(name, one)| match one {
        Standing::Unhealthy { reason } => Some((name, reason)),
        _ => None,
    });
    match unhealthy {
        Some((_, reason)) if all.len() == 1 => Standing::Unhealthy { reason: reason.clone() },
        Some((name, reason)) => Standing::Unhealthy { reason: format!("{name}: {reason}") },
        None if is(&[Standing::Absent]) => Standing::Absent,
        None if is(&[Standing::InService]) => Standing::InService,
        // None of them gets new requests. With one that does, leaving has not had its effect.
        None if is(&[Standing::Absent, Standing::Draining]) => Standing::Draining,
        None => Standing::Initial,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standing_is_never_better_than_the_worst() {
        let unhealthy = |reason: &str| Standing::Unhealthy { reason: reason.to_owned() };
        let (absent, initial, serves, draining) =
            (Standing::Absent, Standing::Initial, Standing::InService, Standing::Draining);
        for (all, one) in [
            (vec![&absent, &absent], Standing::Absent),
            (vec![&serves, &serves], Standing::InService),
            (vec![&serves, &absent], Standing::Initial),
            (vec![&serves, &initial], Standing::Initial),
            (vec![&serves, &draining], Standing::Initial),
            (vec![&initial, &draining], Standing::Initial),
            (vec![&absent, &draining], Standing::Draining),
            (vec![&draining, &draining], Standing::Draining),
            (vec![&serves, &unhealthy("502")], unhealthy("instance 1: 502")),
            (vec![&unhealthy("502"), &draining], unhealthy("instance 0: 502")),
            (vec![&unhealthy("502")], unhealthy("502")),
            (vec![&initial], Standing::Initial),
        ] {
            let named = |(number, one): (usize, &Standing)| (format!("instance {number}"), one.clone());
            let all: Vec<_> = all.into_iter().enumerate().map(named).collect();
            assert_eq!(as_one(&all), one, "{all:?}");
        }
    }
}
