//! P12 the caller knows: what a rollout is said to have come to is what came of it.

use model::fleet::{EventKind, Outcome, PartState, Rollout, Service};

use super::{Applied, Verdict};
use crate::{ServiceNo, world::World};

pub(crate) fn applied(world: &World, applied: &Applied<'_>) -> Verdict {
    let revision = applied.after.revision;
    for event in applied.after.events.iter().rev().take_while(|event| event.revision == revision) {
        let (EventKind::RolloutEnded { outcome }, Some(name), Some(id)) =
            (&event.kind, &event.service, event.rollout)
        else {
            continue;
        };
        let (Some(number), Some(service)) = (world.service_number(name), applied.after.services.get(name))
        else {
            continue;
        };
        let Some(rollout) = service.rollouts.get(&id) else { continue };
        code(outcome)?;
        truth(world, number, service, rollout, outcome)?;
    }
    Ok(())
}

/// The table of exit codes.
fn code(outcome: &Outcome) -> Verdict {
    let wanted = match outcome {
        Outcome::Completed => 0,
        Outcome::FailedInMigration | Outcome::Failed | Outcome::RolledBack | Outcome::Aborted => 1,
        Outcome::RollbackFailed => 2,
        Outcome::Superseded { .. } => 4,
    };
    if outcome.exit_code() == wanted {
        return Ok(());
    }
    Err(("P12", format!("{} ends with {}", outcome.word(), outcome.exit_code())))
}

fn truth(
    world: &World,
    number: ServiceNo,
    service: &Service,
    rollout: &Rollout,
    outcome: &Outcome,
) -> Verdict {
    let condemned = rollout.target.as_ref().is_some_and(|target| service.quarantine.contains_key(&target.id));
    match outcome {
        Outcome::Completed => {
            for (host, _) in rollout.parts.iter().filter(|(_, part)| part.state == PartState::Changed) {
                let Some(host) = world.number(host) else { continue };
                let here = &world.hosts[host];
                let ledger = &here.disks[number].ledger;
                if !here.terminated && ledger.change.is_none() && ledger.serving != rollout.target {
                    let text =
                        format!("{} has completed, and h{host} serves {:?}", rollout.id, ledger.serving);
                    return Err(("P12", text));
                }
            }
            Ok(())
        }
        Outcome::FailedInMigration if !condemned => {
            Err(("P12", format!("{} failed in its migration, and its release may be used", rollout.id)))
        }
        Outcome::Superseded { by } if !service.rollouts.contains_key(by) => {
            Err(("P12", format!("{} is superseded by {by}, which there is not", rollout.id)))
        }
        _ => Ok(()),
    }
}
