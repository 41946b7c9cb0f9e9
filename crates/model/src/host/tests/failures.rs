//! Changes that go wrong.

use super::{
    process::{Behaviour, GOOD},
    *,
};
use crate::{
    fleet::command::{Cause, Failure, Report},
    host::{ExitSeen, FaultWord, ProcessSeen},
};

fn settled(world: &World) -> bool {
    world.assignment.change.is_none() && world.host.ledger().change.is_none()
}

fn failure(world: &World) -> Failure {
    let failed = world.reports.iter().find_map(|report| match report {
        Report::Failed { failure, .. } => Some(failure.clone()),
        _ => None,
    });
    failed.expect("a failure was reported")
}

fn fails(behaviour: Behaviour) -> World {
    let mut world = serving(HEADFUL, Some("a"));
    world.behaves("b", behaviour);
    assert!(
        world.change(Some("a"), Some("b")).run_until(secs(600), settled),
        "{:?}",
        world.host.sighting(world.now)
    );
    assert_eq!(world.was_told("failed"), 1);
    assert_eq!(world.told().last().map(String::as_str), Some("reverted"));
    assert_eq!(world.running(), Some("a"));
    assert_eq!(world.host.ledger().serving, Some(release("a")));
    world
}

#[test]
fn a_release_that_exits_at_start_fails_at_once() {
    let world = fails(Behaviour { exits: Some((Duration::from_millis(100), 3)), ..GOOD });
    assert_eq!(world.acts, ["leave", "stop", "start b", "start a", "join"]);
    let failure = failure(&world);
    assert_eq!((failure.phase, failure.cause), (PhaseKind::Probing, Cause::Release));
    assert_eq!(failure.reason, "exited with code 3");
    assert_eq!(&*failure.tail, "the last words under 1.5");
}

#[test]
fn what_the_supervisor_says_of_an_exit_besides_is_part_of_the_reason() {
    let mut world = serving(HEADFUL, Some("a"));
    world.note = Some("it left 2 processes behind".to_owned());
    world.behaves("b", Behaviour { exits: Some((Duration::from_millis(100), 0)), ..GOOD });
    assert!(world.change(Some("a"), Some("b")).run_until(secs(600), settled));
    assert_eq!(failure(&world).reason, "exited with code 0; it left 2 processes behind");
}

#[test]
fn an_end_that_nobody_saw_is_no_word_against_the_release() {
    // Of a host that lost power between changes.
    let mut world = serving(HEADFUL, Some("a"));
    world.run(secs(20));
    world.forget();
    world.reboot();
    world.run(secs(60));
    let blamed = |world: &World| {
        world.reports.iter().find_map(|report| match report {
            Report::Availability { availability: Availability::Out, cause, .. } => Some(*cause),
            Report::Failed { failure, .. } => Some(failure.cause),
            _ => None,
        })
    };
    assert_eq!(blamed(&world), Some(Cause::Surroundings), "{:?}", world.told());

    // Of a process that another keeper had started, in the middle of a change.
    let mut world = serving(HEADFUL, Some("a"));
    world.change(Some("a"), Some("b"));
    assert!(world.run_until(secs(60), |world| world.host.sighting(world.now).phase == PhaseKind::Joining));
    let ProcessSeen::Running { release, fence, .. } = world.process.clone() else { panic!("b does not run") };
    world.process = ProcessSeen::Exited { release, fence, exit: ExitSeen::Unknown, restarts: 0, note: None };
    world.news();
    assert!(world.run_until(secs(600), settled));
    assert_eq!(blamed(&world), Some(Cause::Surroundings), "{:?}", world.told());
    assert_eq!(world.running(), Some("a"));
}

#[test]
fn a_release_that_is_never_healthy_fails_at_the_deadline() {
    let world = fails(Behaviour { healthy: None, ..GOOD });
    assert_eq!(world.acts, ["leave", "stop", "start b", "stop", "start a", "join"]);
    let failure = failure(&world);
    assert_eq!((failure.phase, failure.cause), (PhaseKind::Probing, Cause::Release));
    assert_eq!(failure.reason, "the probe did not pass until its deadline of 1m: connection refused");
}

