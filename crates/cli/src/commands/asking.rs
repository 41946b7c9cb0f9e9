//! What only asks: `status`, `history`, `migration show`, `quarantine list`, `cluster show`.

use api::{Exit, view};

use super::Context;
use crate::{
    args::{History, MigrationShow, OneOrAll, Status},
    failure::Failure,
};

pub(super) async fn status(context: &mut Context, args: Status) -> Result<u8, Failure> {
    let status = context.client.status(args.service.as_ref()).await?;
    context.printer.status(&status, args.all);
    Ok(exit_of(&status))
}

/// An old answer is an answer, but a script must not take it for the truth.
pub(super) fn exit_of(status: &view::Status) -> u8 {
    stale(status.stale.is_some())
}

pub(super) fn stale(stale: bool) -> u8 {
    if stale { Exit::Unavailable.code() } else { Exit::Done.code() }
}

pub(super) async fn history(context: &mut Context, args: History) -> Result<u8, Failure> {
    let history = context.client.history(&args.service, args.limit).await?;
    context.printer.history(&history);
    Ok(stale(history.stale.is_some()))
}

pub(super) async fn migrations(context: &mut Context, args: MigrationShow) -> Result<u8, Failure> {
    let mut status = context.client.status(args.service.as_ref()).await?;
    if let Some(release) = &args.release {
        for service in &mut status.services {
            service.migrations.retain(|migration| migration.release == *release);
        }
    }
    context.printer.migrations(&status);
    Ok(exit_of(&status))
}

pub(super) async fn quarantine(context: &mut Context, args: OneOrAll) -> Result<u8, Failure> {
    let status = context.client.status(args.service.as_ref()).await?;
    context.printer.quarantine(&status);
    Ok(exit_of(&status))
}

pub(super) async fn cluster(context: &mut Context) -> Result<u8, Failure> {
    let cluster = context.client.cluster().await?;
    context.printer.cluster(&cluster);
    Ok(stale(cluster.stale.is_some()))
}
