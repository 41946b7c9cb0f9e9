//! What the store said may be of before: then it is asked once more.

use super::*;
use crate::{
    ReleaseId, Timestamp,
    host::{Effect, Event, Observed, ProcessSeen, Ticket},
};

/// A host that serves nothing and has been told what runs (nothing) and what is staged.
fn knows(staged: &[&str]) -> Host {
    let mut host = Host::new(BARE, Ledger::default());
    let effects = host.handle(Event::Booted, Timestamp(0));
    let process = ProcessSeen::Stopped;
    let observed = Observed { change: 0, process, migration: None, fence: None, instances: vec![] };
    for effect in effects {
        let answer = match effect {
            Effect::Observe { ticket } => Event::Observed { ticket, result: Ok(observed.clone()) },
            Effect::QueryStaged { ticket } => Event::StagedRead { ticket, result: Ok(ids(staged)) },
            other => panic!("{other:?}"),
        };
        let _ = host.handle(answer, Timestamp(1));
    }
    host
}

fn ids(ids: &[&str]) -> BTreeSet<ReleaseId> {
    ids.iter().map(|id| release(id).id).collect()
}

fn wants(host: &mut Host, stage: &[&str]) -> Vec<Effect> {
    let stage = stage.iter().map(|id| release(id)).collect();
    let assignment = Box::new(ServiceAssignment { stage, ..nothing(None) });
    host.handle(Event::Assigned { revision: Revision(1), assignment }, Timestamp(2))
}

fn asked(effects: &[Effect]) -> Option<Ticket> {
    effects.iter().find_map(|effect| match effect {
        Effect::QueryStaged { ticket } => Some(*ticket),
        _ => None,
    })
}

fn staging(effects: &[Effect]) -> Option<Ticket> {
    effects.iter().find_map(|effect| match effect {
        Effect::Stage { ticket, .. } => Some(*ticket),
        _ => None,
    })
}

fn collecting(effects: &[Effect]) -> Option<Ticket> {
    effects.iter().find_map(|effect| match effect {
        Effect::Collect { ticket, .. } => Some(*ticket),
        _ => None,
    })
}

/// The answer of before is dropped, the store is asked again, and that answer counts.
fn assert_asked_again(host: &mut Host, query: Ticket, before: &[&str], now: &[&str]) {
    let read = Event::StagedRead { ticket: query, result: Ok(ids(before)) };
    let effects = host.handle(read, Timestamp(9));
    assert_eq!((asked(&effects).is_some(), staging(&effects)), (true, None), "{effects:?}");
    assert_eq!(host.sighting(Timestamp(9)).staged, ids(now));
    let ticket = asked(&effects).unwrap();
    let effects = host.handle(Event::StagedRead { ticket, result: Ok(ids(now)) }, Timestamp(10));
    assert_eq!((asked(&effects), host.sighting(Timestamp(10)).staged), (None, ids(now)));
}

#[test]
fn what_was_staged_while_the_store_was_asked_is_not_staged_again() {
    for more in [&["x"][..], &["x", "y"][..]] {
        let mut host = knows(&[]);
        let mut effects = wants(&mut host, more);
        let query = asked(&effects).expect("it asks what it has");
        for _ in more {
            let ticket = staging(&effects).expect("it stages");
            effects = host.handle(Event::StageEnded { ticket, result: Ok(()) }, Timestamp(3));
        }
        assert_asked_again(&mut host, query, &[], more);
    }
}

#[test]
fn what_was_collected_while_the_store_was_asked_is_not_here() {
    for gone in [&["x"][..], &["x", "y"][..]] {
        let mut host = knows(&["a", "x", "y"]);
        let query = asked(&wants(&mut host, &[])).expect("it asks what it has");
        for id in gone {
            host.calls.collect.plan(Timestamp(3));
            let effects = host.handle(Event::DeadlinePassed, Timestamp(3));
            let ticket = collecting(&effects).expect("it collects");
            let result = Ok(vec![release(id).id]);
            let _ = host.handle(Event::Collected { ticket, result }, Timestamp(4));
        }
        let left: Vec<&str> = ["a", "x", "y"].into_iter().filter(|id| !gone.contains(id)).collect();
        assert_asked_again(&mut host, query, &["a", "x", "y"], &left);
    }
}
