//! Lines for people.

use std::{fmt::Write as _, time::Duration};

use api::view::{Ended, History, HostFailure, Pushed, SeenEvent, Verdict};
use model::{
    ReleaseId, ServiceName,
    fleet::{Outcome, RolloutKind},
    time::WallTime,
};

use super::{
    lists,
    paint::{Paint, pad},
    table::Table,
};

/// Lines of a failed process's output that are shown.
const TAIL_LINES: usize = 15;

/// Where the sentence of an event begins.
pub(crate) const EVENT_INDENT: usize = 29;

/// Time of day in UTC: "14:03:59.120".
pub(crate) fn clock(at: WallTime) -> String {
    let ms = at.0 % 86_400_000;
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

/// Date and time of day in UTC: "2026-11-21 14:03:59".
pub(crate) fn date(at: WallTime) -> String {
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + Duration::from_millis(at.0))
        .to_string()
        .replace('T', " ")
        .replace('Z', "")
}

/// A time that has passed or is left, short: "9.5 s", "90 s", "3 min 20 s", "2 h 5 min".
pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..=9 => format!("{:.1} s", duration.as_secs_f64()),
        secs @ 10..=119 => format!("{secs} s"),
        secs @ 120..=7199 => format!("{} min {} s", secs / 60, secs % 60),
        secs => format!("{} h {} min", secs / 3600, secs / 60 % 60),
    }
}

/// Enough of a release's name to know it again. A store path has its name and version behind a long hash.
pub(crate) fn short(release: &ReleaseId) -> String {
    const HASH: usize = 32;
    let text = release.as_str();
    if let Some((hash, name)) = text.split_once('-').filter(|(hash, _)| hash.len() == HASH) {
        let name: String = name.chars().take(20).collect();
        return format!("{}-{name}", hash.chars().take(6).collect::<String>());
    }
    let cut = text.char_indices().nth(12).map_or(text.len(), |(at, _)| at);
    text[..cut].to_owned()
}

pub(crate) fn event(event: &SeenEvent, paint: Paint) -> String {
    let host = event.host.as_ref().map_or("", model::HostId::as_str);
    let sentence = match event.kind.as_str() {
        "host_failed" | "quarantined" | "not_staged" => paint.bad(&event.text),
        "host_settled" | "rollout_ended" => paint.good(&event.text),
        "rollout_moved" | "rollout_began" | "wave_started" => paint.strong(&event.text),
        _ => event.text.clone(),
    };
    let rollout = event.rollout.map(|rollout| rollout.to_string()).unwrap_or_default();
    let mut line = format!(
        "{}  {} {} {sentence}",
        paint.faint(&clock(event.at)),
        paint.faint(&pad(&rollout, 5)),
        pad(host, 8)
    );
    line.push_str(&tail(&event.tail, paint));
    line
}

pub(super) fn tail(text: &str, paint: Paint) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    shown.iter().fold(String::new(), |mut out, line| {
        let _ = write!(out, "\n      {} {line}", paint.faint("│"));
        out
    })
}

pub(crate) fn begun(service: &ServiceName, pushed: &Pushed, waits: bool) -> String {
    let release = pushed.release.as_ref().map(|release| format!(": {}", release.id)).unwrap_or_default();
    let word = if pushed.joined { "joined" } else { "accepted as" };
    let hint = if waits {
        String::new()
    } else {
        format!("\nfollow it with `deployinator watch {} --service {service}`", pushed.rollout)
    };
    format!("{word} rollout {} of {service}{release}{hint}", pushed.rollout)
}

pub(crate) fn ended(ended: &Ended, paint: Paint) -> String {
    let word = ended.verdict.word();
    let word = if ended.verdict.exit_code() == 0 { paint.good(word) } else { paint.bad(word) };
    let mut text = format!("\n{} {word}", paint.strong(&format!("rollout {}", ended.rollout)));
    if let Verdict::Over(Outcome::Superseded { by }) = &ended.verdict {
        let _ = write!(text, " by {by}");
    }
    if !ended.reason.is_empty() {
        let _ = write!(text, ": {}", ended.reason);
    }
    if let Some((rollback, verdict)) = &ended.rollback {
        let how = verdict.as_ref().map_or("under way", Verdict::word);
        let _ = write!(text, "\n  roll back {rollback}: {how}");
    }
    for failure in &ended.failures {
        let _ = write!(text, "\n{}", failed(failure, paint));
    }
    if !ended.next.is_empty() {
        let _ = write!(text, "\n  next: {}", ended.next);
    }
    let _ = write!(text, "\n  {}", paint.faint(&format!("exit code {}", ended.verdict.exit_code())));
    text
}

pub(crate) fn failed(failure: &HostFailure, paint: Paint) -> String {
    let HostFailure { host, failure, .. } = failure;
    format!("  {host} failed while {}: {}{}", failure.phase, failure.reason, tail(&failure.tail, paint))
}

pub(crate) fn history(history: &History, paint: Paint) -> String {
    let mut text = lists::stale(history.stale.as_ref(), history.answered_by.as_ref(), paint);
    if history.rollouts.is_empty() {
        text.push_str("no rollout yet");
        return text;
    }
    let mut table = Table::new(["", "began (UTC)", "why", "release", "state", "by"]);
    for rollout in &history.rollouts {
        let why = match rollout.kind {
            RolloutKind::Push => "push".to_owned(),
            RolloutKind::RollbackOf { rollout, aborted: false } => format!("roll back of {rollout}"),
            RolloutKind::RollbackOf { rollout, aborted: true } => format!("abort of {rollout}"),
            RolloutKind::Rollback => "roll back".to_owned(),
            RolloutKind::Restart => "restart".to_owned(),
        };
        let release =
            rollout.target.as_ref().map_or_else(|| "nothing".to_owned(), |release| short(&release.id));
        let state = rollout.phase.word();
        let state = match rollout.outcome() {
            Some(outcome) if outcome.exit_code() == 0 => paint.good(state),
            Some(_) => paint.bad(state),
            None => paint.busy(state),
        };
        let by = &rollout.by;
        let by = if by.reason.is_empty() { by.name.clone() } else { format!("{}: {}", by.name, by.reason) };
        let from = &rollout.provenance;
        let by = if from.is_empty() { by } else { format!("{by}, from {from}") };
        table.row([rollout.id.to_string(), date(rollout.began), why, release, state, by]);
    }
    text + &table.text(paint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_utc() {
        assert_eq!(clock(WallTime(86_400_000 + 3_723_004)), "01:02:03.004");
        assert_eq!(date(WallTime(0)), "1970-01-01 00:00:00");
    }

    #[test]
    fn a_release_is_known_by_the_beginning_of_its_hash_and_its_name() {
        let shown = |id: &str| short(&id.parse().unwrap());
        assert_eq!(shown("dir-0123456789abcdef"), "dir-01234567");
        assert_eq!(shown("mxgjd2a4zyan9szh09sv6kyxp21zyv6h-web-1.2"), "mxgjd2-web-1.2");
        let long = format!("mxgjd2a4zyan9szh09sv6kyxp21zyv6h-{}", "n".repeat(40));
        assert_eq!(shown(&long), format!("mxgjd2-{}", "n".repeat(20)));
    }

    #[test]
    fn only_the_end_of_a_long_output_is_shown() {
        let long: String = (0..40).map(|n| format!("line {n}\n")).collect();
        let shown = tail(&long, Paint { colored: false });
        assert_eq!(shown.lines().count(), TAIL_LINES + 1);
        assert!(shown.ends_with("line 39"), "{shown}");
    }
}
