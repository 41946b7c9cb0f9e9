//! Single plans, looked at from close by: who is next, and what is not even tried.

use super::{play::Play, script::played};
use crate::{
    HostId, Timestamp,
    fleet::{
        Act, Availability, Cause, EventKind, Fleet, PartState, PhaseKind, Report, Request, RolloutPhase, Step,
    },
    planner::{
        Hold, Plan, Why, plan,
        room::{Full, Room},
    },
    policy::MigratePer,
};

fn host(name: &str) -> HostId {
    name.parse().unwrap()
}

/// What is proposed for the service, and which holds there are.
fn steps(plan: &Plan) -> Vec<Step> {
    let planned = plan.acts.iter().filter_map(|act| match act {
        Act::Plan { steps, .. } => Some(steps.clone()),
        _ => None,
    });
    planned.flatten().collect()
}

fn now(play: &Play) -> Plan {
    plan(&play.fleet, &play.sightings, play.now)
}

fn says(play: &mut Play, name: &str, report: Report) {
    let service = "web".parse().unwrap();
    play.apply(Act::Report { host: host(name), service, report });
}

fn falls_out(play: &mut Play, name: &str) {
    let (availability, cause) = (Availability::Out, Cause::Surroundings);
    says(
        play,
        name,
        Report::Availability { availability, cause, reason: "ill".into(), tail: "".into(), of: None },
    );
}

fn room(fleet: &Fleet) -> Room {
    let name = "web".parse().unwrap();
    Room::new(fleet, &name, &fleet.services[&name])
}

#[test]
fn a_host_in_service_takes_from_the_budget_when_there_are_more_slots_than_that() {
    let play = played("fleet hosts=3 running=r1 max_unavailable=1");
    let here = |name: &str| &play.fleet.hosts[&host(name)].services[&"web".parse().unwrap()];
    let mut room = room(&play.fleet);
    assert_eq!(room.take(&host("h1"), here("h1"), 3), Ok(()));
    assert_eq!(room.take(&host("h2"), here("h2"), 3), Err(Full::Budget));
}

#[test]
fn a_host_that_counts_as_out_already_is_not_in_its_own_way() {
    let mut play = played("fleet hosts=3 running=r1 max_unavailable=1");
    play.apply(Act::Silent { host: host("h1") });
    let here = &play.fleet.hosts[&host("h1")].services[&"web".parse().unwrap()];
    assert_eq!(here.availability, Availability::Unknown);
    assert_eq!(room(&play.fleet).take(&host("h1"), here, 1), Ok(()));
}

#[test]
fn who_is_on_the_failed_release_goes_back_before_who_is_on_another() {
    let mut play = played("fleet hosts=3 running=r1\npush r2\nadvance 20s");
    let web = "web".parse().unwrap();
    let current = |play: &Play, name: &str| {
        play.fleet.hosts[&host(name)].services[&web].current_id().unwrap().to_string()
    };
    assert_eq!(current(&play, "h1"), "r2");
    // Somebody has started another release on `h0`, by hand, after it joined.
    play.enrols(&host("h0"), std::slice::from_ref(&web), 80);
    says(&mut play, "h0", Report::Runs { release: Some(super::script::release("r0")) });
    let (availability, cause) = (Availability::In, Cause::Surroundings);
    let serves =
        Report::Availability { availability, cause, reason: "it was seen".into(), tail: "".into(), of: None };
    says(&mut play, "h0", serves);
    play.sightings.hear(&host("h0"), play.now);
    play.ask(&web, Request::Abort { leave: false });
    for name in ["h0", "h1", "h2", "h3"] {
        says(&mut play, name, Report::Staged { release: "r1".parse().unwrap() });
    }
    let change = |name: &str| play.fleet.hosts[&host(name)].services[&web].change.is_some();
    let first = steps(&now(&play)).into_iter().find_map(|step| match step {
        Step::StartWave { hosts, .. } => Some(hosts),
        _ => None,
    });
    let first: Vec<String> = first.expect("a wave").iter().map(ToString::to_string).collect();
    let free: Vec<&str> = first.iter().map(String::as_str).filter(|name| !change(name)).collect();
    assert_eq!(free, ["h1", "h0"], "{first:?}");
}

#[test]
fn a_roll_back_has_one_wave_however_large_waves_are() {
    let play = played(
        "fleet hosts=4 running=r1 max_unavailable=2 wave=1 canary=2\npush r2\nadvance 25s\nabort\nrun",
    );
    let waves = play
        .fleet
        .events
        .iter()
        .rev()
        .take_while(|event| !matches!(event.kind, EventKind::RolloutBegan { .. }));
    let waves = waves.filter(|event| matches!(event.kind, EventKind::WaveStarted { .. }));
    let hosts = |kind: &EventKind| match kind {
        EventKind::WaveStarted { hosts, .. } => hosts.len(),
        _ => 0,
    };
    let sizes: Vec<usize> = waves.map(|event| hosts(&event.kind)).collect();
    assert!(matches!(sizes[..], [size] if 1 < size), "{sizes:?}");
}

#[test]
fn a_rollout_that_everybody_has_left_is_held_for_want_of_hosts() {
    let play = played("fleet hosts=1 running=r1\npush r2\nadvance 5s\nterminate h1\nadvance 1s");
    assert!(play.holds.iter().any(|(hold, _)| hold.why == Why::NoHosts), "{:?}", play.holds);
}

