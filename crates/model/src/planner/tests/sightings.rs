//! What a leader has heard, and for how long it has waited.

use std::time::Duration;

use super::{
    play::{Play, SILENT_AFTER},
    script::release,
};
use crate::{
    HostId, RolloutId, ServiceName, Timestamp,
    fleet::{PhaseKind, Reply, Request, Timer},
    planner::{Hold, Sightings, TimedHold, Why, plan},
};

fn at(secs: u64) -> Timestamp {
    Timestamp(1000 * secs)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn play() -> (Play, HostId, ServiceName) {
    let (host, web): (HostId, ServiceName) = ("h1".parse().unwrap(), "web".parse().unwrap());
    let mut play = Play::new();
    play.joins(&host, std::slice::from_ref(&web), 80);
    (play, host, web)
}

fn pushed(play: &mut Play, web: &ServiceName) -> RolloutId {
    match play
        .ask(web, Request::Push { release: release("r1"), policy: None, provenance: Default::default() })
    {
        Reply::Accepted(rollout) => rollout,
        reply => panic!("{reply:?}"),
    }
}

#[test]
fn a_host_is_silent_an_interval_after_its_last_word() {
    let (play, host, _) = play();
    let mut sightings = Sightings::new(SILENT_AFTER, at(100));
    sightings.observe(&play.fleet, at(100));
    sightings.hear(&host, at(105));
    assert!(sightings.heard(&host));
    for (now, silent) in [(105, false), (114, false), (115, true)] {
        assert_eq!(sightings.silent(&play.fleet, at(now)).contains(&host), silent, "at {now}s");
    }
}

#[test]
fn a_host_that_never_spoke_is_silent_an_interval_after_the_leader_learned_of_it() {
    let (play, host, _) = play();
    let mut sightings = Sightings::new(SILENT_AFTER, at(100));
    assert!(sightings.silent(&play.fleet, at(200)).is_empty(), "it was not even looked for");
    sightings.observe(&play.fleet, at(200));
    assert!(!sightings.silent(&play.fleet, at(209)).contains(&host));
    assert!(sightings.silent(&play.fleet, at(210)).contains(&host));
}

#[test]
fn silences_are_told_with_how_long_they_last() {
    let (play, host, _) = play();
    let mut sightings = Sightings::new(SILENT_AFTER, at(100));
    sightings.observe(&play.fleet, at(100));
    sightings.hear(&host, at(105));
    assert!(sightings.silences(at(114)).is_empty());
    assert_eq!(sightings.silences(at(115)), [(host.clone(), secs(10))].into());
    assert_eq!(sightings.silences(at(125)), [(host, secs(20))].into());
}

#[test]
fn a_new_leader_learns_for_one_interval() {
    let sightings = Sightings::new(SILENT_AFTER, at(100));
    assert!(sightings.is_learning(at(109)));
    assert!(!sightings.is_learning(at(110)));
}

#[test]
fn the_planner_wakes_when_the_next_host_would_be_silent() {
    let (play, host, _) = play();
    let mut sightings = Sightings::new(SILENT_AFTER, at(100));
    sightings.observe(&play.fleet, at(100));
    sightings.hear(&host, at(103));
    assert_eq!(plan(&play.fleet, &sightings, at(104)).wake, Some(at(113)));
}

#[test]
fn a_wait_goes_on_from_what_was_committed_and_stands_still_while_paused() {
    let (mut play, host, web) = play();
    let rollout = pushed(&mut play, &web);
    let service = play.fleet.services.get_mut(&web).unwrap();
    let open = service.rollouts.get_mut(&rollout).unwrap();
    std::sync::Arc::make_mut(open).elapsed.push((Timer::Staging, 7000));
    let mut sightings = Sightings::new(SILENT_AFTER, at(0));
    sightings.hear(&host, at(0));
    sightings.observe(&play.fleet, at(0));
    assert_eq!(sightings.elapsed(rollout, Timer::Staging, at(3)), secs(10));
    play.ask(&web, Request::Pause);
    sightings.observe(&play.fleet, at(5));
    assert_eq!(sightings.elapsed(rollout, Timer::Staging, at(500)), secs(12));
    play.ask(&web, Request::Resume);
    sightings.observe(&play.fleet, at(600));
    assert_eq!(sightings.elapsed(rollout, Timer::Staging, at(601)), secs(13));
}

#[test]
fn a_long_wait_is_committed_from_time_to_time() {
    let (mut play, _, web) = play();
    play.actors[0].traits.stage = None;
    let rollout = pushed(&mut play, &web);
    while play.step(at(35)) {}
    let committed = play.fleet.services[&web].rollouts[&rollout].elapsed(Timer::Staging);
    assert_eq!(committed, secs(30));
}

#[test]
fn an_overdue_wait_does_not_keep_the_leader_busy() {
    // Its deadline has passed, but the configurations differ: nothing is to be done before they agree.
    let (mut play, _, web) = play();
    let other: HostId = "h2".parse().unwrap();
    play.joins(&other, std::slice::from_ref(&web), 81);
    play.silent.insert(other);
    pushed(&mut play, &web);
    while play.step(at(599)) {}
    let rounds = (0..50).take_while(|_| play.step(at(660))).count();
    assert!(rounds < 50, "it wakes all the time");
    assert!(play.holds.iter().any(|(hold, _)| hold.why.name() == "configuration_differs"));
}

#[test]
fn a_hold_lasts_as_long_as_its_name_and_host_are_the_same() {
    let hold = |limit, host: &str| {
        let service = "web".parse().unwrap();
        let why = match host {
            "" => Why::BudgetSpent { out: Vec::new(), limit },
            host => Why::Changing { host: host.parse().unwrap(), phase: PhaseKind::Draining },
        };
        (Hold { service, rollout: None, abortable: false, why }, None)
    };
    let lasted = |timed: Vec<TimedHold>| timed.iter().map(|hold| hold.lasted.as_secs()).collect::<Vec<_>>();
    let mut sightings = Sightings::new(SILENT_AFTER, at(0));
    assert_eq!(lasted(sightings.time(&[hold(1, ""), hold(0, "h1")], at(10))), [0, 0]);
    assert_eq!(
        lasted(sightings.time(&[hold(2, ""), hold(0, "h2")], at(15))),
        [5, 0],
        "other words, same hold"
    );
    assert_eq!(lasted(sightings.time(&[hold(0, "h2")], at(20))), [5]);
    assert_eq!(lasted(sightings.time(&[hold(2, "")], at(30))), [0], "it had ended in between");
}
