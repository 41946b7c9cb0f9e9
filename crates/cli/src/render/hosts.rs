//! The hosts of a service: a line each, or one for all that are alike where there are many.

use std::fmt::Write as _;

use api::view::{ChangeStatus, HostFailure, HostStatus, ServiceStatus};
use model::{
    HostId, ReleaseId, StageProgress,
    fleet::{Availability, Operator, PartState, PhaseKind, RolloutPhase},
};

use super::{
    health,
    paint::{Paint, columns, pad, wrap},
    status::How,
    text::{failed, seconds, short},
};

/// The steps of a change, as marks.
const STEPS: [PhaseKind; 6] = [
    PhaseKind::Draining,
    PhaseKind::Stopping,
    PhaseKind::Starting,
    PhaseKind::Probing,
    PhaseKind::Joining,
    PhaseKind::Soaking,
];

/// More hosts than these are told in groups where they can be.
const FOLD_ABOVE: usize = 12;
/// So many hosts make a group.
const ALIKE: usize = 3;
/// Hosts of a group that are named.
const NAMED: usize = 4;

/// A line, and who it is about.
struct Line<'a> {
    hosts: Vec<&'a HostStatus>,
    name: String,
    text: String,
}

pub(super) fn lines(service: &ServiceStatus, how: How, text: &mut String) {
    let lines = folded(service, how);
    let width = lines.iter().map(|line| columns(&line.name)).max().unwrap_or(0);
    for line in &lines {
        let told = format!("  {}  {}", pad(&line.name, width), line.text);
        let _ = writeln!(text, "{}", wrap(told.trim_end(), how.width, width + 13));
        let [host] = line.hosts[..] else { continue };
        if !how.whole {
            continue;
        }
        let all = how.all || service.hosts.len() <= FOLD_ABOVE;
        if let Some(health) = health::line(host, all, how.paint) {
            let _ = writeln!(text, "{}", wrap(&format!("    {health}"), how.width, 6));
        }
        if let Some(failure) = &host.last_failure {
            let _ = writeln!(text, "{}", wrap(&failure_words(service, failure, how.paint), how.width, 6));
        }
    }
}

/// Hosts in one state share a line: those that wait or are done would push off the screen those that something happens to.
fn folded(service: &ServiceStatus, how: How) -> Vec<Line<'_>> {
    let target = service.active.as_ref().and_then(|active| active.target.as_ref()).map(|target| &target.id);
    let mut lines: Vec<Line<'_>> = Vec::new();
    let folds = !how.all && FOLD_ABOVE < service.hosts.len();
    for host in &service.hosts {
        let text = host_words(host, target, how.paint);
        let plain = host.last_failure.is_none() && health::line(host, false, how.paint).is_none();
        let quiet = host.change.is_none() && (plain || !how.whole);
        let alike =
            lines.iter_mut().find(|line| folds && quiet && line.text == text && is_quiet(line.hosts[0]));
        match alike {
            Some(line) => line.hosts.push(host),
            None => lines.push(Line { hosts: vec![host], name: host.host.to_string(), text }),
        }
    }
    let mut told = Vec::new();
    for mut line in lines {
        if line.hosts.len() < ALIKE {
            let text = line.text;
            let one = |host| Line {
                hosts: vec![host],
                name: host_name(host),
                text: format!("{text}{}", staging_words(&[host], how.paint)),
            };
            told.extend(line.hosts.into_iter().map(one));
            continue;
        }
        line.name = format!("{} hosts", line.hosts.len());
        let names: Vec<&str> = line.hosts.iter().take(NAMED).map(|host| host.host.as_str()).collect();
        let more = line.hosts.len().saturating_sub(NAMED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let names = how.paint.faint(&format!("{}{more}", names.join(", ")));
        line.text = format!("{}{}  {names}", line.text, staging_words(&line.hosts, how.paint));
        told.push(line);
    }
    told
}

fn is_quiet(host: &HostStatus) -> bool {
    host.change.is_none()
}

fn host_name(host: &HostStatus) -> String {
    HostId::to_string(&host.host)
}

/// What is said of a host, but for its name.
fn host_words(host: &HostStatus, target: Option<&ReleaseId>, paint: Paint) -> String {
    let availability = match host.availability {
        Availability::In => paint.good("in"),
        Availability::Out => paint.bad("out"),
        Availability::Unknown => paint.bad("unknown"),
    };
    let current = host.current.as_ref().map(|release| &release.id);
    let release = current.map_or_else(|| "-".to_owned(), short);
    let mut parts = vec![pad(&availability, 7), pad(&release, 12)];
    parts.extend(doing(host, target, paint));
    parts.extend(host.silent.map(|silent| paint.bad(&format!("silent for {}", seconds(silent)))));
    if let Some(trouble) = &host.stage_trouble {
        parts.push(paint.bad(&format!("not staged: {trouble}")));
    }
    if !host.trouble.is_empty() {
        parts.push(paint.bad(&host.trouble));
    } else if !host.waits_for.is_empty() && !is_parked(host) {
        parts.push(paint.faint(&format!("waits for {}", host.waits_for)));
    }
    parts.join("  ").trim_end().to_owned()
}

