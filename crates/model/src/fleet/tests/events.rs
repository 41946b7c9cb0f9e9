//! What happened, in order, for a while.

use super::*;

fn texts(lab: &Lab, from: Revision) -> Vec<String> {
    let new = lab.fleet.events.iter().filter(|event| from < event.revision);
    new.map(|event| match &event.host {
        Some(host) => format!("{host} {}", event.kind),
        None => event.kind.to_string(),
    })
    .collect()
}

#[test]
fn everything_that_happens_is_told_in_order() {
    let mut lab = Lab::serving(1);
    let from = lab.fleet.revision;
    let rollout = lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    let fence = lab.fence(1);
    lab.begins(1);
    lab.fails(1);
    lab.reverts(1);
    let rollback = lab.active();
    lab.step(Step::Complete { rollout: rollback }).unwrap();
    let expected = [
        "push of b, by ann: because".to_owned(),
        "h1 staged b".into(),
        "rolling".into(),
        "first wave: h1".into(),
        format!("h1 slot granted for b (fence {fence})"),
        "h1 granted → draining".into(),
        "h1 b failed while probing: probe answered 503".into(),
        "b quarantined: failed on h1: probe answered 503".into(),
        format!("roll back of {rollout} to a"),
        format!("rolling back with {rollback}"),
        "h1 reverted to a".into(),
        "completed".into(),
        "rolled back".into(),
    ];
    assert_eq!(texts(&lab, from), expected);
    let failed = lab.fleet.events.iter().find(|event| event.kind.name() == "host_failed").unwrap();
    assert_eq!((failed.kind.tail(), failed.rollout, &failed.service), ("oops", Some(rollout), &Some(web())));
}

#[test]
fn events_of_one_entry_are_numbered() {
    let mut lab = Lab::serving(1);
    lab.pushed("b");
    lab.pushed("c");
    let revision = lab.pushed("d").0;
    let events = lab.fleet.events.iter().filter(|event| event.revision.0 == revision);
    let indexes: Vec<u32> = events.map(|event| event.index).collect();
    assert_eq!(indexes, [0, 1], "d began, c was superseded");
}

#[test]
fn a_refusal_tells_nothing() {
    let mut lab = Lab::serving(1);
    let count = lab.fleet.events.len();
    assert_refused(&lab.ask(Request::Resume), "no rollout");
    assert_eq!(lab.fleet.events.len(), count);
}

#[test]
fn the_oldest_events_are_forgotten_and_the_gap_is_known() {
    let mut lab = Lab::bare(1);
    assert_eq!(lab.fleet.forgotten, Revision(0));
    for _ in 0..EVENTS_KEPT + 10 {
        lab.ask(Request::Exclude { host: h(1) });
    }
    assert_eq!(lab.fleet.events.len(), EVENTS_KEPT);
    let oldest = lab.fleet.events.front().unwrap().revision;
    assert_eq!(lab.fleet.forgotten.0 + 1, oldest.0);
}

#[test]
fn ended_rollouts_and_completed_releases_are_kept_up_to_a_limit() {
    let mut lab = Lab::serving(1);
    for n in 0..60 {
        lab.completes(&format!("r{n}"));
    }
    assert_eq!(lab.service().rollouts.len(), super::service::ROLLOUTS_KEPT);
    assert_eq!(lab.service().completed.len(), super::service::COMPLETED_KEPT);
    assert_eq!(lab.service().last_completed(), Some(&release("r59")));
}

#[test]
fn what_a_process_wrote_at_its_end_is_found_again_in_the_events() {
    let mut lab = Lab::serving(2);
    lab.staged("m1");
    lab.migrates(1, "m1", MigrationEnd::Unknown { reason: "nobody saw".into() });
    assert_eq!(lab.fleet.events.iter().map(|event| event.kind.tail()).filter(|it| *it == "log").count(), 1);
    let (availability, cause, reason) = (Availability::Out, Cause::Surroundings, "exit code 1".to_owned());
    lab.report(2, Report::Availability { availability, cause, reason, tail: "oops".into(), of: None });
    assert_eq!(lab.fleet.events.back().unwrap().kind.tail(), "oops");
}
