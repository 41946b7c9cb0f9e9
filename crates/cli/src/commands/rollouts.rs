//! `push`, `rollback` and `watch`: what begins rollouts, and what follows them.

use std::{path::Path, time::Duration};

use api::{
    Exit, v1,
    view::{Cursor, Pushed, WatchItem},
};
use model::{RolloutId, ServiceName};

use super::{Context, unreadable};
use crate::{
    args::{Push, Rollback, Wait, Watch},
    connect::{Client, operator},
    failure::Failure,
};

pub(super) async fn push(context: &mut Context, args: Push) -> Result<u8, Failure> {
    let source = absolute(&args.source)?;
    let policy = args.policy.as_deref().map(policy).transpose()?;
    let request = v1::PushRequest {
        service: args.service.to_string(),
        source: source.clone(),
        policy,
        by: operator(&args.by.by, &args.by.reason),
    };
    let attempted = format!("push {source} to {}", args.service);
    let answer = context
        .agents
        .ask(&attempted, async |mut client| Ok(client.push(request.clone()).await?.into_inner()))
        .await?;
    begun(context, args.service, answer, &args.wait).await
}

pub(super) async fn rollback(context: &mut Context, args: Rollback) -> Result<u8, Failure> {
    let request =
        v1::RollbackRequest { service: args.service.to_string(), by: operator(&args.by.by, &args.by.reason) };
    let attempted = format!("roll back {}", args.service);
    let answer = context
        .agents
        .ask(&attempted, async |mut client| Ok(client.rollback(request.clone()).await?.into_inner()))
        .await?;
    begun(context, args.service, answer, &args.wait).await
}

async fn begun(
    context: &mut Context,
    service: ServiceName,
    answer: v1::PushResponse,
    wait: &Wait,
) -> Result<u8, Failure> {
    let pushed = Pushed::try_from(answer).map_err(|error| unreadable(&error))?;
    context.printer.begun(&service, &pushed, wait.wait);
    if !wait.wait {
        return Ok(0);
    }
    // Joined late: everything of the rollout that is kept is shown.
    follow(context, &service, Some(pushed.rollout), pushed.after, wait.timeout).await
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
    mut after: Option<Cursor>,
) -> Result<u8, Failure> {
    let attempted = format!("watch {service}");
    let mut again = false;
    loop {
        let request = v1::WatchRequest {
            service: service.to_string(),
            rollout: rollout.map(|rollout| rollout.0),
            after: after.map(v1::Cursor::from),
        };
        let call = async |mut client: Client| Ok(client.watch(request.clone()).await?.into_inner());
        let opened = if again {
            context.agents.ask_again(&attempted, call).await
        } else {
            context.agents.ask(&attempted, call).await
        };
        let mut stream = opened?;
        // Nothing is missed and nothing repeated: another agent goes on after the last event that was printed.
        while let Ok(Some(message)) = stream.message().await {
            match WatchItem::try_from(message).map_err(|error| unreadable(&error))? {
                WatchItem::Event(event) if after.is_none_or(|after| after < event.cursor) => {
                    after = Some(event.cursor);
                    context.printer.event(&event);
                }
                WatchItem::Event(_) => (),
                WatchItem::Gap(gap) => context.printer.gap(&gap),
                WatchItem::Picture(picture) => context.printer.picture(service, &picture),
                WatchItem::Ended(ended) => {
                    context.printer.ended(&ended);
                    return Ok(ended.verdict.exit_code());
                }
            }
        }
        context.printer.reconnects();
        again = true;
    }
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

fn policy(path: &Path) -> Result<v1::Policy, Failure> {
    let named = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(Exit::Usage, format!("read the policy {named}: {error}"), None))?;
    let policy = config::policy(&text, &named).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::new(
            Exit::Usage,
            problems.join("\n  "),
            Some("docs/configuration.md lists the keys of a policy"),
        )
    })?;
    Ok(policy.into())
}
