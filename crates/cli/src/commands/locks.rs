//! `locks`: who holds which, and how one is freed whose holder does not.

use api::{Exit, view::Ask};
use model::{
    ServiceName,
    fleet::{Lock, Request},
};

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
    // Without a look at it there is nothing that somebody's word could be about.
    let status = context.client.status(Some(&service)).await?;
    let now = status.services.into_iter().find(|found| found.service == service);
    let lock = host.clone().map_or(Lock::Migration, Lock::SlotOf);
    let held = now.iter().flat_map(render::locks_of).find(|held| is_it(held, &lock));
    let Some(held) = held else { return Err(not_held(&lock, &service)) };
    asks(&held, &service).confirm(word.yes)?;
    let request = Request::BreakGrant { lock, fence: held.fence };
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

fn is_it(held: &render::Lock, lock: &Lock) -> bool {
    match lock {
        Lock::SlotOf(host) => !held.migration && held.holder == *host,
        Lock::Migration => held.migration,
    }
}

fn not_held(lock: &Lock, service: &ServiceName) -> Failure {
    let text = match lock {
        Lock::SlotOf(host) => format!("break the slot of {host} for {service}: {host} holds no slot"),
        Lock::Migration => {
            format!("break the migration lock of {service}: nobody holds it")
        }
    };
    let next = format!("`deployinator locks list --service {service}` shows which locks are held");
    Failure::new(Exit::Rejected, text, Some(&next))
}

fn asks(held: &render::Lock, service: &ServiceName) -> Override {
    let holder = &held.holder;
    let now = vec![held.sentence()];
    if held.migration {
        return Override {
            what: format!("break the migration lock of {service}"),
            now,
            replaces: format!("evidence that bin/migrate on {holder} has ended"),
            risk: format!("if {holder} is alive, bin/migrate may still run there: P2 rests on you now"),
        };
    }
    Override {
        what: format!("break the slot of {holder} for {service}"),
        now,
        replaces: format!("evidence that {holder} is done with its change, or gone"),
        risk: format!(
            "if {holder} is alive, P1 rests on you now: it goes on with its change while another host has the slot"
        ),
    }
}
