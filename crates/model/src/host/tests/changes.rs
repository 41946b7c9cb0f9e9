//! Changes that go well.

use super::{
    process::{Behaviour, GOOD},
    *,
};
use crate::host::{ExitSeen, ProcessSeen, StandingSeen};

fn settled(world: &World) -> bool {
    world.assignment.change.is_none() && world.host.ledger().change.is_none()
}

#[test]
fn a_change_leaves_drains_stops_starts_probes_joins_and_soaks_in_this_order() {
    let mut world = serving(HEADFUL, Some("a"));
    assert!(
        world.change(Some("a"), Some("b")).run_until(secs(60), settled),
        "{:?}",
        world.host.sighting(world.now)
    );
    assert_eq!(world.acts, ["leave", "stop", "start b", "join"]);
    assert_eq!(world.next, Some("b".parse().unwrap()), "what can be verified while it leaves");
    assert_eq!(
        world.told(),
        [
            "granted > draining",
            "draining > stopping",
            "stopping > starting",
            "starting > probing",
            "probing > joining",
            "joining > soaking",
            "changed"
        ]
    );
    assert_eq!(world.host.ledger().serving, Some(release("b")));
    assert_eq!(world.disk, *world.host.ledger(), "what it holds is on disk");
    world.forget();
    world.run(secs(120));
    assert_eq!(world.told(), [""; 0], "nothing more to say");
    assert_eq!(world.acts, [""; 0]);
    assert_eq!(world.running(), Some("b"));
}

#[test]
fn the_whole_change_takes_little_more_than_drain_start_join_and_soak() {
    let mut world = serving(HEADFUL, Some("a"));
    let began = world.now;
    assert!(world.change(Some("a"), Some("b")).run_until(secs(60), settled));
    // Drain 3 s, healthy after 0.3 s, in service after 1 s, soak 5 s.
    let floor = Duration::from_millis(9_300);
    let took = world.now.since(began);
    assert!(floor <= took && took < floor + secs(1), "took {took:?}");
}

#[test]
fn a_process_is_kept_running_only_once_it_has_soaked() {
    let mut world = serving(HEADFUL, Some("a"));
    assert!(world.change(Some("a"), Some("b")).run_until(secs(60), settled));
    world.run(secs(1));
    world.exit_now();
    world.run(secs(3));
    assert_eq!(world.running(), Some("b"), "the keeper has started it again");
    assert_eq!(world.acts.iter().filter(|act| act.starts_with("start")).count(), 1, "and not the agent");
}

#[test]
fn a_first_release_has_nothing_to_leave_or_stop() {
    let mut world = serving(HEADFUL, None);
    assert!(world.change(None, Some("b")).run_until(secs(60), settled));
    assert_eq!(world.acts, ["start b", "join"]);
    assert_eq!(world.was_told("changed"), 1);
}

#[test]
fn a_service_that_is_taken_away_drains_and_stops() {
    let mut world = serving(HEADFUL, Some("a"));
    assert!(world.change(Some("a"), None).run_until(secs(60), settled));
    assert_eq!(world.acts, ["leave", "stop"]);
    assert_eq!(world.host.ledger().serving, None);
    world.crash();
    world.run(secs(30));
    assert_eq!(world.running(), None, "it stays away");
}

#[test]
fn a_restart_goes_the_same_way() {
    let mut world = serving(HEADFUL, Some("a"));
    assert!(world.change(Some("a"), Some("a")).run_until(secs(60), settled));
    assert_eq!(world.acts, ["leave", "stop", "start a", "join"]);
}

#[test]
fn a_headless_service_neither_leaves_nor_joins() {
    for setup in [HEADLESS, BARE] {
        let mut world = serving(setup, Some("a"));
        assert!(world.change(Some("a"), Some("b")).run_until(secs(60), settled), "{setup:?}");
        assert_eq!(world.acts, ["stop", "start b"], "{setup:?}");
        assert_eq!(world.was_told("changed"), 1, "{setup:?}");
    }
}

#[test]
fn without_a_probe_a_host_that_exits_while_it_soaks_has_failed() {
    let mut world = serving(BARE, Some("a"));
    world.behaves("b", process::Behaviour { exits: Some((secs(4), 3)), ..process::GOOD });
    assert!(world.change(Some("a"), Some("b")).run_until(secs(60), settled));
    assert_eq!(world.acts, ["stop", "start b", "start a"]);
    assert_eq!(world.was_told("reverted"), 1);
}

#[test]
fn maintenance_parks_the_host_until_it_is_admitted() {
    let mut world = serving(HEADFUL, Some("a"));
    let mut parked = grant(5, Some("a"), Some("a"));
    parked.park = true;
    world.grant(parked.clone());
    world.run(secs(60));
    assert_eq!(world.acts, ["leave", "stop"]);
    assert_eq!(world.was_told("parked"), 1);
    assert_eq!(world.next, None, "nothing is to be started soon");
    world.crash();
    world.run(secs(60));
    assert_eq!(world.running(), None, "a restarted agent leaves it parked");
    parked.park = false;
    parked.phase = PhaseKind::Parked;
    world.grant(parked);
    assert!(world.run_until(secs(60), settled));
    assert_eq!(world.acts, ["leave", "stop", "start a", "join"]);
    assert_eq!(world.was_told("parked > starting"), 1);
    assert_eq!(world.was_told("changed"), 1);
}

