//! `status` and `history`.

use api::{v1, view};
use model::fleet::Rollout;

use super::{Context, unreadable};
use crate::{
    args::{History, Status},
    failure::Failure,
};

pub(super) async fn status(context: &mut Context, args: Status) -> Result<u8, Failure> {
    let service = args.service.map(String::from);
    let answer = context
        .agents
        .ask("ask for the status", async |mut client| {
            Ok(client.status(v1::StatusRequest { service: service.clone() }).await?.into_inner())
        })
        .await?;
    let status = view::Status::try_from(answer).map_err(|error| unreadable(&error))?;
    context.printer.status(&status);
    // An old answer is an answer, but a script must not take it for the truth.
    Ok(if status.stale.is_some() { api::Exit::Unavailable.code() } else { 0 })
}

pub(super) async fn history(context: &mut Context, args: History) -> Result<u8, Failure> {
    let request = v1::HistoryRequest { service: args.service.to_string(), limit: args.limit };
    let answer = context
        .agents
        .ask("ask for the history", async |mut client| {
            Ok(client.history(request.clone()).await?.into_inner())
        })
        .await?;
    let rollouts: Vec<Rollout> = answer
        .rollouts
        .into_iter()
        .map(Rollout::try_from)
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(&error))?;
    context.printer.history(&rollouts);
    Ok(0)
}
