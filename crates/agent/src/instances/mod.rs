//! Several instances of a service on one host, each with a keeper, a port and a place behind the balancer of its own.
//!
//! The host machine knows nothing of them: it sees one process, one probe and one standing. What stands between are [`Supervisors`],
//! [`Probers`] and [`Balancers`], each a port made of ports. Instance 0 has the service's own port and directory, and runs its
//! migrations; instance *n* has the *n*th port after it, and the directory `instances/n`.
//!
//! # How many
//!
//! [`Count`] is written down before the first of them is started, and holds until all of them are stopped: what was started with three
//! instances is probed, drained and stopped with three, whatever the configuration says by then. The configuration's number is
//! taken at the next start that finds nothing running. So an agent that is started with another number disturbs nothing, and no
//! process is left behind that nobody watches: the new number comes with the next change, under its slot.
//!
//! # What the machine sees
//!
//! - The probe passes where all pass. The standing is absent where all are, in service where all are, and never better than the worst.
//! - The process *exited* as soon as one has: a host is in service with all of its instances or not at all. *Ready* is all are.
//! - It *runs* where all run.
//! - Some run, some were stopped or never started: an agent died between two of its calls. Under every start the newest fence is that of
//!   the start itself; every stop brings a newer one, or is the way back of the start. So where those that run were started under the
//!   newest fence that any of their keepers has seen, a start is not over: it is *stopped*, and started again, which changes nothing
//!   for those that run. Where a keeper has seen a newer one, a stop is not over: it *runs*, and is stopped again. A stop on the way back
//!   carries the fence of the start; it does not look at what is seen, and is asked for again because the ledger says so.
//!
//! # Starting
//!
//! All are observed first, and none is started while one of them runs another release, or runs under an older fence than any keeper has
//! seen. Those that run the release under the newest fence are left alone, and the missing ones are started under *their* fence.
//!
//! Absent on purpose: retries, and an order among instances. They are started, stopped, probed and drained at once.

mod balancer;
mod combine;
mod count;
mod newest;
mod prober;
mod supervisor;

pub use balancer::Balancers;
pub use count::Count;
pub use prober::Probers;
pub use supervisor::Supervisors;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Names an instance to its programs, from 0.
pub const INSTANCE_VARIABLE: &str = "DEPLOYINATOR_INSTANCE";

/// The keeper's directory of an instance, below the service's own.
#[must_use]
pub fn dir_of(service: &Path, instance: usize) -> PathBuf {
    if instance == 0 { service.to_owned() } else { service.join("instances").join(instance.to_string()) }
}

/// All directories of keepers that there are in a service's own, those of instances that it once had among them.
#[must_use]
pub fn dirs_in(service: &Path) -> BTreeMap<u32, PathBuf> {
    let below = std::fs::read_dir(service.join("instances")).into_iter().flatten().flatten();
    let numbered = below.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
    std::iter::once((0, service.to_owned())).chain(numbered).collect()
}

/// Where an instance listens, when the first one listens at `first`.
#[must_use]
pub fn address_of(first: SocketAddr, instance: usize) -> SocketAddr {
    let past = u16::try_from(instance).unwrap_or(u16::MAX);
    SocketAddr::new(first.ip(), first.port().saturating_add(past))
}

#[cfg(test)]
mod tests;
