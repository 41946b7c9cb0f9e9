//! What a push would do: for people, and for programs.

use std::{fmt::Write as _, time::Duration};

use api::view::{HoldStatus, PushPreview};
use model::{
    HostId,
    fleet::{Outcome, PhaseKind},
    planner::preview::{Ahead, End, Going, MigrationAhead, Start, Turn, Wave},
    policy::MigratePer,
};
use serde_json::{Value, json};

use super::{
    paint::{Paint, pad},
    text::short,
};

/// Turns of one wave that people get to see one by one.
const TURNS_SHOWN: usize = 12;
/// Hosts of one list that people get to see by name.
const HOSTS_SHOWN: usize = 12;

pub(crate) fn text(preview: &PushPreview, paint: Paint) -> String {
    let ahead = &preview.ahead;
    let release = paint.strong(&short(&ahead.release.id));
    let mut text = format!("{release} to {}: {}\n", paint.strong(ahead.service.as_str()), begins(ahead));
    let mut line = |what: &str, how: &str| {
        if !how.is_empty() {
            let _ = writeln!(text, "  {} {how}", pad(&paint.faint(what), 15));
        }
    };
    line("release", ahead.release.id.as_str());
    line("out now", &reasons(&ahead.out));
    line("in mid-step", &busy(&ahead.busy));
    line("has it", &names(&ahead.there));
    line("fetch it", &names(&ahead.fetch));
    line("migration", &migration(&ahead.migration));
    for wave in &ahead.waves {
        let canary = if wave.canary { " (canary)" } else { "" };
        line(&format!("wave {}{canary}", wave.number), &first_turn(wave, ahead.max_unavailable));
        for turn in wave.turns.iter().skip(1).take(TURNS_SHOWN - 1) {
            line("", &turn_words(turn, ahead.max_unavailable));
        }
        let more = wave.turns.len().saturating_sub(TURNS_SHOWN);
        if 0 < more {
            line("", &paint.faint(&format!("and {more} turns more like these")));
        }
        if !wave.waiting.is_empty() && !wave.turns.is_empty() {
            line("", &paint.busy(&format!("{} would wait", names(&wave.waiting))));
        }
        if !wave.soak.is_zero() {
            line("", &paint.faint(&format!("then {} in service before the next wave", time(wave.soak))));
        }
    }
    line("left out", &reasons(&ahead.left_out));
    for hold in &preview.holds {
        let _ = writeln!(text, "  {}", hold_words(hold, paint));
    }
    for (host, trouble) in &preview.troubles {
        let _ = writeln!(text, "  {} {host} says: {trouble}", paint.busy("note:"));
    }
    let _ = write!(text, "{}\n{}", end(ahead, paint), paint.faint("a dry run: nothing was changed"));
    text
}

fn begins(ahead: &Ahead) -> String {
    let mut text = match ahead.start {
        Start::Now => "would begin at once".to_owned(),
        Start::Joins { rollout } if ahead.waves.is_empty() && matches!(ahead.end, End::Over(_)) => {
            format!("is there already, as {rollout} left it")
        }
        Start::Joins { rollout } => format!("would join {rollout}, which goes to it already"),
        Start::Supersedes { rollout } => {
            format!("would take the place of {rollout}, once it is staged on all hosts")
        }
        Start::Waits { rollout } => format!("would wait until {rollout} is over"),
    };
    if let Some(replaced) = ahead.replaces {
        let _ = write!(text, "; {replaced}, which waits now, would be superseded");
    }
    text
}

fn names(hosts: &[HostId]) -> String {
    let shown: Vec<&str> = hosts.iter().take(HOSTS_SHOWN).map(HostId::as_str).collect();
    shown.join(", ") + &more(hosts.len())
}

fn reasons(hosts: &[(HostId, String)]) -> String {
    let shown = hosts.iter().take(HOSTS_SHOWN).map(|(host, why)| format!("{host} ({why})"));
    shown.collect::<Vec<_>>().join(", ") + &more(hosts.len())
}

fn busy(hosts: &[(HostId, PhaseKind)]) -> String {
    let shown = hosts.iter().take(HOSTS_SHOWN).map(|(host, phase)| format!("{host} ({phase})"));
    shown.collect::<Vec<_>>().join(", ") + &more(hosts.len())
}

