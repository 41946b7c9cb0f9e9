//! P6 a failed release stays failed; and the surroundings condemn nothing: what is well in truth is never condemned.

use std::{collections::BTreeMap, sync::Arc};

use model::{
    Fence, Release, ReleaseId, Revision, RolloutId,
    fleet::{Act, Halting, Request, Rollout, RolloutPhase, Verdict as Word},
};

use super::{Applied, Verdict};
use crate::{At, HostNo, ServiceNo, scenario::Item, world::World};

/// From when a host was told until it does nothing any more that it had decided before, in milliseconds.
const TOLD: u64 = 3_000;

/// What it remembers.
#[derive(Default)]
pub(crate) struct FailedStaysFailed {
    /// Since which log entry a release is condemned.
    since: BTreeMap<(ServiceNo, ReleaseId), Revision>,
    /// And since when.
    at: BTreeMap<(ServiceNo, ReleaseId), At>,
    /// As of which revision a rollout is being taken back, and since when: it may be long after its release was condemned.
    taken_back: BTreeMap<RolloutId, (Revision, At)>,
}

impl FailedStaysFailed {
    pub(crate) fn applied(&mut self, world: &World, applied: &Applied<'_>) -> Verdict {
        for (name, service) in &applied.after.services {
            let Some(number) = world.service_number(name) else { continue };
            let before = applied.before.services.get(name);
            for (release, quarantine) in &service.quarantine {
                if before.is_some_and(|before| before.quarantine.contains_key(release)) {
                    continue;
                }
                self.since.insert((number, release.clone()), applied.after.revision);
                self.at.insert((number, release.clone()), world.at);
                if !is_excused(world, number, release, applied.act) {
                    return Err(("P6", format!("{release} is well, and condemned: {}", quarantine.reason)));
                }
            }
            if let Some(before) = before {
                for release in
                    before.quarantine.keys().filter(|release| !service.quarantine.contains_key(*release))
                {
                    self.since.remove(&(number, release.clone()));
                    if !matches!(applied.act, Act::Ask { request: Request::ReleaseQuarantine { .. }, .. }) {
                        return Err((
                            "P6",
                            format!("{release} is no longer condemned after {:?}", applied.act),
                        ));
                    }
                }
            }
            let taken_back =
                |rollout: &&Arc<Rollout>| matches!(rollout.phase, RolloutPhase::RollingBack { .. });
            for rollout in service.rollouts.values().filter(taken_back) {
                self.taken_back.entry(rollout.id).or_insert((applied.after.revision, world.at));
            }
            if let Some(active) = service.active() {
                let condemned =
                    active.target.as_ref().is_some_and(|it| service.quarantine.contains_key(&it.id));
                let stopped = matches!(active.phase, RolloutPhase::Halted { during: Halting::Rolling, .. });
                if condemned && !stopped {
                    return Err(("P6", format!("{} is {}, to a condemned release", active.id, active.phase)));
                }
            }
            let last = service.last_completed().map(|release| &release.id);
            if let Some(last) = last.filter(|last| service.quarantine.contains_key(*last)) {
                return Err(("P6", format!("{last} is what joiners get, and condemned")));
            }
        }
        Ok(())
    }

    /// A process is about to be started.
    pub(crate) fn starts(
        &mut self,
        world: &World,
        host: HostNo,
        service: ServiceNo,
        release: &Release,
        fence: Fence,
    ) -> Verdict {
        let key = (service, release.id.clone());
        let Some(since) = self.since.get(&key) else { return Ok(()) };
        let here = &world.hosts[host];
        let Some(change) = &here.disks[service].ledger.change else { return Ok(()) };
        if *since < fence.revision {
            return Err((
                "P6",
                format!("h{host} starts {} under a grant that is newer than its quarantine", release.id),
            ));
        }
        let taken_back =
            taken_back(world, host, service, fence).and_then(|rollout| self.taken_back.get(&rollout));
        let long_ago =
            self.at.get(&key).into_iter().chain(taken_back.map(|(_, at)| at)).all(|at| at + TOLD < world.at);
        let knows = here.agent.as_ref().and_then(|agent| agent.view);
        let knows =
            knows.is_some_and(|view| *since <= view && taken_back.is_some_and(|(since, _)| *since <= view));
        // Where the old release may not run either, the host goes on.
        let can_go_back = change.fallback || change.from.is_none();
        if long_ago && knows && can_go_back && change.phase.is_going() {
            return Err((
                "P6",
                format!("h{host} starts {}, and its rollout is being taken back", release.id),
            ));
        }
        Ok(())
    }
}

/// The rollout that a host changes for, if it is being rolled back.
fn taken_back(world: &World, host: HostNo, service: ServiceNo, fence: Fence) -> Option<RolloutId> {
    let name = &world.services[service];
    let record = world.fleet.hosts.get(&world.hosts[host].name).and_then(|record| record.services.get(name));
    let change = record.and_then(|here| here.change.as_ref()).filter(|change| change.fence == fence);
    let rollouts = world.fleet.services.get(name).map(|service| &service.rollouts);
    let rollout = rollouts?.get(&change?.purpose.rollout()?)?;
    matches!(rollout.phase, RolloutPhase::RollingBack { .. }).then_some(rollout.id)
}

/// Whether something is wrong with the release, or an operator said so, or its process was killed from outside.
fn is_excused(world: &World, service: ServiceNo, release: &ReleaseId, act: &Act) -> bool {
    let spec = world.scenario.service(service);
    let traits = world.traits(service, release);
    // By the policies that have counted so far.
    let counted = |number: usize| {
        number == 0
            || world.scenario.items.iter().any(|(at, item)| {
                let set = matches!(item, Item::SetPolicy { service: of, policy } if (*of, *policy) == (service, number));
                *at <= world.at && set
            })
    };
    // Who reports, has seen it; what somebody else does is about all that hosts have reported before.
    let seen_on: Vec<HostNo> = match act {
        Act::Report { host, .. } => world.number(host).into_iter().collect(),
        _ => (0..world.hosts.len()).collect(),
    };
    let policies = spec.policies.iter().enumerate().filter(|(number, _)| counted(*number));
    let well =
        policies.into_iter().all(|(_, policy)| seen_on.iter().all(|host| traits.is_good_on(*host, policy)));
    let said =
        matches!(act, Act::Ask { request: Request::ResolveMigration { verdict: Word::Failed, .. }, .. });
    let killed = world.killed.contains(&(service, release.clone()));
    !well || said || killed
}
