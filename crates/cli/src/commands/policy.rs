//! `policy`: how a service is rolled.

use std::path::Path;

use api::{Exit, view::Ask};
use model::{Policy, fleet::Request};

use super::{Context, asking::exit_of, operator};
use crate::{
    args::{OneOrAll, PolicySet},
    failure::Failure,
    render::Done,
};

pub(super) async fn show(context: &mut Context, args: OneOrAll) -> Result<u8, Failure> {
    let status = context.client.status(args.service.as_ref()).await?;
    context.printer.policies(&status);
    Ok(exit_of(&status))
}

pub(super) async fn set(context: &mut Context, args: PolicySet) -> Result<u8, Failure> {
    let policy = read(&args.file)?;
    let ask =
        Ask { service: args.service.clone(), by: operator(args.by), request: Request::SetPolicy { policy } };
    let revision = context.client.operate(ask).await?;
    let service = args.service;
    let rollout = context.look(&service).await.and_then(|now| now.active).map(|active| active.id);
    let text = match rollout {
        Some(rollout) => {
            format!("set the policy of {service}; it holds for {rollout}, which is under way, as well")
        }
        None => format!("set the policy of {service}, from the next rollout on"),
    };
    let next = format!("`deployinator policy show --service {service}` shows it");
    context
        .printer
        .done(&Done { rollout, ..Done::of("policy set", service, revision).says(text).next(next) });
    Ok(0)
}

/// Reads a policy file; every problem in it is told at once.
pub(super) fn read(path: &Path) -> Result<Policy, Failure> {
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