#[test]
fn a_release_that_the_balancer_finds_unhealthy_fails_and_leaves_before_it_is_stopped() {
    let world = fails(Behaviour { in_service: None, ..GOOD });
    assert_eq!(world.acts, ["leave", "stop", "start b", "join", "leave", "stop", "start a", "join"]);
    let failure = failure(&world);
    assert_eq!((failure.phase, failure.cause), (PhaseKind::Joining, Cause::Release));
}

#[test]
fn a_release_that_stays_initial_is_not_to_blame() {
    let world = fails(Behaviour { in_service: Some(secs(500)), ..GOOD });
    assert_eq!(failure(&world).cause, Cause::Surroundings);
}

#[test]
fn a_release_that_exits_while_it_soaks_fails() {
    let world = fails(Behaviour { exits: Some((secs(4), 0)), ..GOOD });
    assert_eq!(world.acts, ["leave", "stop", "start b", "join", "leave", "start a", "join"]);
    assert_eq!(failure(&world).phase, PhaseKind::Soaking);
}

#[test]
fn a_first_release_that_fails_leaves_nothing_running() {
    let mut world = serving(HEADFUL, None);
    world.behaves("b", Behaviour { in_service: None, ..GOOD });
    assert!(world.change(None, Some("b")).run_until(secs(600), settled));
    assert_eq!(world.acts, ["start b", "join", "leave", "stop"]);
    assert_eq!(world.told().last().map(String::as_str), Some("reverted"));
    assert_eq!((world.running(), &world.host.ledger().serving), (None, &None));
}

#[test]
fn a_throttled_balancer_delays_a_change_and_condemns_nothing() {
    let mut world = serving(HEADFUL, Some("a"));
    world.change(Some("a"), Some("b"));
    assert!(world.run_until(secs(30), |world| world.acts.last().is_some_and(|act| act == "start b")));
    world.api_down_until = world.now + secs(400);
    world.run(secs(390));
    let sighting = world.host.sighting(world.now);
    assert_eq!(sighting.phase, PhaseKind::Joining);
    assert!(
        sighting.trouble.is_some_and(|trouble| trouble.contains("slow down; next try in")),
        "it is visible"
    );
    assert!(world.run_until(secs(60), settled));
    assert_eq!((world.was_told("failed"), world.was_told("changed")), (0, 1));
}

#[test]
fn a_drain_that_does_not_end_makes_the_host_join_again() {
    let mut world = serving(HEADFUL, Some("a"));
    world.drain = secs(3_600);
    let pid = world.host.sighting(world.now).pid;
    assert!(world.change(Some("a"), Some("b")).run_until(secs(600), settled));
    assert_eq!(world.acts, ["leave", "join"]);
    assert_eq!(world.told(), ["granted > draining", "draining > aborting", "abandoned"]);
    assert_eq!(world.host.sighting(world.now).pid, pid, "the old process was never stopped");
}

#[test]
fn what_is_gone_when_a_drain_does_not_end_is_started_before_anything_is_waited_for() {
    let mut world = serving(HEADFUL, Some("a"));
    let drain = world.assignment.policy.deadlines.drain;
    world.api_down_until = world.now + drain;
    world.change(Some("a"), Some("b")).run(secs(1));
    // Its supervisor has lost it, and says so; nobody minds while it drains.
    world.process = ProcessSeen::Stopped;
    world.news();
    assert!(
        world.run_until(drain + secs(30), |world| world.was_told("draining > aborting") == 1),
        "{:?} {:?}",
        world.told(),
        world.host.sighting(world.now)
    );
    let back = |world: &World| world.running() == Some("a");
    let soon = world.assignment.policy.deadlines.join / 4;
    assert!(world.run_until(soon, back), "{:?}", world.host.sighting(world.now));
    assert!(world.run_until(secs(600), settled));
    assert_eq!(world.was_told("failed"), 0, "{:?}", world.told());
}

