//! P9 nothing is touched before all is staged, in truth: when a rollout leaves staging, every host that takes part has had the release.

use model::fleet::{PartState, RolloutPhase};

use super::{Applied, Verdict};
use crate::world::World;

pub(crate) fn applied(world: &World, applied: &Applied<'_>) -> Verdict {
    for (name, service) in &applied.after.services {
        let Some(number) = world.service_number(name) else { continue };
        let Some(rollout) = service.active() else { continue };
        let was = applied.before.services.get(name).and_then(|before| before.rollouts.get(&rollout.id));
        let staged = was.is_some_and(|was| was.phase == RolloutPhase::Staging)
            && matches!(rollout.phase, RolloutPhase::Migrating | RolloutPhase::Rolling);
        let Some(target) = rollout.target.as_ref().filter(|_| staged) else { continue };
        for (host, _) in rollout.parts.iter().filter(|(_, part)| part.state == PartState::Pending) {
            let Some(host) = world.number(host).filter(|host| world.is_meant(*host)) else { continue };
            if !world.hosts[host].had[number].contains(&target.id) {
                return Err((
                    "P9",
                    format!("{} leaves staging, and h{host} never had {}", rollout.id, target.id),
                ));
            }
        }
    }
    Ok(())
}