#[test]
fn a_roll_back_waits_for_a_sick_host_that_may_get_well_although_another_is_stuck() {
    let mut play = played("fleet hosts=4 running=r1 max_unavailable=2\nhost h2 fails=r2 stuck\npush r2");
    let web = "web".parse().unwrap();
    let rolls_back =
        |play: &Play| play.fleet.services[&web].active().is_some_and(|active| active.is_rollback());
    while !rolls_back(&play) {
        assert!(play.step(Timestamp(600_000)), "r2 does not fail");
    }
    // `h1` serves what is taken back; `h2` does not come back; `h4` was never touched, and falls ill.
    falls_out(&mut play, "h4");
    play.actors.retain(|actor| actor.host != host("h4"));
    let until = Timestamp(play.now.0 + 300_000);
    while play.now < until {
        play.step(Timestamp(until.0.min(play.now.0 + 5000)));
        play.sightings.hear(&host("h4"), play.now);
    }
    let service = &play.fleet.services[&web];
    let rollback = service.active().expect("a roll back under way");
    assert!(rollback.is_rollback());
    assert_eq!(rollback.phase, RolloutPhase::Rolling);
    assert_eq!(rollback.parts[&host("h2")].state, PartState::Failed);
    assert_eq!(rollback.parts[&host("h1")].state, PartState::Pending);
    assert_eq!(play.fleet.hosts[&host("h2")].services[&web].change.as_ref().unwrap().phase, PhaseKind::Stuck);
    assert!(play.holds.iter().any(|(hold, _)| hold.why.name() == "budget_spent"), "{:?}", play.holds);
}

#[test]
fn a_migration_waits_for_silent_hosts_when_no_other_is_left() {
    let play = played(
        "fleet hosts=1 running=r1\nhost h1 migrate=never\npush m2\nadvance 5s\nhost h1 silent\nadvance 30s",
    );
    let service = &play.fleet.services[&"web".parse().unwrap()];
    assert_eq!(service.active().unwrap().phase, RolloutPhase::Migrating);
    assert!(play.holds.iter().any(|(hold, _)| hold.why.name() == "host_silent"), "{:?}", play.holds);
}

#[test]
fn a_migration_is_granted_to_one_host_that_has_the_release() {
    let mut play = played("fleet hosts=2 running=r1 migrate=host");
    let web = "web".parse().unwrap();
    assert_eq!(play.fleet.services[&web].policy.migrate, MigratePer::Host);
    let release = super::script::release("m2");
    play.ask(&web, Request::Push { release: release.clone(), policy: None, provenance: Default::default() });
    for name in ["h1", "h2"] {
        says(&mut play, name, Report::Staged { release: release.id.clone() });
    }
    for act in now(&play).acts {
        play.apply(act);
    }
    let rollout = play.fleet.services[&web].active().unwrap();
    assert_eq!(rollout.phase, RolloutPhase::Migrating);
    let granted = |play: &Play| -> Vec<Step> {
        steps(&now(play)).into_iter().filter(|step| matches!(step, Step::GrantMigration { .. })).collect()
    };
    assert_eq!(granted(&play), [Step::GrantMigration { host: host("h1"), release: release.id.clone() }]);
    says(&mut play, "h1", Report::NotStaged { release: release.id.clone(), reason: "damaged".into() });
    assert_eq!(granted(&play), [Step::GrantMigration { host: host("h2"), release: release.id.clone() }]);
    let staging =
        |(hold, _): &(Hold, _)| matches!(&hold.why, Why::Staging { host, .. } if host.as_str() == "h1");
    assert!(now(&play).holds.iter().any(staging));
}

#[test]
fn a_level_that_every_host_supports_is_proposed() {
    let mut play = played("fleet hosts=2 running=r1");
    assert_eq!(now(&play).acts, []);
    play.fleet.level = 0;
    assert_eq!(now(&play).acts, [Act::RaiseLevel { level: crate::fleet::SUPPORTED_LEVEL }]);
}

#[test]
fn a_host_that_is_on_its_way_to_maintenance_is_named_and_one_that_rests_is_not() {
    let named = |play: &Play| play.holds.iter().any(|(hold, _)| matches!(hold.why, Why::Changing { .. }));
    assert!(named(&played("fleet hosts=2 running=r1\nhost h1 drain=30s\ndrain h1\nadvance 5s")));
    assert!(!named(&played("fleet hosts=2 running=r1\nhost h1 drain=30s\ndrain h1\nadvance 120s")));
}

#[test]
fn a_hold_names_the_host_to_act_on_where_there_is_one() {
    let text = |why| {
        let service = "web".parse().unwrap();
        Hold { service, rollout: None, abortable: false, why }.ends_when()
    };
    let differ = |ports: &[&str]| {
        let values = ports.iter().zip(1..).map(|(port, n)| (host(&format!("h{n}")), (*port).to_owned()));
        text(Why::ConfigurationDiffers { key: "port".into(), values: values.collect() })
    };
    assert!(differ(&["80", "80", "81"]).contains("h3"), "{}", differ(&["80", "80", "81"]));
    for nobody in [&["80", "81"][..], &["80", "81", "82"], &["80", "80", "81", "82"]] {
        assert!(differ(nobody).contains("HOST"), "{}", differ(nobody));
    }
    let slots = |holders: &[&str]| {
        let holders = holders.iter().map(|name| (host(name), PhaseKind::Parked)).collect();
        text(Why::NoFreeSlot { limit: 1, holders, drained: vec![host("h1")] })
    };
    assert!(!slots(&["h1"]).contains("another holder"));
    assert!(slots(&["h1", "h2"]).contains("another holder is done"));
}