#[test]
fn maintenance_that_ends_with_nothing_to_run_starts_nothing() {
    let mut world = serving(HEADFUL, Some("a"));
    let mut parked = grant(5, Some("a"), Some("a"));
    parked.park = true;
    world.grant(parked.clone());
    world.run(secs(60));
    // What it ran was condemned meanwhile.
    (parked.park, parked.phase, parked.to) = (false, PhaseKind::Parked, None);
    world.grant(parked);
    assert!(world.run_until(secs(60), settled));
    assert_eq!(world.acts, ["leave", "stop"]);
    assert_eq!(world.host.ledger().serving, None);
    assert_eq!(world.was_told("changed"), 1);
}

#[test]
fn maintenance_is_over_only_when_the_fleet_has_said_so_since() {
    let mut world = serving(HEADFUL, Some("a"));
    let mut parked = grant(101, Some("a"), Some("a"));
    parked.park = true;
    world.grant(parked);
    world.run(secs(60));
    world.forget();
    // An agent that was restarted hears of a state before the grant: that says nothing about it.
    world.assignment.change = None;
    world.revision = 50;
    world.crash();
    world.run(secs(60));
    assert_eq!(world.running(), None);
    // It is still wanted out: another slot is on its way.
    (world.assignment.parked, world.revision) = (true, 200);
    world.assign();
    world.run(secs(60));
    assert_eq!(world.running(), None);
    world.assignment.parked = false;
    world.assign();
    assert!(world.run_until(secs(60), settled));
    assert_eq!(world.acts, ["start a", "join"]);
}

#[test]
fn nothing_is_touched_before_the_fleet_has_said_yes_in_time() {
    let mut world = serving(HEADFUL, Some("a"));
    world.slow_answer = secs(4);
    world.change(Some("a"), Some("b")).run(secs(11));
    assert_eq!(world.acts, [""; 0]);
    assert_eq!(world.told(), ["granted > draining", "draining > draining", "draining > draining"]);
    world.slow_answer = secs(1);
    assert!(world.run_until(secs(90), settled));
    assert_eq!(world.acts, ["leave", "stop", "start b", "join"]);
}

#[test]
fn a_refused_change_is_forgotten_and_asked_for_again_later() {
    let mut world = serving(HEADFUL, Some("a"));
    world.refuses = true;
    world.change(Some("a"), Some("b")).run(secs(4));
    assert_eq!(world.acts, [""; 0]);
    assert_eq!(world.told(), ["granted > draining"], "it waits before it asks again");
    let sighting = world.host.sighting(world.now);
    assert_eq!(sighting.phase, PhaseKind::Granted);
    assert!(sighting.trouble.is_some_and(|trouble| trouble.contains("does not let change 1.5 begin: no")));
    world.refuses = false;
    assert!(world.run_until(secs(60), settled));
}

#[test]
fn a_grant_for_a_release_that_is_not_here_is_given_back() {
    let mut world = serving(HEADFUL, Some("a"));
    world.change(Some("a"), Some("zz")).run(secs(5));
    assert_eq!(world.told(), ["abandoned"]);
    assert_eq!(world.acts, [""; 0]);
}

#[test]
fn a_service_that_says_that_it_is_ready_is_probed_at_once() {
    let mut world = serving(HEADFUL, Some("a"));
    world.behaves("b", Behaviour { healthy: None, ..GOOD });
    assert!(world.change(Some("a"), Some("b")).run_until(secs(60), |world| world.running() == Some("b")));
    let say = |world: &mut World, said: bool| {
        let ProcessSeen::Running { ready, .. } = &mut world.process else { panic!("it runs") };
        *ready = said;
        world.news();
    };
    say(&mut world, false);
    world.run(secs(30));
    world.behaves("b", GOOD);
    let said = world.now;
    say(&mut world, true);
    assert!(world.run_until(secs(60), |world| world.was_told("probing > joining") == 1));
    let took = world.now.since(said);
    assert!(took < Duration::from_millis(100), "it waited {took:?} for the probe's turn");
}

