//! `watch`, and whatever waits for the end of a rollout.

use std::time::Duration;

use api::{
    Exit, Step, Watch as Watching,
    view::{Cursor, Status, WatchItem, followed},
};
use model::{RolloutId, ServiceName, fleet::RolloutPhase};

use super::Context;
use crate::{
    args::{Until, Watch},
    failure::Failure,
};

pub(super) async fn watch(context: &mut Context, args: Watch) -> Result<u8, Failure> {
    let Watch { rollout, service, until, timeout } = args;
    let what = What { service, rollout, after: None, until };
    follow(context, &what, timeout).await
}

/// What is followed.
pub(super) struct What {
    pub(super) service: ServiceName,
    /// The one under way, or else the last, when it is not said.
    pub(super) rollout: Option<RolloutId>,
    /// Events after this one only.
    pub(super) after: Option<Cursor>,
    pub(super) until: Until,
}

impl What {
    /// The command that follows it again.
    fn again(&self) -> String {
        watching(&self.service, self.rollout)
    }
}

/// The command that follows a rollout.
pub(super) fn watching(service: &ServiceName, rollout: Option<RolloutId>) -> String {
    match rollout {
        Some(rollout) => format!("deployinator watch {rollout} --service {service}"),
        None => format!("deployinator watch --service {service}"),
    }
}

/// Follows a rollout until it is as far as that, to the time-out, or to Ctrl-C. The rollout goes on without it.
pub(super) async fn follow(
    context: &mut Context,
    what: &What,
    limit: Option<Duration>,
) -> Result<u8, Failure> {
    let gave_up = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let mut watch = context.client.watch(&what.service, what.rollout, what.after);
    if limit.is_some() {
        // Whoever says how long to wait has said it for a lost quorum as well.
        watch = watch.patient();
    }
    let mut missing = Missing { agent: Some("no agent has answered".to_owned()), quorum: None };
    let code = tokio::select! {
        ended = to_the_end(context, what, &mut watch, &mut missing) => return ended,
        () = gave_up => Exit::GaveUp,
        _ = tokio::signal::ctrl_c() => Exit::Interrupted,
    };
    context.printer.leave();
    let again = format!("`{}` follows it again", what.again());
    let (code, why) = match (code, missing.quorum.or(missing.agent)) {
        (Exit::GaveUp, Some(missing)) => {
            let why = format!("the time-out has passed, and nobody can say how it goes: {missing}");
            (Exit::Unavailable, why)
        }
        (Exit::GaveUp, None) => (code, "the time-out has passed; the rollout goes on".to_owned()),
        _ => (code, "interrupted; the rollout goes on".to_owned()),
    };
    Err(Failure::new(code, format!("watch {}: {why}", what.service), Some(&again)))
}

/// Why nobody can say how it goes, while that is so.
struct Missing {
    /// No agent has the stream open.
    agent: Option<String>,
    /// None that has it knows of a majority.
    quorum: Option<String>,
}

async fn to_the_end(
    context: &mut Context,
    what: &What,
    watch: &mut Watching,
    missing: &mut Missing,
) -> Result<u8, Failure> {
    let service = &what.service;
    let mut rollout = what.rollout;
    while let Some(step) = watch.next().await? {
        let mut soaked = false;
        if let Step::Item(_) = step {
            missing.agent = None;
        }
        match step {
            Step::Item(WatchItem::Event(event)) => context.printer.event(&event),
            Step::Item(WatchItem::Gap(gap)) => context.printer.gap(&gap),
            Step::Item(WatchItem::Picture(picture)) => {
                context.printer.picture(service, &picture);
                rollout = rollout.or_else(|| under_way(&picture, service));
                if picture.stale.is_none() {
                    missing.quorum = None;
                    soaked = is_past_canary(&picture, service, rollout);
                }
            }
            Step::Item(WatchItem::Ended(ended)) => {
                context.printer.ended(&ended);
                return Ok(ended.verdict.exit_code());
            }
            Step::Lost(attempt) => {
                context.printer.lost(&attempt);
                missing.agent = Some(format!("{}: {}", attempt.address, attempt.reason));
            }
            Step::Waits(waits) => {
                context.printer.nobody_says(&waits);
                missing.quorum = Some(waits.reason);
            }
        }
        if soaked && what.until == Until::Canary {
            context.printer.canary(service, rollout, &watching(service, rollout));
            return Ok(Exit::Done.code());
        }
    }
    let next = format!("`deployinator status --service {service}` says how it stands");
    Err(Failure::new(
        Exit::Unavailable,
        format!("watch {service}: the stream ended before the rollout did"),
        Some(&next),
    ))
}

fn under_way(status: &Status, service: &ServiceName) -> Option<RolloutId> {
    let here = status.services.iter().find(|here| here.service == *service)?;
    here.active.as_ref().map(followed)
}

/// Whether the first wave has soaked and the rollout goes on. The event alone does not say so: a rollout that is over, was halted or is taken
/// back has it among its events too, and ends with its own code.
fn is_past_canary(status: &Status, service: &ServiceName, rollout: Option<RolloutId>) -> bool {
    let here = status.services.iter().find(|here| here.service == *service);
    let active = here.and_then(|here| here.active.as_ref());
    let active = active.filter(|active| Some(active.id) == rollout && active.phase == RolloutPhase::Rolling);
    active.is_some_and(|active| 1 < active.waves || (active.waves == 1 && active.wave_soaked))
}
