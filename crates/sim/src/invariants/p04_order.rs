//! P4 order on the host: leave and drain before stop; probe before join; in service and soaked before the slot passes on. It is what the users
//! see: as long as a balancer sends requests to a host, or has sent some that are not answered, its process is not stopped by us.

use model::{
    Fence,
    fleet::Report,
    host::{Phase, StandingSeen},
};

use super::Verdict;
use crate::{HostNo, ServiceNo, scenario::ms, world::World};

/// A process is about to be told to stop.
pub(crate) fn stops(world: &World, host: HostNo, service: ServiceNo) -> Verdict {
    if !world.scenario.service(service).headful {
        return Ok(());
    }
    // What was started after the host had left never got a request.
    let left = world.balancers[service].targets[host].left;
    let idle = world.hosts[host].keepers[service].process().is_none_or(|process| left < process.started);
    match world.standing(service, host) {
        StandingSeen::Absent => Ok(()),
        StandingSeen::Draining if idle => Ok(()),
        standing => {
            Err(("P4", format!("h{host} stops its process, and the balancer has it as {standing:?}")))
        }
    }
}

/// A host is about to be registered.
pub(crate) fn joins(world: &World, host: HostNo, service: ServiceNo) -> Verdict {
    let change = world.hosts[host].disks[service].ledger.change.as_ref();
    // What was never stopped joins again as it is.
    if change.is_some_and(|change| matches!(change.phase, Phase::Aborting { .. })) {
        return Ok(());
    }
    let process = world.hosts[host].keepers[service].process();
    let probed = !world.scenario.service(service).probe
        || process.is_some_and(|process| process.healthy_since.is_some());
    // One that is gone by now was seen to run before.
    if process.is_some() && !probed {
        return Err(("P4", format!("h{host} joins the balancer before its process was ever healthy")));
    }
    Ok(())
}

/// A change has ended on a host, as it has just written down: where it came through, it has been in service for as long as it must. It may
/// tell of it much later.
pub(crate) fn ends(world: &World, host: HostNo, service: ServiceNo, fence: Fence) -> Verdict {
    let ledger = &world.hosts[host].disks[service].ledger;
    let changed = |report: &Report| matches!(report, Report::Changed { fence: of } if *of == fence);
    if !ledger.reports.iter().any(|unanswered| changed(&unanswered.report)) {
        return Ok(());
    }
    let spec = world.scenario.service(service);
    let Some(serving) = &ledger.serving else { return Ok(()) };
    let Some(process) = world.hosts[host].keepers[service].process() else { return Ok(()) };
    if process.release != serving.id || !spec.headful {
        return Ok(());
    }
    // Clocks run a little fast or slow, and policies change.
    let soak = spec.policies.iter().map(|policy| ms(policy.soak)).min().unwrap_or_default() * 9 / 10;
    let balancer = &world.balancers[service];
    let target = &balancer.targets[host];
    // Asked at the end of the soak, the balancer still told of the time before the host had left: nobody could know better.
    let told_of = world.at.saturating_sub(balancer.stale + 2 * world.scenario.noise.call);
    if 0 < balancer.stale && told_of <= target.left {
        return Ok(());
    }
    let first = target.first_in_service;
    if first.is_none_or(|first| world.at < first + soak) {
        let since = first.map_or_else(|| "never".to_owned(), |first| format!("for {} ms", world.at - first));
        let text = format!("h{host} gives its slot back, and was in service {since} of {soak} ms");
        return Err(("P4", text));
    }
    Ok(())
}
