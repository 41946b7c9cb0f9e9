//! `push`, `rollback` and `restart`: what begins rollouts.

use api::view::{self, Pushed};
use model::ServiceName;

use super::{
    Context,
    follow::{What, follow},
    operator, policy, provenance, source,
};
use crate::{
    args::{Begin, Push, Wait},
    failure::Failure,
};

pub(super) async fn push(context: &mut Context, args: Push) -> Result<u8, Failure> {
    let source = source::of(&args.source)?;
    let policy = args.policy.as_deref().map(policy::read).transpose()?;
    let push = view::Push {
        service: args.service.clone(),
        source,
        policy,
        by: operator(args.by),
        provenance: provenance::of(args.from, |name| std::env::var(name).ok()),
    };
    if args.dry_run {
        let preview = context.client.preview_push(push).await?;
        context.printer.preview(&preview);
        return Ok(preview.exit_code());
    }
    let pushed = context.client.push(push).await?;
    begun(context, args.service, pushed, &args.wait).await
}

pub(super) async fn rollback(context: &mut Context, args: Begin) -> Result<u8, Failure> {
    let pushed = context.client.rollback(&args.service, operator(args.by)).await?;
    begun(context, args.service, pushed, &args.wait).await
}

pub(super) async fn restart(context: &mut Context, args: Begin) -> Result<u8, Failure> {
    let pushed = context.client.restart(&args.service, operator(args.by)).await?;
    begun(context, args.service, pushed, &args.wait).await
}

async fn begun(
    context: &mut Context,
    service: ServiceName,
    pushed: Pushed,
    wait: &Wait,
) -> Result<u8, Failure> {
    let until = wait.until();
    context.printer.begun(&service, &pushed, until.is_some());
    let Some(until) = until else { return Ok(0) };
    // Joined late: everything of the rollout that is kept is shown.
    let what = What { service, rollout: Some(pushed.rollout), after: pushed.after, until };
    follow(context, &what, wait.timeout).await
}
