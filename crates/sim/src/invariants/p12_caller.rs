//! P12 the caller knows: what a rollout is said to have come to is what came of it.

use model::fleet::{Availability, EventKind, Outcome, PartState, Rollout, Service};

use super::{Applied, Verdict, overridden::Overridden};
use crate::{ServiceNo, scenario::Ill, world::World};

pub(crate) fn applied(world: &World, overridden: &Overridden, applied: &Applied<'_>) -> Verdict {
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
        truth(world, overridden, number, service, rollout, outcome)?;
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

/// No host that takes part serves what was taken back.
fn is_back(world: &World, overridden: &Overridden, number: ServiceNo, rollout: &Rollout) -> Verdict {
    for (host, _) in rollout.parts.iter().filter(|(_, part)| part.state != PartState::Dropped) {
        let record =
            world.fleet.hosts.get(host).and_then(|record| record.services.get(&world.services[number]));
        // Who waits to be parked leaves for another reason, as soon as there is a slot for it.
        let counts = record.is_some_and(|here| {
            here.sums() && here.parked.is_none() && here.availability == Availability::In
        });
        let place = world.number(host).filter(|place| counts && !overridden.contains(number, *place));
        let place = place.filter(|place| world.is_meant(*place));
        let Some(place) = place else { continue };
        let ledger = &world.hosts[place].disks[number].ledger;
        if ledger.change.is_none() && ledger.serving == rollout.target && rollout.before != rollout.target {
            return Err((
                "P12",
                format!("{} was rolled back, and {host} still serves its release", rollout.id),
            ));
        }
    }
    Ok(())
}

/// A release that is ill on every host shows it before it has soaked anywhere.
fn could_complete(world: &World, number: ServiceNo, rollout: &Rollout) -> Verdict {
    let Some(target) = rollout.target.as_ref().filter(|_| world.scenario.service(number).probe) else {
        return Ok(());
    };
    match world.traits(number, &target.id).ill {
        Some((ill @ (Ill::Exits | Ill::NoExec | Ill::NeverHealthy), None)) => {
            Err(("P12", format!("{} has completed, and its release is ill everywhere: {ill:?}", rollout.id)))
        }
        _ => Ok(()),
    }
}

fn truth(
    world: &World,
    overridden: &Overridden,
    number: ServiceNo,
    service: &Service,
    rollout: &Rollout,
    outcome: &Outcome,
) -> Verdict {
    let condemned = rollout.target.as_ref().is_some_and(|target| service.quarantine.contains_key(&target.id));
    let target = rollout.target.as_ref();
    let released = target.is_some_and(|target| overridden.was_released(number, &target.id));
    match outcome {
        Outcome::Completed => {
            could_complete(world, number, rollout)?;
            let open = |state| matches!(state, PartState::Pending | PartState::Changing);
            if let Some((host, part)) = rollout.parts.iter().find(|(_, part)| open(part.state)) {
                return Err((
                    "P12",
                    format!("{} has completed, and {host} is {}", rollout.id, part.state.word()),
                ));
            }
            for (host, _) in rollout.parts.iter().filter(|(_, part)| part.state == PartState::Changed) {
                let host = world.number(host).filter(|host| !overridden.contains(number, *host));
                let Some(host) = host.filter(|host| world.is_meant(*host)) else { continue };
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
        Outcome::RolledBack => {
            if !condemned && !rollout.failures.is_empty() && !released {
                let text =
                    format!("{} was rolled back after a failure, and its release may be used", rollout.id);
                return Err(("P12", text));
            }
            is_back(world, overridden, number, rollout)
        }
        // One that has completed before is what the fleet runs, and stays good: a host that joined later goes without it.
        Outcome::FailedInMigration if !condemned && service.last_completed() != target => {
            Err(("P12", format!("{} failed in its migration, and its release may be used", rollout.id)))
        }
        Outcome::Superseded { by } if !service.rollouts.contains_key(by) => {
            Err(("P12", format!("{} is superseded by {by}, which there is not", rollout.id)))
        }
        _ => Ok(()),
    }
}