/// One of two instances crashed, and the keeper waits before it starts it again; the other one still answers requests.
#[test]
fn a_drain_waits_for_the_instances_that_run() {
    let mut world = serving(HEADFUL, Some("a"));
    let alive = world.process.clone();
    let ProcessSeen::Running { release, fence, .. } = alive.clone() else { panic!("{alive:?}") };
    let ended = ProcessSeen::Exited { release, fence, exit: ExitSeen::Code(1), restarts: 0, note: None };
    (world.process, world.instances, world.keep) = (ended.clone(), vec![alive, ended], false);
    world.news();
    world.change(Some("a"), Some("b"));
    let left = |world: &World| world.acts == ["leave"];
    assert!(world.run_until(secs(60), left), "{:?}", world.acts);
    assert!(!world.run_until(world.drain - secs(1), |world| world.acts != ["leave"]), "{:?}", world.acts);
    assert_eq!(world.standing(), StandingSeen::Draining);
    let next = |world: &World| world.acts.contains(&"start b".to_owned());
    assert!(world.run_until(secs(60), next), "{:?}", world.host.sighting(world.now));
}

#[test]
fn a_release_that_takes_long_to_verify_has_all_its_time_to_get_healthy() {
    let mut world = serving(HEADFUL, Some("a"));
    world.verify_ms = 300_000;
    world.change(Some("a"), Some("b"));
    assert!(world.run_until(secs(600), settled));
    assert_eq!(world.acts, ["leave", "stop", "start b", "join"]);
    assert_eq!((world.was_told("failed"), world.was_told("changed")), (0, 1), "{:?}", world.told());
}

/// What began the soak was a word from before the host had left, say.
#[test]
fn a_soak_has_its_length_from_when_the_host_was_in_service_however_often_it_was_said_before() {
    for soak in [secs(1), secs(2), secs(20)] {
        let mut world = serving(HEADFUL, Some("a"));
        let soaks = |world: &World| world.host.sighting(world.now).phase == PhaseKind::Soaking;
        world.assignment.policy.soak = soak;
        assert!(world.change(Some("a"), Some("b")).run_until(secs(60), soaks));
        // One answer says in service.
        world.run(Duration::from_millis(30));
        world.unhealthy_until = world.now + soak / 2;
        assert!(world.run_until(secs(120), settled), "{:?}", world.host.sighting(world.now));
        let served = world.now.since(world.unhealthy_until);
        assert!(soak <= served + Duration::from_millis(30), "in service for {served:?} of {soak:?}");
        assert!(served < soak + soak / 4 + secs(1), "in service for {served:?} of {soak:?}");
    }
}

#[test]
fn what_nobody_has_seen_of_a_soak_is_not_written_down_as_soaked() {
    let mut world = serving(HEADFUL, Some("a"));
    let soaks = |world: &World| world.host.sighting(world.now).phase == PhaseKind::Soaking;
    world.assignment.policy.soak = secs(20);
    assert!(world.change(Some("a"), Some("b")).run_until(secs(60), soaks));
    world.run(Duration::from_millis(30));
    // Nobody answers any more, the agent is started anew, and what is said then is that the host has not been in service yet.
    world.api_down_until = world.now + secs(17);
    world.run(secs(16));
    world.crash();
    world.unhealthy_until = world.now + secs(4);
    assert!(world.run_until(secs(120), settled), "{:?}", world.host.sighting(world.now));
    let served = world.now.since(world.unhealthy_until);
    assert!(secs(20) <= served + Duration::from_millis(100), "in service for {served:?}");
    assert_eq!(world.running(), Some("b"));
}

/// The clock of its soak stands for another reason already when it turns out that the host has not been in service.
#[test]
fn a_soak_on_a_host_that_was_frozen_has_its_length_too() {
    let mut world = serving(HEADFUL, Some("a"));
    let is = |phase| move |world: &World| world.host.sighting(world.now).phase == phase;
    world.assignment.policy.soak = secs(20);
    world.behaves("b", Behaviour { in_service: Some(secs(10)), ..GOOD });
    assert!(world.change(Some("a"), Some("b")).run_until(secs(60), is(PhaseKind::Joining)));
    world.freeze(secs(20), secs(0));
    assert!(world.run_until(secs(60), is(PhaseKind::Soaking)));
    world.run(Duration::from_millis(30));
    world.api_down_until = world.now + secs(12);
    world.run(secs(12));
    world.unhealthy_until = world.now + secs(20);
    assert!(world.run_until(secs(120), settled), "{:?}", world.host.sighting(world.now));
    let served = world.now.since(world.unhealthy_until);
    assert!(secs(20) <= served + Duration::from_millis(100), "in service for {served:?}");
}

#[test]
fn what_was_read_before_a_soak_was_over_does_not_end_it() {
    let mut world = serving(HEADFUL, Some("a"));
    let soaks =
        |world: &World| world.reports.iter().any(|report| super::world::name(report) == "joining > soaking");
    world.assignment.policy.soak = secs(1);
    assert!(world.change(Some("a"), Some("b")).run_until(secs(60), soaks));
    // The balancer said so once, of what was before the host had left; in truth it looks still.
    world.run(Duration::from_millis(200));
    world.unhealthy_until = world.now + secs(2);
    world.run(Duration::from_millis(1_500));
    assert_eq!(world.was_told("changed"), 0, "not in service when its soak was over");
    assert!(world.run_until(secs(60), settled), "{:?}", world.host.sighting(world.now));
    assert_eq!(world.running(), Some("b"));
}
