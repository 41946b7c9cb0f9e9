//! P8 the service outlives the agent: nothing is stopped outside a change, and after a reboot what last was in soaked service serves again,
//! without a quorum and without the balancer's or the store's help.

use super::Verdict;
use crate::{
    HostNo, ServiceNo,
    world::{Runs, World},
};

/// A process is about to be told to stop.
pub(crate) fn stops(world: &World, host: HostNo, service: ServiceNo) -> Verdict {
    let ledger = &world.hosts[host].disks[service].ledger;
    if ledger.change.is_none() {
        return Err(("P8", format!("h{host} stops its process, and no change is under way")));
    }
    Ok(())
}

/// A host was booted a while ago.
pub(crate) fn serves_again(world: &World, host: HostNo) -> Verdict {
    for service in 0..world.services.len() {
        let here = &world.hosts[host];
        let ledger = &here.disks[service].ledger;
        let Some(serving) = ledger.serving.as_ref().filter(|_| ledger.change.is_none()) else { continue };
        let well = world.traits(service, &serving.id).ill_on(host).is_none();
        let disk = &here.disks[service];
        let there = disk.staged.contains(&serving.id) && !disk.spoilt.contains(&serving.id);
        let keeper = &here.keepers[service];
        let runs = match &keeper.runs {
            Runs::Running(process) => process.release == serving.id,
            // The keeper starts it again in a moment.
            Runs::Exited { release, .. } => keeper.keep && *release == serving.id,
            Runs::Nothing => false,
        };
        if well && there && !runs {
            return Err(("P8", format!("h{host} was booted a while ago, and {} does not run", serving.id)));
        }
    }
    Ok(())
}
