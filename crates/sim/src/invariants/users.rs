//! What users see: a request that a balancer sends to a host is answered. It may fail where the service, its machine or its disk fails, and never by what we
//! do, or by a crash of ours.
//!
//! Requests come all the time: it is looked at wherever a target or a process changes. Those that are in flight when a process is stopped are P4's.

use std::collections::BTreeSet;

use super::Verdict;
use crate::{HostNo, ServiceNo, world::World};

/// What it remembers.
#[derive(Default)]
pub(crate) struct Users {
    /// Where something else than us made the service fail, until it serves again.
    failed: BTreeSet<(HostNo, ServiceNo)>,
}

impl Users {
    /// The service itself failed on a host, or what it stands on.
    pub(crate) fn fails(&mut self, host: HostNo, service: ServiceNo) {
        self.failed.insert((host, service));
    }

    /// Something has changed: requests go elsewhere, or are answered otherwise.
    pub(crate) fn look(&mut self, world: &World, host: HostNo, service: ServiceNo) -> Verdict {
        if world.serves(host, service) {
            self.failed.remove(&(host, service));
        } else if world.routes(service, host) && !self.failed.contains(&(host, service)) {
            return Err((
                "users",
                format!("requests of {service} go to h{host}, which does not answer them"),
            ));
        }
        Ok(())
    }
}
