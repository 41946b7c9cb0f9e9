//! `pause`, `resume` and `abort`: what stops a rollout, and what lets it go on.

use api::view::{Ask, ServiceStatus};
use model::fleet::{PartState, Request, Rollout, RolloutPhase};

use super::{Context, follow::watching, operator};
use crate::{
    args::{Abort, Of},
    failure::Failure,
    render::{Done, short},
};

pub(super) async fn pause(context: &mut Context, args: Of) -> Result<u8, Failure> {
    let service = args.service;
    let ask = Ask { service: service.clone(), by: operator(args.by), request: Request::Pause };
    let revision = context.client.operate(ask).await?;
    let now = context.look(&service).await;
    let active = now.as_ref().and_then(|now| now.active.as_ref());
    let text = match active {
        Some(active) => format!("paused {} of {service} while {}", active.id, active.phase),
        None => format!("paused the rollout of {service}"),
    };
    let mut done = Done::of("pause", service.clone(), revision).says(text);
    done.rollout = active.map(|active| active.id);
    for line in now.iter().flat_map(stays) {
        done = done.says(line);
    }
    let next = format!(
        "`deployinator resume --service {service}` goes on, `deployinator abort --service {service}` gives it up"
    );
    context.printer.done(&done.next(next));
    Ok(0)
}

/// What a pause leaves as it is.
fn stays(now: &ServiceStatus) -> Vec<String> {
    let mut lines = vec!["its deadlines are frozen; no other host starts".to_owned()];
    let changing: Vec<String> = now
        .hosts
        .iter()
        .filter_map(|host| Some(format!("{} ({})", host.host, host.change.as_ref()?.phase)))
        .collect();
    if !changing.is_empty() {
        lines.push(format!("in mid-step, and finish or go back by themselves: {}", changing.join(", ")));
    }
    if let Some(active) = &now.active {
        let changed = count(active, PartState::Changed);
        if 0 < changed {
            lines.push(format!("{changed} of {} hosts stay on the new release", all(active)));
        }
    }
    lines
}

fn count(rollout: &Rollout, state: PartState) -> usize {
    rollout.parts.values().filter(|part| part.state == state).count()
}

fn all(rollout: &Rollout) -> usize {
    rollout.parts.len() - count(rollout, PartState::Dropped)
}

pub(super) async fn resume(context: &mut Context, args: Of) -> Result<u8, Failure> {
    let service = args.service;
    let ask = Ask { service: service.clone(), by: operator(args.by), request: Request::Resume };
    let revision = context.client.operate(ask).await?;
    let now = context.look(&service).await;
    let active = now.as_ref().and_then(|now| now.active.as_ref());
    let (text, rollout) = match active {
        Some(active) => {
            (format!("{} of {service} goes on: it is {}", active.id, active.phase), Some(active.id))
        }
        None => (format!("the rollout of {service} goes on"), None),
    };
    let next = format!("`{}` follows it", watching(&service, rollout));
    context.printer.done(&Done { rollout, ..Done::of("resume", service, revision).says(text).next(next) });
    Ok(0)
}

pub(super) async fn abort(context: &mut Context, args: Abort) -> Result<u8, Failure> {
    let Abort { of: Of { service, by }, leave } = args;
    let before = context.look(&service).await.and_then(|before| before.active);
    let ask = Ask { service: service.clone(), by: operator(by), request: Request::Abort { leave } };
    let revision = context.client.operate(ask).await?;
    let now = context.look(&service).await;
    let given_up = before.as_ref().map(|before| before.id);
    let named = given_up.map_or_else(|| "the rollout".to_owned(), |rollout| rollout.to_string());
    let back = now.as_ref().and_then(|now| now.active.as_ref()).filter(|active| active.is_rollback());
    let mut done = Done::of("abort", service.clone(), revision);
    done.rollout = given_up;
    done.rollback = back.map(|back| back.id);
    let (text, next) = if let Some(back) = back {
        let to = back.target.as_ref().map_or_else(|| "nothing".to_owned(), |to| short(&to.id));
        let left = all(back) - count(back, PartState::Changed);
        let hosts = if left == 1 { "1 host".to_owned() } else { format!("{left} hosts") };
        (
            format!("gave up {named} of {service}: {} takes {hosts} back to {to}", back.id),
            format!(
                "`{}` follows it: exit code 1 when all are back, 2 when not",
                watching(&service, given_up)
            ),
        )
    } else if now.as_ref().is_some_and(|now| now.mixed) {
        (
            format!("gave up {named} of {service}, and left its hosts as they are: the fleet is mixed"),
            "push the release that all of them shall run".to_owned(),
        )
    } else {
        (
            untouched(&named, &service, before.as_ref()),
            format!("`deployinator history --service {service}` shows it"),
        )
    };
    context.printer.done(&done.says(text).next(next));
    Ok(0)
}

fn untouched(named: &str, service: &model::ServiceName, before: Option<&Rollout>) -> String {
    match before.map(|before| &before.phase) {
        Some(RolloutPhase::Queued | RolloutPhase::Staging | RolloutPhase::Migrating) => {
            format!("gave up {named} of {service}; no host had been touched")
        }
        _ => format!("gave up {named} of {service}"),
    }
}
