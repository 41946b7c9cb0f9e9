//! `status` and `history`.

use super::Context;
use crate::{
    args::{History, Status},
    failure::Failure,
};

pub(super) async fn status(context: &mut Context, args: Status) -> Result<u8, Failure> {
    let status = context.client.status(args.service.as_ref()).await?;
    context.printer.status(&status);
    // An old answer is an answer, but a script must not take it for the truth.
    Ok(if status.stale.is_some() { api::Exit::Unavailable.code() } else { 0 })
}

pub(super) async fn history(context: &mut Context, args: History) -> Result<u8, Failure> {
    let rollouts = context.client.history(&args.service, args.limit).await?;
    context.printer.history(&rollouts);
    Ok(0)
}
