//! P11 an acknowledged push is not lost, and pushing the release that is the target already joins its rollout.

use std::collections::BTreeMap;

use model::fleet::{Act, Reply, Request};

use super::{Applied, Verdict};
use crate::world::World;

/// What it remembers.
#[derive(Default)]
pub(crate) struct Acknowledged {
    /// What each proposal was answered first.
    replies: BTreeMap<(String, u64), Reply>,
}

impl Acknowledged {
    /// A proposal that comes twice changes nothing, and gets its first answer.
    pub(crate) fn applied(&mut self, applied: &Applied<'_>) -> Verdict {
        let Applied { before, after, command, reply, .. } = applied;
        let key = (command.proposer.clone(), command.sequence);
        if let Some(first) = self.replies.get(&key) {
            let same = before.services == after.services && before.hosts == after.hosts;
            // So many later ones may have been answered that the first answer is forgotten; then it is refused.
            let answered = first == *reply || matches!(reply, Reply::Refused(_));
            if !same || !answered {
                return Err(("P11", format!("{:?} came twice, and did something twice", command.act)));
            }
            return Ok(());
        }
        self.replies.insert(key, (*reply).clone());
        joins(applied)
    }
}

fn joins(applied: &Applied<'_>) -> Verdict {
    let Act::Ask { service, request: Request::Push { release, .. }, .. } = applied.act else { return Ok(()) };
    let Some(service) = applied.before.services.get(service) else { return Ok(()) };
    let to_it = |rollout: &model::fleet::Rollout| rollout.target.as_ref() == Some(release);
    let moving = service.active().is_some_and(|active| !active.is_rollback() && to_it(active));
    let target = match service.next() {
        Some(next) => to_it(next),
        None => moving,
    };
    if target && matches!(applied.reply, Reply::Accepted(_)) {
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
