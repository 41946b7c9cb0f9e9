//! What a push would do is what it then does.

use std::fmt::Write as _;

use super::{play::Play, script};
use crate::{
    HostId, Policy, Release, ServiceName,
    fleet::{EventKind, Outcome, Reply, Request, RolloutPhase},
    planner::{
        Preview,
        preview::{End, MigrationAhead, Push, Start, Turn, preview, within},
    },
};

/// A preview as the scenarios show it.
pub(super) fn shown(preview: &Preview) -> String {
    let mut text = String::new();
    let ahead = &preview.ahead;
    let begins = match ahead.start {
        Start::Now => "begins at once".to_owned(),
        Start::Joins { rollout } => format!("joins {rollout}"),
        Start::Supersedes { rollout } => format!("supersedes {rollout} once it is staged"),
        Start::Waits { rollout } => format!("waits for {rollout}"),
    };
    let replaces = ahead.replaces.map_or(String::new(), |rollout| format!(", in place of {rollout}"));
    let _ = writeln!(text, "{begins}{replaces}");
    let hosts = |hosts: &[HostId]| hosts.iter().map(HostId::as_str).collect::<Vec<_>>().join(", ");
    let named = |hosts: &[(HostId, String)]| {
        hosts.iter().map(|(host, why)| format!("{host} ({why})")).collect::<Vec<_>>().join(", ")
    };
    let busy: Vec<_> = ahead.busy.iter().map(|(host, phase)| (host.clone(), phase.to_string())).collect();
    for (what, list) in [
        ("out", named(&ahead.out)),
        ("busy", named(&busy)),
        ("there", hosts(&ahead.there)),
        ("fetch", hosts(&ahead.fetch)),
        ("left out", named(&ahead.left_out)),
    ] {
        if !list.is_empty() {
            let _ = writeln!(text, "{what}: {list}");
        }
    }
    match &ahead.migration {
        MigrationAhead::NotNeeded => (),
        MigrationAhead::Done => text.push_str("migration: done before\n"),
        MigrationAhead::NotReached => text.push_str("migration: not reached\n"),
        MigrationAhead::Runs { per, hosts: on } => {
            let _ = writeln!(text, "migration: per {per:?} on {}", hosts(on));
        }
    }
    for wave in &ahead.waves {
        let canary = if wave.canary { " (canary)" } else { "" };
        let turns: Vec<String> = wave.turns.iter().map(|each| turn(each, ahead.max_unavailable)).collect();
        let soak = if wave.soak.is_zero() { String::new() } else { format!("; soaks {:?}", wave.soak) };
        let _ = writeln!(text, "wave {}{canary}: {}{soak}", wave.number, turns.join("; "));
        if !wave.waiting.is_empty() {
            let _ = writeln!(text, "no turn: {}", hosts(&wave.waiting));
        }
    }
    for (hold, ends_in) in &preview.holds {
        let ends = ends_in.map_or(String::new(), |left| format!(", for {left:?}"));
        let _ = writeln!(text, "against it: {}{ends}", hold.why);
    }
    let _ = match &ahead.end {
        End::Over(outcome) => writeln!(text, "ends: {}", outcome.word()),
        End::Held => writeln!(text, "waits there"),
        End::Cut => writeln!(text, "cut short"),
    };
    text
}

fn turn(turn: &Turn, limit: u32) -> String {
    let host = |going: &crate::planner::preview::Going| {
        if going.sick { format!("{} (sick)", going.host) } else { going.host.to_string() }
    };
    let hosts: Vec<String> = turn.hosts.iter().map(host).collect();
    format!("{} with {} of {limit} out", hosts.join(", "), turn.out)
}

pub(super) fn of(play: &Play, service: &ServiceName, release: &Release, policy: Option<&Policy>) -> String {
    match preview(&play.fleet, &play.sightings, play.now, service, release, policy) {
        Ok(preview) => shown(&preview),
        Err(refusal) => format!("rejected: {refusal}\n"),
    }
}