/// "staging 12 of 40 paths, 80.0 of 200.0 MB", of all of them together; what is not known is left out.
fn staging_words(hosts: &[&HostStatus], paint: Paint) -> String {
    let staging = hosts.iter().filter_map(|host| host.staging.as_ref()).map(|staging| staging.progress);
    let Some(StageProgress { paths_done, paths, bytes_done, bytes }) = staging.reduce(|a, b| StageProgress {
        paths_done: a.paths_done + b.paths_done,
        paths: a.paths + b.paths,
        bytes_done: a.bytes_done + b.bytes_done,
        bytes: a.bytes + b.bytes,
    }) else {
        return String::new();
    };
    let paths = (paths != 0).then(|| format!("{paths_done} of {paths} paths"));
    let bytes = (bytes != 0).then(|| {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        format!("{:.1} of {:.1} MB", megabytes(bytes_done), megabytes(bytes))
    });
    let told: Vec<String> = paths.into_iter().chain(bytes).collect();
    format!("  {}", paint.busy(format!("staging {}", told.join(", ")).trim_end()))
}

fn is_parked(host: &HostStatus) -> bool {
    host.change.as_ref().is_some_and(|change| change.phase == PhaseKind::Parked)
}

/// What a host does, or why it does nothing.
fn doing(host: &HostStatus, target: Option<&ReleaseId>, paint: Paint) -> Option<String> {
    if let Some(by) = &host.excluded {
        let ends = format!("`deployinator hosts include {}` ends that", host.host);
        return Some(format!("{}; {ends}", paint.busy(&said("excluded", by))));
    }
    let current = host.current.as_ref().map(|release| &release.id);
    let words = match &host.change {
        Some(change) if change.phase == PhaseKind::Parked => {
            let by = host.parked.clone().unwrap_or_default();
            let ends = format!("`deployinator hosts admit {}` ends that", host.host);
            format!("{}, {}; {ends}", paint.busy(&said("drained", &by)), since(change))
        }
        Some(change) => change_words(change, paint),
        None if host.parked.is_some() => {
            let by = host.parked.clone().unwrap_or_default();
            paint.busy(&said("to be drained", &by))
        }
        None if host.part == Some(PartState::Failed) => paint.bad("failed"),
        None if target.is_some() && host.part == Some(PartState::Pending) => {
            paint.faint("waits for its turn")
        }
        None if target.is_some() && target == current => paint.good("done"),
        None => return None,
    };
    Some(words)
}

fn said(what: &str, by: &Operator) -> String {
    let reason = if by.reason.is_empty() { String::new() } else { format!(": {}", by.reason) };
    format!("{what} by {}{reason}", by.name)
}

fn since(change: &ChangeStatus) -> String {
    if change.since.is_zero() { "just now".to_owned() } else { format!("for {}", seconds(change.since)) }
}

fn change_words(change: &ChangeStatus, paint: Paint) -> String {
    let to = change.to.as_ref().map_or_else(|| "nothing".to_owned(), |release| short(&release.id));
    let at = STEPS.iter().position(|step| *step == change.phase);
    let mark = |at: usize, step: usize| match step.cmp(&at) {
        std::cmp::Ordering::Less => '●',
        std::cmp::Ordering::Equal => '◐',
        std::cmp::Ordering::Greater => '○',
    };
    let marks = at.map(|at| format!(" {}", (0..STEPS.len()).map(|step| mark(at, step)).collect::<String>()));
    let phase = match change.phase {
        PhaseKind::Reverting | PhaseKind::Stuck | PhaseKind::Aborting => paint.bad(change.phase.word()),
        _ => paint.busy(change.phase.word()),
    };
    let since = if change.since.is_zero() { String::new() } else { format!(" {}", seconds(change.since)) };
    format!("→ {to}{} {phase}{since}", marks.unwrap_or_default())
}

/// The end of the output is worth its lines while somebody has to decide about it; after that one line is enough.
fn failure_words(service: &ServiceStatus, failure: &HostFailure, paint: Paint) -> String {
    let active = service.active.as_ref();
    let target = active.and_then(|active| active.target.as_ref()).map(|target| &target.id);
    let halted = active.is_some_and(|active| matches!(active.phase, RolloutPhase::Halted { .. }));
    if halted || (failure.release.is_some() && failure.release.as_ref() == target) {
        return format!("  {}", failed(failure, paint));
    }
    let release = failure.release.as_ref().map_or_else(|| "a release".to_owned(), short);
    let (phase, reason) = (failure.failure.phase, &failure.failure.reason);
    paint.faint(&format!("    {release} failed here before, while {phase}: {reason}"))
}

#[cfg(test)]
mod tests;
