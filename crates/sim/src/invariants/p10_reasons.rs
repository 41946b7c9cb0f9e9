//! P10 every wait has a reason: a leader that plans nothing for a rollout under way says why it waits.

use model::fleet::Fleet;

use super::Verdict;
use crate::world::Leader;

pub(crate) fn planned(leader: &Leader, fleet: &Fleet) -> Verdict {
    if leader.is_busy() {
        return Ok(());
    }
    for (name, service) in &fleet.services {
        for rollout in [service.active(), service.next()].into_iter().flatten() {
            let told = leader.holds.iter().any(|hold| hold.service == *name);
            if !told {
                return Err((
                    "P10",
                    format!("{} of {name} is {}, and nobody says why", rollout.id, rollout.phase),
                ));
            }
        }
    }
    Ok(())
}
