//! `push`, `rollback` and `watch`: what begins rollouts, and what follows them.

use std::{path::Path, time::Duration};

use api::{
    Exit, Step,
    view::{self, Cursor, Pushed, WatchItem},
};
use model::{Policy, RolloutId, ServiceName, fleet::Operator};

use super::Context;
use crate::{
    args::{By, Push, Rollback, Wait, Watch},
    failure::Failure,
};

pub(super) async fn push(context: &mut Context, args: Push) -> Result<u8, Failure> {
    let source = absolute(&args.source)?;
    let policy = args.policy.as_deref().map(policy).transpose()?;
    let push = view::Push { service: args.service.clone(), source, policy, by: operator(args.by) };
    let pushed = context.client.push(push).await?;
    begun(context, args.service, pushed, &args.wait).await
}

pub(super) async fn rollback(context: &mut Context, args: Rollback) -> Result<u8, Failure> {
    let pushed = context.client.rollback(&args.service, operator(args.by)).await?;
    begun(context, args.service, pushed, &args.wait).await
}

async fn begun(
    context: &mut Context,
    service: ServiceName,
    pushed: Pushed,
    wait: &Wait,
) -> Result<u8, Failure> {
    context.printer.begun(&service, &pushed, wait.wait);
    if !wait.wait {
        return Ok(0);
    }
    // Joined late: everything of the rollout that is kept is shown.
    follow(context, &service, Some(pushed.rollout), pushed.after, wait.timeout).await
}

fn operator(by: By) -> Operator {
    Operator { name: by.by, reason: by.reason }
}

pub(super) async fn watch(context: &mut Context, args: Watch) -> Result<u8, Failure> {
    follow(context, &args.service, args.rollout, None, args.timeout).await
}

/// Follows a rollout to its end, to the time-out, or to Ctrl-C. The rollout goes on without it.
async fn follow(
    context: &mut Context,
    service: &ServiceName,
    rollout: Option<RolloutId>,
    after: Option<Cursor>,
    limit: Option<Duration>,
) -> Result<u8, Failure> {
    let gave_up = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let next = format!("`deployinator watch --service {service}` follows it again");
    let code = tokio::select! {
        ended = to_the_end(context, service, rollout, after) => return ended,
        () = gave_up => Exit::GaveUp,
        _ = tokio::signal::ctrl_c() => Exit::Interrupted,
    };
    context.printer.leave();
    let why = if code == Exit::GaveUp { "the time-out has passed" } else { "interrupted" };
    Err(Failure::new(code, format!("watch {service}: {why}; the rollout goes on"), Some(&next)))
}

async fn to_the_end(
    context: &mut Context,
    service: &ServiceName,
    rollout: Option<RolloutId>,
    after: Option<Cursor>,
) -> Result<u8, Failure> {
    let mut watch = context.client.watch(service, rollout, after);
    while let Some(step) = watch.next().await? {
        match step {
            Step::Item(WatchItem::Event(event)) => context.printer.event(&event),
            Step::Item(WatchItem::Gap(gap)) => context.printer.gap(&gap),
            Step::Item(WatchItem::Picture(picture)) => context.printer.picture(service, &picture),
            Step::Item(WatchItem::Ended(ended)) => {
                context.printer.ended(&ended);
                return Ok(ended.verdict.exit_code());
            }
            Step::Lost(attempt) => context.printer.lost(&attempt),
        }
    }
    let next = format!("`deployinator status --service {service}` says how it stands");
    Err(Failure::new(
        Exit::Unavailable,
        format!("watch {service}: the stream ended before the rollout did"),
        Some(&next),
    ))
}

/// The agents' working directory is not ours.
fn absolute(source: &Path) -> Result<String, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::new(
            Exit::Rejected,
            format!("push {}: {why}", source.display()),
            Some("push a directory with an executable bin/serve"),
        )
    };
    let absolute = source.canonicalize().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => failed(&"no such directory"),
        _ => failed(&error),
    })?;
    absolute.into_os_string().into_string().map_err(|_| failed(&"the path is not valid UTF-8"))
}

fn policy(path: &Path) -> Result<Policy, Failure> {
    let named = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(Exit::Usage, format!("read the policy {named}: {error}"), None))?;
    config::policy(&text, &named).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::new(
            Exit::Usage,
            problems.join("\n  "),
            Some("docs/configuration.md lists the keys of a policy"),
        )
    })
}
