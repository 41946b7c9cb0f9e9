//! What the fleet is told, how often, and what a host does not begin before it knows enough.

use super::*;

fn settled(world: &World) -> bool {
    world.assignment.change.is_none() && world.host.ledger().change.is_none()
}

#[test]
fn no_change_begins_before_the_store_has_said_what_is_here() {
    let mut world = serving(HEADFUL, Some("a"));
    world.store_is_gone = true;
    world.crash();
    world.change(Some("a"), Some("b")).run(secs(60));
    assert_eq!((world.told(), world.acts.clone()), (vec![], vec![]));
    world.store_is_gone = false;
    assert!(world.run_until(secs(120), settled), "{:?}", world.host.sighting(world.now));
    assert_eq!(world.running(), Some("b"));
}

#[test]
fn asked_to_go_back_while_it_asks_for_leave_to_begin_it_does_not_begin() {
    let mut world = serving(HEADFUL, Some("a"));
    world.slow_answer = secs(1);
    world.change(Some("a"), Some("b")).run(Duration::from_millis(500));
    let given = world.assignment.change.clone().unwrap();
    world.grant(ChangeGrant { revert: true, ..given });
    assert!(world.run_until(secs(10), |world| world.was_told("abandoned") == 1), "{:?}", world.told());
    assert_eq!(world.acts, [""; 0]);
}

#[test]
fn a_change_that_the_fleet_has_lost_is_called_done_only_once_it_is_seen_in_service() {
    let mut world = serving(HEADFUL, Some("a"));
    world.place = super::balancer::Place::Absent;
    world.assignment.change =
        Some(ChangeGrant { phase: PhaseKind::Soaking, ..grant(1, Some("z"), Some("a")) });
    world.crash();
    assert!(world.run_until(secs(30), |world| world.was_told("abandoned") == 1), "{:?}", world.told());
    assert_eq!(world.was_told("changed"), 0, "{:?}", world.told());

    let ledger = Ledger { fence: Some(fence(5)), ..Ledger::default() };
    let change = Some(ChangeGrant { phase: PhaseKind::Soaking, ..grant(5, None, Some("b")) });
    let mut world = World::new(HEADFUL, ledger, ServiceAssignment { change, ..nothing(None) });
    world.boot();
    assert!(world.run_until(secs(10), |world| world.was_told("abandoned") == 1), "{:?}", world.told());
}

#[test]
fn every_report_has_a_name_of_its_own() {
    let mut world = serving(HEADFUL, Some("a"));
    world.assignment.stage = vec![release("b"), release("c"), release("x")];
    assert!(world.change(Some("a"), Some("b")).run_until(secs(60), settled));
    world.run(secs(10));
    assert!(
        9 < world.proposed.len() && world.proposed.is_sorted_by(|one, next| one < next),
        "{:?}",
        world.proposed
    );
}

#[test]
fn each_new_reason_why_a_release_is_not_here_is_told_once_and_it_is_fetched_less_and_less_often() {
    let mut world = serving(HEADFUL, Some("a"));
    world.stage_faults = 4;
    world.assignment.stage = vec![release("x")];
    world.assign();
    assert!(world.run_until(secs(60), |world| world.was_told("staged x") == 1), "{:?}", world.told());
    assert_eq!(world.was_told("not staged x"), 2, "{:?}", world.reports);

    let mut world = serving(HEADFUL, Some("a"));
    world.stage_faults = 1_000;
    world.assignment.stage = vec![release("x")];
    world.assign();
    world.run(secs(300));
    assert!((10..20).contains(&world.acts.len()), "{} times in 5 minutes", world.acts.len());
}

#[test]
fn a_process_is_kept_running_after_every_change() {
    let mut world = serving(HEADFUL, Some("a"));
    world.assignment.keep = world.staged.clone();
    for (revision, from, to) in [(5, "a", "b"), (6, "b", "c")] {
        world.grant(grant(revision, Some(from), Some(to)));
        assert!(world.run_until(secs(60), settled));
        world.run(secs(1));
        world.exit_now();
        world.run(secs(3));
        assert_eq!(world.running(), Some(to), "the keeper has started it again");
    }
}

#[test]
fn what_runs_is_not_told_in_the_middle_of_a_change_that_the_fleet_has_lost() {
    let mut world = serving(HEADFUL, Some("a"));
    world.change(Some("a"), Some("b"));
    assert!(world.run_until(secs(10), |world| world.acts == ["leave"]));
    (world.assignment.change, world.assignment.current) = (None, Some(release("z")));
    world.assign();
    world.run(secs(2));
    assert_eq!(world.was_told("runs"), 0, "{:?}", world.told());
}
