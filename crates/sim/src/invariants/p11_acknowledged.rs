//! P11 an acknowledged push is not lost, and pushing the release that is the target already joins its rollout.

use model::fleet::{Act, Reply, Request};

use super::{Applied, Verdict};
use crate::world::World;

pub(crate) fn applied(applied: &Applied<'_>) -> Verdict {
    let Act::Ask { service, request: Request::Push { release, .. }, .. } = applied.act else { return Ok(()) };
    let Some(service) = applied.before.services.get(service) else { return Ok(()) };
    let to_it = |rollout: &model::fleet::Rollout| rollout.target.as_ref() == Some(release);
    let moving = service.active().is_some_and(|active| !active.is_rollback() && to_it(active));
    let target = match service.next() {
        Some(next) => to_it(next),
        None => moving,
    };
    // The same proposal twice gets its first answer.
    let anew = matches!(applied.reply, Reply::Accepted(rollout) if !service.rollouts.contains_key(rollout));
    if target && anew {
        return Err((
            "P11",
            format!("{} is the target already, and its push began another rollout", release.id),
        ));
    }
    Ok(())
}

/// Each push that was acknowledged has a rollout, and that one an end.
pub(crate) fn settled(world: &World) -> Verdict {
    for pushed in &world.pushed {
        let Some(told) = pushed.told else { continue };
        let service = &world.fleet.services[&world.services[pushed.service]];
        let oldest = service.rollouts.keys().next();
        match service.rollouts.get(&told) {
            None if oldest.is_some_and(|oldest| told < *oldest) => (),
            None => {
                return Err((
                    "P11",
                    format!("the push of {} was acknowledged as {told}, which is lost", pushed.release),
                ));
            }
            Some(rollout) if rollout.outcome().is_none() => {
                return Err((
                    "P11",
                    format!("the push of {} was acknowledged as {told}, which never ended", pushed.release),
                ));
            }
            Some(_) => (),
        }
    }
    Ok(())
}