#[test]
fn what_runs_in_place_of_the_old_release_is_stopped_before_that_is_started() {
    // An operator broke the slot of a host that came through all the same: the fleet believes that it still has what it had.
    let mut world = serving(HEADFUL, Some("b"));
    let wrong = grant(5, Some("a"), Some("c"));
    world.grant(wrong.clone());
    assert!(
        world.run_until(secs(2), |world| world.was_told("granted > draining") == 1),
        "{:?}",
        world.told()
    );
    world.run(Duration::from_millis(100));
    world.grant(ChangeGrant { revert: true, ..wrong });
    assert!(world.run_until(secs(120), settled), "{:?}", world.host.sighting(world.now));
    assert_eq!((world.running(), world.was_told("stuck")), (Some("a"), 0), "{:?}", world.told());
    assert!(world.acts.ends_with(&["stop".into(), "start a".into(), "join".into()]), "{:?}", world.acts);
}

#[test]
fn a_balancer_that_refuses_to_deregister_makes_the_host_give_up_at_once() {
    let mut world = serving(HEADFUL, Some("a"));
    world.leave_fault = Some(FaultWord::Permanent);
    assert!(world.change(Some("a"), Some("b")).run_until(secs(10), settled));
    assert_eq!(world.told(), ["granted > draining", "draining > aborting", "abandoned"]);
    let reason = world.reports.iter().find_map(|report| match report {
        Report::Abandoned { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(reason.as_deref(), Some("deregister: access denied"));
    let moved = world.reports.iter().find_map(|report| match report {
        Report::Moved { to: PhaseKind::Aborting, reason, .. } => reason.clone(),
        _ => None,
    });
    assert_eq!(moved, reason, "why it gives up is told as soon as it does");
}

#[test]
fn a_host_that_cannot_go_back_is_stuck_until_the_old_release_recovers() {
    let mut world = serving(HEADFUL, Some("a"));
    world.behaves("b", Behaviour { healthy: None, ..GOOD });
    world.behaves("a", Behaviour { exits: Some((secs(2), 1)), healthy: None, ..GOOD });
    world.change(Some("a"), Some("b")).run(secs(600));
    assert_eq!((world.was_told("failed"), world.was_told("stuck"), world.was_told("reverted")), (1, 1, 0));
    let sighting = world.host.sighting(world.now);
    assert_eq!(sighting.phase, PhaseKind::Stuck);
    assert!(0 < sighting.restarts, "the keeper goes on starting it");
    world.behaves("a", GOOD);
    world.exit_now();
    let waits_for = |world: &World| world.host.sighting(world.now).waits_for.unwrap_or_default();
    let soaks = |world: &World| waits_for(world).starts_with("the soak to be over, for ");
    assert!(world.run_until(secs(30), soaks), "{}", waits_for(&world));
    assert!(world.run_until(secs(60), settled), "{:?}", world.host.sighting(world.now));
    assert_eq!(world.told().last().map(String::as_str), Some("reverted"));
}

#[test]
fn a_stuck_host_takes_a_newer_grant() {
    let mut world = serving(HEADFUL, Some("a"));
    world.behaves("b", Behaviour { exits: Some((secs(1), 1)), healthy: None, ..GOOD });
    world.behaves("a", Behaviour { healthy: None, ..GOOD });
    world.change(Some("a"), Some("b")).run(secs(200));
    assert_eq!(world.was_told("stuck"), 1);
    world.forget();
    world.grant(grant(9, Some("a"), Some("c")));
    assert!(world.run_until(secs(60), settled));
    assert_eq!(world.acts, ["leave", "stop", "start c", "join"]);
}

#[test]
fn a_host_that_may_not_go_back_takes_itself_out_and_says_so() {
    let mut world = serving(HEADFUL, Some("a"));
    world.behaves("b", Behaviour { in_service: None, ..GOOD });
    let mut given = grant(5, Some("a"), Some("b"));
    given.fallback = false;
    world.grant(given);
    world.run(secs(600));
    assert_eq!((world.was_told("failed"), world.was_told("stuck")), (1, 1));
    assert_eq!(world.acts, ["leave", "stop", "start b", "join", "leave", "stop"]);
    assert_eq!(world.running(), None, "a quarantined release is not started");
}

#[test]
fn asked_to_go_back_it_does_so_from_wherever_it_is() {
    for (act, acts, last) in [
        ("leave", vec!["leave", "join"], "abandoned"),
        ("start b", vec!["leave", "stop", "start b", "stop", "start a", "join"], "reverted"),
        ("join", vec!["leave", "stop", "start b", "join", "leave", "stop", "start a", "join"], "reverted"),
    ] {
        let mut world = serving(HEADFUL, Some("a"));
        world.change(Some("a"), Some("b"));
        assert!(
            world.run_until(secs(60), |world| world.acts.last().is_some_and(|last| last == act)),
            "{act}"
        );
        let mut given = world.assignment.change.clone().unwrap();
        given.revert = true;
        world.grant(given);
        assert!(world.run_until(secs(60), settled), "{act}");
        assert_eq!(world.acts, acts, "{act}");
        assert_eq!(world.told().last().map(String::as_str), Some(last), "{act}");
        assert_eq!(world.was_told("failed"), 0, "{act}");
    }
}

#[test]
fn asked_to_go_back_before_it_began_it_gives_the_grant_back() {
    let mut world = serving(HEADFUL, Some("a"));
    let mut given = grant(5, Some("a"), Some("b"));
    given.revert = true;
    world.grant(given);
    world.run(secs(5));
    assert_eq!(world.told(), ["abandoned"]);
    assert_eq!(world.acts, [""; 0]);
}

#[test]
fn cut_off_after_it_began_a_host_still_finishes_or_goes_back_and_reports_later() {
    for (behaviour, running, last) in
        [(GOOD, "b", "changed"), (Behaviour { healthy: None, ..GOOD }, "a", "reverted")]
    {
        let mut world = serving(HEADFUL, Some("a"));
        world.behaves("b", behaviour);
        world.change(Some("a"), Some("b"));
        assert!(world.run_until(secs(10), |world| world.acts == ["leave"]));
        world.cut_off = true;
        assert!(world.run_until(secs(600), |world| world.host.ledger().change.is_none()), "{last}");
        assert_eq!(world.running(), Some(running));
        // The agent is restarted while it is still cut off, and the reports are kept.
        world.crash();
        world.run(secs(60));
        world.cut_off = false;
        world.crash();
        assert!(world.run_until(secs(60), |world| world.was_told(last) == 1), "{:?}", world.told());
        assert_eq!(world.running(), Some(running), "{last}");
    }
}

#[test]
fn a_keeper_that_does_not_answer_is_no_word_on_the_service() {
    let silent = |world: &mut World| world.keeper_is_silent = true;
    let trouble = |world: &World| world.host.sighting(world.now).trouble.unwrap_or_default();
    // Between changes: the host stays in service, and says what it cannot tell.
    let mut world = serving(HEADFUL, Some("a"));
    silent(&mut world);
    world.run(secs(60));
    assert_eq!(world.told(), [""; 0]);
    assert!(trouble(&world).contains("through the keeper of web: no answer"), "{}", trouble(&world));
    // While it soaks: it waits, and goes on when the keeper does.
    let mut world = serving(HEADFUL, Some("a"));
    world.change(Some("a"), Some("b"));
    assert!(world.run_until(secs(60), |world| world.host.sighting(world.now).phase == PhaseKind::Soaking));
    silent(&mut world);
    world.run(secs(50));
    assert_eq!((world.was_told("failed"), world.was_told("changed")), (0, 0), "{:?}", world.told());
    let sighting = world.host.sighting(world.now);
    let waits_for = sighting.waits_for.unwrap_or_default();
    assert!(
        waits_for.starts_with("a probe that can be made, for ") && waits_for.ends_with(" more at most"),
        "{waits_for}"
    );
    assert!(trouble(&world).contains("no answer"), "{}", trouble(&world));
    world.keeper_is_silent = false;
    assert!(world.run_until(secs(20), |world| world.was_told("changed") == 1), "{:?}", world.told());
    // Before it was ever healthy: the deadline ends the wait, and does not condemn the release.
    let mut world = serving(HEADFUL, Some("a"));
    world.change(Some("a"), Some("b"));
    assert!(world.run_until(secs(60), |world| world.host.sighting(world.now).phase == PhaseKind::Starting));
    silent(&mut world);
    assert!(world.run_until(secs(90), |world| world.was_told("failed") == 1), "{:?}", world.told());
    let failure = failure(&world);
    assert_eq!(failure.cause, Cause::Surroundings);
    assert!(failure.reason.contains("no answer"), "{}", failure.reason);
}
