//! Between changes.

use super::{
    balancer::Place,
    process::{Behaviour, GOOD},
    *,
};
use crate::{
    fleet::command::{Cause, Report},
    host::{Event, Observed, ProcessSeen},
};

#[test]
fn a_restarted_agent_finds_the_process_again() {
    let mut world = serving(HEADFUL, Some("a"));
    let pid = world.host.sighting(world.now).pid;
    world.crash();
    world.run(secs(30));
    assert_eq!(world.acts, [""; 0]);
    assert_eq!(world.host.sighting(world.now).pid, pid);
    assert_eq!(world.told(), [""; 0], "nothing has changed for the fleet");
}

#[test]
fn after_a_reboot_it_serves_again_without_asking_anyone() {
    for setup in [HEADFUL, HEADLESS, BARE] {
        let mut world = serving(setup, Some("a"));
        world.cut_off = true;
        world.reboot();
        world.run(secs(20));
        assert_eq!(world.running(), Some("a"), "{setup:?}");
        assert_eq!(world.host.sighting(world.now).availability, Availability::In, "{setup:?}");
        world.exit_now();
        world.run(secs(5));
        assert_eq!(world.running(), Some("a"), "{setup:?}: the keeper was told to keep it");
    }
}

#[test]
fn after_a_reboot_it_serves_again_though_the_balancer_does_not_answer() {
    let mut world = serving(HEADFUL, Some("a"));
    world.api_down_until = world.now + secs(300);
    world.reboot();
    world.run(secs(5));
    assert_eq!(world.running(), Some("a"));
    world.run(secs(320));
    assert_eq!(world.host.sighting(world.now).availability, Availability::In);
}

#[test]
fn a_return_that_the_agent_did_not_live_to_see_is_ended_by_the_next_one() {
    let mut world = serving(HEADFUL, Some("a"));
    world.place = Place::Absent;
    world.reboot();
    assert!(world.run_until(secs(10), |world| world.acts == ["start a"]));
    world.crash();
    world.run(secs(20));
    assert_eq!(world.acts, ["start a", "join"]);
    assert_eq!(world.host.sighting(world.now).availability, Availability::In);
}

#[test]
fn an_exit_is_reported_with_its_output_and_so_is_the_return() {
    let mut world = serving(HEADFUL, Some("a"));
    world.run(secs(5));
    world.exit_now();
    world.run(secs(20));
    assert_eq!(world.told(), ["out", "in"]);
    let Report::Availability { cause, reason, tail, .. } = &world.reports[0] else {
        panic!("{:?}", world.reports)
    };
    assert_eq!((*cause, reason.as_str()), (Cause::Release, "exited with code 1"));
    assert_eq!(&**tail, "the last words under 1.1");
}

#[test]
fn flapping_while_cut_off_leaves_the_last_word_only() {
    let mut world = serving(HEADFUL, Some("a"));
    world.cut_off = true;
    for _ in 0..20 {
        world.exit_now();
        world.run(secs(10));
    }
    let waiting = world.host.ledger().reports.len();
    assert!(waiting <= 3, "{waiting} reports wait");
}

#[test]
fn three_failed_probes_put_a_host_out() {
    let mut world = serving(HEADFUL, Some("a"));
    world.run(secs(5));
    world.behaves("a", Behaviour { healthy: None, ..GOOD });
    world.run(secs(20));
    assert_eq!(world.told(), ["out"]);
    world.behaves("a", GOOD);
    world.run(secs(20));
    assert_eq!(world.told(), ["out", "in"]);
}

#[test]
fn what_is_started_anew_after_a_freeze_may_take_its_time() {
    let mut world = serving(HEADFUL, Some("a"));
    world.behaves("a", Behaviour { healthy: Some(secs(100)), ..GOOD });
    world.freeze(secs(30), secs(0));
    // Its process did not live through it, and longer than a freeze excuses passes until the next one is well.
    world.process = ProcessSeen::Stopped;
    world.news();
    world.run(secs(90));
    assert_eq!(world.acts, ["start a"]);
    let causes = world.reports.iter().filter_map(|report| match report {
        Report::Availability { availability: Availability::Out, cause, .. } => Some(*cause),
        _ => None,
    });
    assert_eq!(causes.collect::<Vec<_>>(), [Cause::Surroundings], "{:?}", world.told());
    world.run(secs(60));
    assert_eq!(world.told(), ["out", "in"]);
}

#[test]
fn an_answer_of_the_process_before_is_none_of_the_next_one() {
    for after in (0..6_000).step_by(100) {
        let mut world = serving(HEADFUL, Some("a"));
        world.probe_ms = 250;
        world.run(Duration::from_millis(after));
        world.process = ProcessSeen::Stopped;
        world.news();
        assert!(world.run_until(secs(10), |world| world.acts == ["start a"]), "{:?}", world.acts);
        world.run(Duration::from_millis(270));
        let probe = world.host.sighting(world.now).health.probe;
        assert!(!world.is_healthy() && probe.is_none_or(|probe| !probe.passed), "{after} ms");
    }
}

#[test]
fn a_host_that_someone_deregistered_is_reported_and_not_registered_again() {
    let mut world = serving(HEADFUL, Some("a"));
    world.run(secs(5));
    world.place = Place::Absent;
    world.run(secs(60));
    assert_eq!(world.told(), ["out"]);
    assert_eq!(world.acts, [""; 0]);
    let Report::Availability { cause, .. } = &world.reports[0] else { panic!("{:?}", world.reports) };
    assert_eq!(*cause, Cause::Surroundings);
}

