//! The users: requests arrive all the time, and those that the balancer sends to a host are answered, unless something that is no act of ours
//! is in the way.

use super::Verdict;
use crate::{HostNo, ServiceNo, world::World};

/// A process is about to be told to stop: from now on, what comes to it fails.
pub(crate) fn stops(world: &World, host: HostNo, service: ServiceNo) -> Verdict {
    if world.scenario.service(service).headful && world.routes(service, host) {
        return Err(("users", format!("requests go to h{host}, whose process is being stopped by us")));
    }
    Ok(())
}