fn more(hosts: usize) -> String {
    let more = hosts.saturating_sub(HOSTS_SHOWN);
    if more == 0 { String::new() } else { format!(" and {more} more") }
}

fn migration(ahead: &MigrationAhead) -> String {
    match ahead {
        MigrationAhead::NotNeeded => String::new(),
        MigrationAhead::Done => "bin/migrate has run before".to_owned(),
        MigrationAhead::NotReached => "bin/migrate would not be reached".to_owned(),
        MigrationAhead::Runs { per: MigratePer::Fleet, hosts } => {
            format!("bin/migrate would run once, on {}", names(hosts))
        }
        MigrationAhead::Runs { per: MigratePer::Host, hosts } => {
            format!("bin/migrate would run on each, one after the other: {}", names(hosts))
        }
    }
}

fn first_turn(wave: &Wave, limit: u32) -> String {
    match wave.turns.first() {
        Some(turn) => turn_words(turn, limit),
        None => format!("{} would wait", names(&wave.waiting)),
    }
}

fn turn_words(turn: &Turn, limit: u32) -> String {
    let host = |going: &Going| {
        if going.sick { format!("{} (out already)", going.host) } else { going.host.to_string() }
    };
    let hosts: Vec<String> = turn.hosts.iter().take(HOSTS_SHOWN).map(host).collect();
    let hosts = hosts.join(", ") + &more(turn.hosts.len());
    format!("{} {} of {limit} out", pad(&hosts, 24), turn.out)
}

fn hold_words(hold: &HoldStatus, paint: Paint) -> String {
    let ends = hold.ends_in.map(|ends| format!(", for {} at most", time(ends))).unwrap_or_default();
    let line = format!("{} {}{ends}", paint.busy("against it:"), hold.text);
    format!("{line}\n              until {}", hold.ends_when)
}