#[test]
fn what_the_fleet_believes_wrongly_is_set_right() {
    let mut world = serving(HEADFUL, Some("a"));
    world.run(secs(5));
    world.assignment.availability = Availability::Unknown;
    world.assign();
    world.run(secs(5));
    assert_eq!(world.told(), ["in"]);
    world.assignment.current = Some(release("c"));
    world.assign();
    world.run(secs(5));
    assert_eq!(world.told(), ["in", "runs"]);
    assert_eq!(world.assignment.current, Some(release("a")));
}

#[test]
fn an_older_assignment_is_dropped() {
    let mut world = serving(HEADFUL, Some("a"));
    let mut older = world.assignment.clone();
    older.change = Some(grant(5, Some("a"), Some("b")));
    let revision = Revision(world.revision - 1);
    world.later(1, Event::Assigned { revision, assignment: Box::new(older) });
    world.run(secs(5));
    assert_eq!(world.told(), [""; 0]);
    assert!(world.logs.iter().any(|log| log.contains("older than one seen before")), "{:?}", world.logs);
}

#[test]
fn a_grant_that_was_begun_once_is_not_begun_again() {
    let mut world = serving(HEADFUL, Some("a"));
    world.grant(grant(1, Some("a"), Some("b")));
    world.run(secs(20));
    assert_eq!(world.acts, [""; 0]);
}

#[test]
fn news_that_were_overtaken_are_dropped() {
    let mut world = serving(HEADFUL, Some("a"));
    world.exit_now();
    world.run(secs(5));
    world.forget();
    let old = Observed {
        change: 0,
        process: ProcessSeen::Stopped,
        migration: None,
        fence: None,
        instances: vec![],
    };
    world.later(1, Event::ProcessChanged(old));
    world.run(secs(5));
    assert_eq!((world.told(), world.acts.clone()), (vec![], vec![]));
}

#[test]
fn wanted_releases_are_staged_one_after_the_other_and_again_after_a_fault() {
    let mut world = serving(HEADFUL, Some("a"));
    world.stage_faults = 2;
    world.assignment.stage = vec![release("x"), release("y")];
    world.assign();
    world.run(secs(30));
    assert_eq!(world.acts, ["stage x", "stage y", "stage x", "stage y"]);
    assert_eq!(world.was_told("staged x") + world.was_told("staged y"), 2);
    assert_eq!(world.was_told("not staged x") + world.was_told("not staged y"), 2);
}

#[test]
fn a_release_that_is_here_already_is_reported_and_not_fetched() {
    let mut world = serving(HEADFUL, Some("a"));
    world.assignment.stage = vec![release("c")];
    world.assign();
    world.run(secs(5));
    assert_eq!((world.told(), world.acts.clone()), (vec!["staged c".to_owned()], vec![]));
}

#[test]
fn a_release_that_is_wanted_once_more_is_reported_at_once() {
    let mut world = serving(HEADFUL, Some("a"));
    for _ in 0..2 {
        world.assignment.stage = vec![release("c")];
        world.assignment.staged.clear();
        world.assign();
        world.run(secs(1));
        assert_eq!(world.told(), ["staged c"]);
        world.forget();
        world.assignment.stage = vec![];
        world.assign();
        world.run(secs(1));
    }
}

#[test]
fn a_change_whose_end_was_lost_with_the_old_cluster_is_told_again() {
    for (number, to, told) in [(1, "a", "changed"), (1, "b", "abandoned"), (0, "b", "abandoned")] {
        let mut world = serving(HEADFUL, Some("a"));
        world.grant(ChangeGrant { phase: PhaseKind::Soaking, ..grant(number, Some("z"), Some(to)) });
        world.run(secs(8));
        assert_eq!(world.told().first().map(String::as_str), Some(told), "granted to go to {to}, serves a");
        assert_eq!(world.acts, [""; 0], "nothing is done under a grant that was used up");
    }
}

#[test]
fn the_end_of_a_change_is_told_once_while_the_fleet_takes_note() {
    let mut world = serving(HEADFUL, Some("a"));
    world.grant(grant(5, Some("a"), Some("b")));
    world.run(secs(120));
    let ends = world.told().iter().filter(|told| *told == "changed").count();
    assert_eq!(ends, 1, "{:?}", world.told());
}

#[test]
fn a_host_that_has_lost_a_release_says_so_when_it_learns_that_it_is_wanted() {
    let mut world = serving(HEADFUL, Some("a"));
    world.assignment.staged = ["b".parse().unwrap()].into();
    world.staged.remove(&release("b").id);
    world.assignment.stage = vec![release("b")];
    world.assign();
    assert!(world.run_until(secs(2), |world| world.told() == ["not staged b"]), "{:?}", world.told());
    assert!(world.run_until(secs(2), |world| world.acts == ["stage b"]), "and it is fetched again");
}

#[test]
fn a_grant_for_a_release_that_was_lost_meanwhile_disturbs_nothing() {
    let mut world = serving(HEADFUL, Some("a"));
    world.assignment.stage = vec![release("b")];
    world.assignment.staged = ["b".parse().unwrap()].into();
    world.assign();
    world.run(secs(1));
    world.staged.remove(&release("b").id);
    world.change(Some("a"), Some("b"));
    assert!(world.run_until(secs(5), |world| world.was_told("abandoned") == 1), "{:?}", world.told());
    assert!(!world.acts.contains(&"leave".to_owned()), "{:?}", world.acts);
}