/// Who is in which wave and in which order the hosts have their turns, as it was shown.
fn foretold(preview: &Preview) -> (Vec<Vec<HostId>>, Vec<HostId>) {
    let waves = &preview.ahead.waves;
    let turns = |wave: &crate::planner::preview::Wave| {
        wave.turns.iter().flat_map(|turn| turn.hosts.iter().map(|going| going.host.clone())).collect()
    };
    let in_turn: Vec<Vec<HostId>> = waves.iter().map(turns).collect();
    let sorted = in_turn.iter().map(|wave| {
        let mut wave = wave.clone();
        wave.sort();
        wave
    });
    (sorted.collect(), in_turn.concat())
}

/// The same, as it came about.
fn happened(play: &Play, rollout: crate::RolloutId) -> (Vec<Vec<HostId>>, Vec<HostId>) {
    let ours = || play.told.iter().map(|(_, event)| event).filter(|event| event.rollout == Some(rollout));
    let waves = ours().filter_map(|event| match &event.kind {
        EventKind::WaveStarted { hosts, .. } => {
            let mut hosts = hosts.clone();
            hosts.sort();
            Some(hosts)
        }
        _ => None,
    });
    let granted = ours().filter(|event| matches!(event.kind, EventKind::Granted { .. }));
    (waves.collect(), granted.filter_map(|event| event.host.clone()).collect())
}

#[test]
fn a_preview_of_a_large_fleet_is_cut_short_and_says_so() {
    let play = script::played("fleet hosts=30 running=r1\n");
    let (web, r2) = ("web".parse().unwrap(), script::release("r2"));
    let push = || Push { service: &web, release: &r2, policy: None };
    let cut = within(600, &play.fleet, &play.sightings, play.now, push()).unwrap();
    assert_eq!(cut.ahead.end, End::Cut);
    let whole = within(30 * 200, &play.fleet, &play.sightings, play.now, push()).unwrap();
    assert_eq!(whole.ahead.end, End::Over(Outcome::Completed));
    let turns =
        |shown: &Preview| shown.ahead.waves.iter().flat_map(|wave| wave.turns.clone()).collect::<Vec<_>>();
    assert!(
        !turns(&cut).is_empty() && turns(&whole).starts_with(&turns(&cut)),
        "what is shown is right as far as it goes"
    );
}

#[test]
fn what_is_shown_then_happens() {
    for hosts in 1..=7 {
        for options in ["", "max_unavailable=2", "max_unavailable=3 canary=2 wave=3", "wave=1 wave_soak=30s"]
        {
            for sick in 0..=hosts.min(3) {
                for name in ["r2", "m2"] {
                    let mut fleet = format!("fleet hosts={hosts} running=r1 soak=1s {options}\n");
                    for host in 0..sick {
                        let _ = writeln!(fleet, "host h{} sick", hosts - host);
                    }
                    fleet.push_str("advance 15s\n");
                    let mut play = script::played(&fleet);
                    let (web, release) = ("web".parse().unwrap(), script::release(name));
                    let now = play.now;
                    let before = play.fleet.clone();
                    let shown = preview(&play.fleet, &play.sightings, now, &web, &release, None).unwrap();
                    assert!(before == play.fleet, "a preview changes nothing");
                    play.told.clear();
                    let push = Request::Push { release, policy: None, provenance: Default::default() };
                    let Reply::Accepted(rollout) = play.ask(&web, push) else { panic!("not accepted") };
                    let until = now + std::time::Duration::from_secs(7200);
                    while play.fleet.services[&web].active.is_some() && play.now < until {
                        play.step(until);
                    }
                    let came = &play.fleet.services[&web].rollouts[&rollout];
                    let setting = format!("{fleet}push {name}\n{}", self::shown(&shown));
                    assert_eq!(foretold(&shown), happened(&play, rollout), "{setting}");
                    let RolloutPhase::Ended { outcome } = &came.phase else {
                        assert_eq!(shown.ahead.end, End::Held, "{setting}");
                        continue;
                    };
                    assert_eq!(shown.ahead.end, End::Over(outcome.clone()), "{setting}");
                }
            }
        }
    }
}
