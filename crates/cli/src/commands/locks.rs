//! `locks`: who holds which, and how one is freed whose holder does not.

use api::view::{Ask, ServiceStatus};
use model::{HostId, fleet::Request};

use super::{Context, asking::exit_of, confirm::Override};
use crate::{
    args::{Break, OneOrAll},
    failure::Failure,
    render::{self, Done},
};

pub(super) async fn list(context: &mut Context, args: OneOrAll) -> Result<u8, Failure> {
    let status = context.client.status(args.service.as_ref()).await?;
    context.printer.locks(&status);
    Ok(exit_of(&status))
}

pub(super) async fn break_it(context: &mut Context, args: Break) -> Result<u8, Failure> {
    let Break { host, migration: _, service, word } = args;
    let now = context.look(&service).await;
    let (request, asked) = match &host {
        Some(host) => (Request::BreakSlot { host: host.clone() }, slot(host, now.as_ref(), &service)),
        None => (Request::BreakMigrationLock, migration_lock(now.as_ref(), &service)),
    };
    asked.confirm(word.yes)?;
    let ask = Ask { service: service.clone(), by: word.operator(), request };
    let revision = context.client.operate(ask).await?;
    let (text, next) = match &host {
        Some(host) => (
            format!("the slot of {host} for {service} is free"),
            format!("`deployinator status --service {service}` shows who has it next"),
        ),
        None => (
            format!("the migration lock of {service} is free, and what became of the migration is unknown"),
            match now.and_then(|now| now.migration_lock) {
                Some(lock) => format!(
                    "say how it ended: `deployinator migration resolve {} succeeded|failed|retry --service {service} --reason WHY`",
                    lock.release.id
                ),
                None => format!("`deployinator migration show --service {service}`"),
            },
        ),
    };
    let done = Done::of("locks break", service, revision).says(text).next(next);
    context.printer.done(&Done { host, ..done });
    Ok(0)
}

fn slot(host: &HostId, now: Option<&ServiceStatus>, service: &model::ServiceName) -> Override {
    let locks = now.map(render::locks_of).unwrap_or_default();
    let held = locks.iter().filter(|lock| !lock.migration && lock.holder == *host);
    Override {
        what: format!("break the slot of {host} for {service}"),
        now: held.map(render::Lock::sentence).collect(),
        replaces: format!("evidence that {host} is done with its change, or gone"),
        risk: format!(
            "if {host} is alive, P1 rests on you now: it goes on with its change while another host has the slot"
        ),
    }
}

fn migration_lock(now: Option<&ServiceStatus>, service: &model::ServiceName) -> Override {
    let locks = now.map(render::locks_of).unwrap_or_default();
    let held: Vec<_> = locks.iter().filter(|lock| lock.migration).collect();
    let holder = held.first().map_or_else(|| "its holder".to_owned(), |lock| lock.holder.to_string());
    Override {
        what: format!("break the migration lock of {service}"),
        now: held.iter().map(|lock| lock.sentence()).collect(),
        replaces: format!("evidence that bin/migrate on {holder} has ended"),
        risk: format!("if {holder} is alive, bin/migrate may still run there: P2 rests on you now"),
    }
}
