//! Waits: what is seen of them, and what nobody may answer too late.

use super::*;
use crate::{
    Timestamp,
    host::{Denied, Event, FaultSeen, FaultWord, Miss, Stored, Ticket, words},
};

#[test]
fn durations_are_written_for_people() {
    for (ms, text) in
        [(250, "250ms"), (5_000, "5s"), (90_000, "1m 30s"), (600_000, "10m"), (7_380_000, "2h 3m")]
    {
        assert_eq!(words(Duration::from_millis(ms)), text);
    }
}

#[test]
fn a_ledger_of_the_first_format_is_read_for_ever() {
    let text = r#"{"version":"v1","serving":{"id":"a","source":"/a","migrates":false},"returning":false,
        "policy":{},"fence":{"incarnation":1,"revision":5},"change":null,"migration":null,"reports":[],"last_report":7}"#;
    let ledger: Ledger = serde_json::from_str::<Stored>(text).unwrap().into();
    assert_eq!((ledger.fence, ledger.last_report.0), (Some(fence(5)), 7));
    assert_eq!(ledger.policy, Policy::default());
}

#[test]
fn until_the_supervisor_has_said_what_runs_nothing_else_is_done() {
    let mut host = Host::new(HEADFUL, Ledger { serving: Some(release("a")), ..Ledger::default() });
    let first = host.handle(Event::Booted, Timestamp(0));
    assert_eq!(first.len(), 2, "only the supervisor and the store are asked: {first:?}");
    let change = Some(grant(5, Some("a"), Some("b")));
    let assignment = Box::new(ServiceAssignment { change, ..nothing(Some("a")) });
    let effects = host.handle(Event::Assigned { revision: Revision(1), assignment }, Timestamp(1));
    assert_eq!(effects, []);
    let fault = FaultSeen { kind: FaultWord::Transient, text: "reach the keeper: refused".into() };
    let effects = host.handle(Event::Observed { ticket: Ticket(1), result: Err(fault) }, Timestamp(2));
    assert_eq!(effects, []);
    let trouble = host.sighting(Timestamp(2)).trouble;
    assert!(trouble.is_some_and(|trouble| trouble.starts_with("reach the keeper: refused; next try in")));
    assert!(host.deadline().is_some_and(|due| due < Timestamp(1_000)), "it is tried again soon");
}

#[test]
fn answers_with_old_tickets_are_dropped_in_every_phase() {
    let denied = || Denied::Exec { text: "late".into() };
    let mut world = serving(HEADFUL, Some("a"));
    world.change(Some("a"), Some("b"));
    for _ in 0..120 {
        let before = world.host.ledger().clone();
        let ticket = Ticket(0);
        for event in [
            Event::Left { ticket, result: Ok(Some(Duration::from_secs(9))) },
            Event::Joined { ticket, result: Ok(()) },
            Event::Probed { ticket, result: Err(Miss::Service("late".into())) },
            Event::StandingRead { ticket, result: Ok(crate::host::StandingSeen::Absent) },
            Event::TailRead { ticket, result: Ok("late".into()) },
            Event::Stopped { ticket, result: Err(denied()) },
            Event::Started { ticket, result: Err(denied()) },
            Event::Kept { ticket, result: Err(denied()) },
            Event::MigrateCalled { ticket, result: Err(denied()) },
            Event::MigrationStopped { ticket, result: Err(denied()) },
            Event::StageEnded { ticket, result: Ok(()) },
            Event::Collected { ticket, result: Ok(vec![release("b").id]) },
        ] {
            let now = world.now;
            let effects = world.host.handle(event.clone(), now);
            assert_eq!(effects, [], "{event:?}");
        }
        assert_eq!(*world.host.ledger(), before);
        world.run(Duration::from_millis(100));
    }
    assert_eq!(world.host.ledger().serving, Some(release("b")));
}

#[test]
fn every_wait_of_a_change_says_what_would_end_it() {
    let mut world = serving(HEADFUL, Some("a"));
    world.change(Some("a"), Some("b"));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2_000 {
        world.run(Duration::from_millis(8));
        if let Some(change) = &world.host.ledger().change {
            let sighting = world.host.sighting(world.now);
            assert!(sighting.waits_for.is_some(), "{}: {sighting:?}", change.phase);
            assert!(world.host.deadline().is_some(), "{} would last for ever", change.phase);
            seen.insert(sighting.phase);
        }
    }
    assert_eq!(seen.len(), 6, "{seen:?}");
}