fn time(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        seconds @ 1..=119 => format!("{seconds} s"),
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

fn end(ahead: &Ahead, paint: Paint) -> String {
    match &ahead.end {
        End::Over(Outcome::Completed) if ahead.waves.is_empty() => paint.good("nothing would be left to do"),
        End::Over(Outcome::Completed) => {
            paint.good("if every host stages it and gets healthy: would complete")
        }
        End::Over(outcome) => paint.bad(&format!("would end: {}", outcome.word())),
        End::Held => paint.bad("would wait there: nothing that is known ends that by itself"),
        End::Cut => paint.busy("too many hosts to show it to the end; the rest goes on like this"),
    }
}

pub(crate) fn json(preview: &PushPreview) -> Value {
    let ahead = &preview.ahead;
    let (start, other) = match ahead.start {
        Start::Now => ("now", None),
        Start::Joins { rollout } => ("joins", Some(rollout)),
        Start::Supersedes { rollout } => ("supersedes", Some(rollout)),
        Start::Waits { rollout } => ("waits", Some(rollout)),
    };
    let (end, outcome) = match &ahead.end {
        End::Over(outcome) => ("over", Some(outcome.word())),
        End::Held => ("held", None),
        End::Cut => ("cut", None),
    };
    json!({
        "item": "preview",
        "service": ahead.service,
        "release": ahead.release.id,
        "revision": preview.revision,
        "answered_by": preview.answered_by,
        "start": start,
        "rollout": other.map(|rollout| rollout.to_string()),
        "replaces": ahead.replaces.map(|rollout| rollout.to_string()),
        "max_unavailable": ahead.max_unavailable,
        "out": hosts_json(&ahead.out),
        "busy": ahead.busy.iter().map(|(host, phase)| json!({ "host": host, "phase": phase })).collect::<Vec<_>>(),
        "there": ahead.there,
        "fetch": ahead.fetch,
        "migration": migration_json(&ahead.migration),
        "waves": ahead.waves.iter().map(wave_json).collect::<Vec<_>>(),
        "left_out": hosts_json(&ahead.left_out),
        "holds": preview.holds.iter().map(|hold| json!({
            "name": hold.name, "text": hold.text, "ends_when": hold.ends_when, "host": hold.host,
            "ends_in_ms": hold.ends_in.map(|ends| ends.as_millis()),
            "rollout": hold.rollout.map(|rollout| rollout.to_string()),
        })).collect::<Vec<_>>(),
        "troubles": hosts_json(&preview.troubles),
        "end": end,
        "outcome": outcome,
        "exit_code": preview.exit_code(),
    })
}

fn hosts_json(hosts: &[(HostId, String)]) -> Vec<Value> {
    hosts.iter().map(|(host, reason)| json!({ "host": host, "reason": reason })).collect()
}

fn migration_json(ahead: &MigrationAhead) -> Value {
    match ahead {
        MigrationAhead::NotNeeded => json!({ "is": "not_needed", "hosts": [] }),
        MigrationAhead::Done => json!({ "is": "done", "hosts": [] }),
        MigrationAhead::NotReached => json!({ "is": "not_reached", "hosts": [] }),
        MigrationAhead::Runs { per, hosts } => json!({ "is": "runs", "per": per, "hosts": hosts }),
    }
}

fn wave_json(wave: &Wave) -> Value {
    json!({
        "wave": wave.number,
        "canary": wave.canary,
        "turns": wave.turns.iter().map(|turn| json!({
            "out": turn.out,
            "hosts": turn.hosts.iter().map(|going| json!({ "host": going.host, "sick": going.sick })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "waiting": wave.waiting,
        "soak_ms": wave.soak.as_millis(),
    })
}

#[cfg(test)]
mod tests {
    use model::{Release, Revision};

    use super::*;

    fn preview(hosts: usize, end: End) -> PushPreview {
        let host = |number: usize| -> HostId { format!("h{number}").parse().unwrap() };
        let turn =
            |number: usize| Turn { hosts: vec![Going { host: host(number), sick: number == 1 }], out: 1 };
        let canary = Wave {
            number: 0,
            canary: true,
            turns: vec![turn(1)],
            soak: Duration::from_secs(90),
            ..Wave::default()
        };
        let rest = Wave { number: 1, turns: (2..=hosts).map(turn).collect(), ..Wave::default() };
        PushPreview {
            answered_by: host(1),
            revision: Revision(7),
            ahead: Ahead {
                service: "web".parse().unwrap(),
                release: Release { id: "r2".parse().unwrap(), source: "/r2".into(), migrates: true },
                start: Start::Now,
                replaces: None,
                max_unavailable: 1,
                out: vec![(host(1), "silent".into())],
                busy: Vec::new(),
                there: Vec::new(),
                fetch: vec![host(1), host(2)],
                migration: MigrationAhead::Runs { per: MigratePer::Fleet, hosts: vec![host(1)] },
                waves: vec![canary, rest],
                left_out: vec![(host(9), "excluded by ann".into())],
                end,
            },
            holds: vec![HoldStatus {
                name: "budget_spent".into(),
                text: "as many hosts are out as may be (1): h9: silent".into(),
                ends_when: "a host is back".into(),
                lasted: Duration::ZERO,
                ends_in: None,
                host: None,
                rollout: None,
            }],
            troubles: vec![(host(2), "throttled".into())],
        }
    }

    #[test]
    fn people_see_who_goes_when_and_what_stands_against_it() {
        let text = text(&preview(3, End::Held), Paint { colored: false });
        assert_eq!(
            text,
            "r2 to web: would begin at once\n\
             \x20 release         r2\n\
             \x20 out now         h1 (silent)\n\
             \x20 fetch it        h1, h2\n\
             \x20 migration       bin/migrate would run once, on h1\n\
             \x20 wave 0 (canary) h1 (out already)         1 of 1 out\n\
             \x20                 then 90 s in service before the next wave\n\
             \x20 wave 1          h2                       1 of 1 out\n\
             \x20                 h3                       1 of 1 out\n\
             \x20 left out        h9 (excluded by ann)\n\
             \x20 against it: as many hosts are out as may be (1): h9: silent\n\
             \x20             until a host is back\n\
             \x20 note: h2 says: throttled\n\
             would wait there: nothing that is known ends that by itself\n\
             a dry run: nothing was changed"
        );
    }

    #[test]
    fn a_large_fleet_is_summed_up_for_people_and_whole_for_programs() {
        let preview = preview(300, End::Over(Outcome::Completed));
        let text = text(&preview, Paint { colored: false });
        assert!(text.contains("and 287 turns more like these"), "{text}");
        assert!(text.lines().count() < 40, "{text}");
        let json = json(&preview);
        assert_eq!(json["waves"][1]["turns"].as_array().unwrap().len(), 299);
        assert_eq!((&json["exit_code"], &json["end"]), (&json!(0), &json!("over")));
    }
}
