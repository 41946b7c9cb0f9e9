//! What becomes of hosts once the faults end: one group, or a hold that names who is missing.

use std::collections::VecDeque;

use model::forming::FormingHold;

use super::{
    local::{Happens, name},
    search::MOST,
    table::{LetterId, LocalId, Table},
};

/// Turns of all hosts. A roster that fails and its successor take a few each.
const TURNS: usize = 40;
/// Messages of one turn.
const MESSAGES: usize = 2000;

/// Lists are whole and true, messages arrive, and each host has time for all that it does before the next one's head start is over.
///
/// # Errors
/// In words, how it ended instead.
pub(super) fn ends(table: &mut Table, from: &[LocalId; MOST]) -> Result<(), String> {
    let mut locals = *from;
    let hosts = table.scenario.hosts;
    let all = (0..hosts).fold(0_u8, |bits, host| bits | (1 << host));
    let is_dead = |table: &Table, host: usize| table.traits(from[host]).is_terminated;
    let dead = (0..hosts).filter(|host| is_dead(table, *host)).fold(0_u8, |bits, host| bits | (1 << host));
    for _ in 0..TURNS {
        if has_formed(table, &locals[..hosts]) {
            return Ok(());
        }
        for host in (0..hosts).filter(|host| dead & (1 << host) == 0) {
            let mut mail = VecDeque::new();
            take(table, &mut locals, host, Happens::Listed { shown: all, dead }, &mut mail);
            take(table, &mut locals, host, Happens::Late, &mut mail);
            for _ in 0..MESSAGES {
                let Some(letter) = mail.pop_front() else { break };
                let to = table.receiver(letter);
                take(table, &mut locals, to, Happens::Arrives(letter), &mut mail);
            }
        }
    }
    missing(table, &locals[..hosts])
}

/// Something happens to a host; a group that it begins to start is started at once.
fn take(
    table: &mut Table,
    locals: &mut [LocalId; MOST],
    host: usize,
    happens: Happens,
    mail: &mut VecDeque<LetterId>,
) {
    let mut next = Some(happens);
    while let Some(happens) = next {
        let afters = table.after(locals[host], happens);
        // Nothing happens to a host that is terminated.
        let Some(after) = afters.first() else { return };
        locals[host] = after.local;
        mail.extend(&after.sent);
        next = table.traits(locals[host]).is_running.then_some(Happens::Started);
    }
}

fn has_formed(table: &Table, locals: &[LocalId]) -> bool {
    let mut alive = locals.iter().map(|id| table.traits(*id)).filter(|host| !host.is_terminated).peekable();
    let first = alive.peek().and_then(|host| host.group);
    first.is_some() && alive.all(|host| host.is_member && host.group == first)
}

/// A host that lost its promises is waited for, by name, until an operator has spoken; nobody else is waited for.
fn missing(table: &Table, locals: &[LocalId]) -> Result<(), String> {
    let alive = || locals.iter().map(|id| table.local(*id)).filter(|local| !local.is_terminated);
    let holds: Vec<(usize, Vec<FormingHold>)> =
        alive().map(|local| (local.host, local.former.holds())).collect();
    let lost = |name: &model::HostId| alive().any(|local| 0 < local.disk && self::name(local.host) == *name);
    let is_named = holds.iter().flat_map(|(_, holds)| holds).any(|hold| match hold {
        FormingHold::DuplicateHost { host, .. } | FormingHold::Disagrees { host, .. } => lost(host),
        _ => false,
    });
    let is_told = alive().zip(&holds).all(|(local, (_, holds))| !holds.is_empty() || table_is_member(local));
    if is_named && is_told {
        return Ok(());
    }
    let told = holds
        .iter()
        .flat_map(|(host, holds)| holds.iter().map(move |hold| format!("{}: {hold}", name(*host))));
    Err(format!("no group forms once the faults have ended ({})", told.collect::<Vec<_>>().join("; ")))
}

fn table_is_member(local: &super::local::Local) -> bool {
    local.former.cluster().is_some()
}
