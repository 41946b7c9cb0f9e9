//! P7 joiners converge on the last completed release, or the new one once its canary wave has soaked; never on a failed or unproven one.

use model::fleet::{Outcome, PartState, Purpose, Rollout, RolloutPhase};

use super::{Applied, Verdict};

/// Whether a canary wave has soaked; or nobody who was there at the push is left.
fn may_take(rollout: &Rollout) -> bool {
    let changed = rollout.parts.values().any(|part| part.state == PartState::Changed);
    let soaked = 1 < rollout.waves || rollout.waves == 1 && rollout.wave_soaked;
    changed && soaked || rollout.parts.values().all(|part| part.state == PartState::Dropped)
}

pub(crate) fn applied(applied: &Applied<'_>) -> Verdict {
    let Applied { before, after, .. } = applied;
    for (name, service) in &after.services {
        let then = before.services.get(name);
        let last = service.last_completed();
        if last != then.and_then(|then| then.last_completed()) {
            let proven = service.rollouts.values().rev().find(|rollout| {
                rollout.outcome() == Some(&Outcome::Completed) && rollout.target.as_ref() == last
            });
            if !proven.is_some_and(|rollout| rollout.is_proven()) {
                return Err(("P7", format!("{last:?} has completed, and no host has it")));
            }
        }
        for (host, here) in after.declaring(name) {
            let Some(change) = here.change.as_ref().filter(|change| change.purpose == Purpose::Converge)
            else {
                continue;
            };
            let known = before.hosts.get(host).and_then(|record| record.services.get(name));
            let new =
                known.and_then(|known| known.change.as_ref()).is_none_or(|known| known.fence != change.fence);
            if new && change.to.as_ref() != last {
                return Err((
                    "P7",
                    format!("{host} is to converge on {:?}, and {last:?} has completed", change.to),
                ));
            }
        }
        let (Some(now), Some(then)) = (service.active(), then) else { continue };
        let Some(was) = then.rollouts.get(&now.id) else { continue };
        let joiner = now.parts.keys().find(|host| !was.parts.contains_key(*host));
        // Whoever is there when it begins to stage takes part; whoever comes later waits. What a roll back leads to has proven itself.
        let rolls = was.phase == RolloutPhase::Rolling && !was.is_rollback();
        if let Some(joiner) = joiner.filter(|_| rolls && !may_take(was)) {
            return Err((
                "P7",
                format!("{joiner} takes part in {}, whose canary wave has not soaked", now.id),
            ));
        }
    }
    Ok(())
}
