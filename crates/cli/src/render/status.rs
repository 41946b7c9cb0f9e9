//! The status: for `status`, and as the picture of a watch.

use std::{collections::BTreeMap, fmt::Write as _};

use api::view::{ChangeStatus, HoldStatus, HostStatus, ServiceStatus, Status};
use model::{
    ReleaseId, ServiceName,
    fleet::{Availability, MigrationState, PartState, PhaseKind, Rollout},
};

use super::{
    lists,
    paint::{Paint, pad},
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

/// A watched fleet of more hosts than this is told in groups where it can be.
const FOLD_FROM: usize = 10;
/// So many hosts make a group.
const ALIKE: usize = 3;

pub(crate) fn status(status: &Status, paint: Paint) -> String {
    let leader = status.leader.as_ref().map_or("no leader", model::HostId::as_str);
    let mut text =
        format!("cluster {}  leader {leader}  revision {}\n", paint.strong(&status.cluster), status.revision);
    text.push_str(&lists::stale(status.stale.as_ref(), Some(&status.answered_by), paint));
    for service in &status.services {
        let _ = write!(text, "\n{}", one(service, paint, true));
    }
    if status.services.is_empty() {
        text.push_str("no service\n");
    }
    text
}

/// The picture of a watch.
pub(crate) fn watched(status: &Status, service: &ServiceName, paint: Paint) -> String {
    let found = status.services.iter().find(|found| found.service == *service);
    let stale = lists::stale(status.stale.as_ref(), Some(&status.answered_by), paint);
    found.map(|service| format!("{stale}{}", one(service, paint, false))).unwrap_or(stale)
}

fn one(service: &ServiceStatus, paint: Paint, whole: bool) -> String {
    let mut text = headline(service, paint);
    if whole {
        details(service, paint, &mut text);
    }
    let target = service.active.as_ref().and_then(|active| active.target.as_ref()).map(|target| &target.id);
    let lines = service.hosts.iter().map(|host| host_line(host, target, paint));
    let lines: Vec<(&HostStatus, String)> = service.hosts.iter().zip(lines).collect();
    let alike = if whole { BTreeMap::new() } else { alike(&lines) };
    for (line, count) in &alike {
        let _ = writeln!(text, "  {} {line}", pad(&format!("{count} hosts"), 8));
    }
    for (host, line) in lines.iter().filter(|(_, line)| !alike.contains_key(line.as_str())) {
        let _ = writeln!(text, "  {}", format!("{} {line}", pad(host.host.as_str(), 8)).trim_end());
        if let Some(failure) = host.last_failure.as_ref().filter(|_| whole) {
            let _ = writeln!(text, "  {}", failed(failure, paint));
        }
    }
    for hold in &service.holds {
        let _ = writeln!(text, "  {}", hold_line(hold, paint, whole));
    }
    text
}

/// What so many hosts of a large fleet have in common that one line tells of them all: a picture must fit a screen, and those that wait or
/// are done would push off it those that something happens to.
fn alike<'a>(lines: &'a [(&HostStatus, String)]) -> BTreeMap<&'a str, usize> {
    let mut alike = BTreeMap::new();
    if lines.len() <= FOLD_FROM {
        return alike;
    }
    for (_, line) in lines.iter().filter(|(host, _)| host.change.is_none()) {
        *alike.entry(line.as_str()).or_insert(0) += 1;
    }
    alike.retain(|_, count| ALIKE <= *count);
    alike
}

fn headline(service: &ServiceStatus, paint: Paint) -> String {
    let name = paint.strong(service.service.as_str());
    let completed =
        service.completed.as_ref().map_or_else(|| "nothing".to_owned(), |release| short(&release.id));
    match &service.active {
        None => format!("{name}  steady on {completed}\n"),
        Some(active) => {
            let target =
                active.target.as_ref().map_or_else(|| "nothing".to_owned(), |release| short(&release.id));
            let (done, all) = progress(active);
            let phase = paint.busy(active.phase.word());
            let paused = if active.paused.is_some() { paint.bad(" paused") } else { String::new() };
            let next = service
                .next
                .as_ref()
                .map(|next| format!("  next {} {}", next.id, next.phase))
                .unwrap_or_default();
            format!(
                "{name}  {} {completed} → {target}  {phase}{paused}  {done} of {all} hosts{next}\n",
                active.id
            )
        }
    }
}

fn progress(rollout: &Rollout) -> (usize, usize) {
    let counted = rollout.parts.values().filter(|part| part.state != PartState::Dropped);
    (counted.clone().filter(|part| part.state == PartState::Changed).count(), counted.count())
}

fn details(service: &ServiceStatus, paint: Paint, text: &mut String) {
    let holders: Vec<&str> = service.slots.holders.iter().map(model::HostId::as_str).collect();
    let held = if holders.is_empty() { "free".to_owned() } else { format!("held by {}", holders.join(", ")) };
    let _ = writeln!(text, "  slots: {} ({held})", service.slots.limit);
    for migration in &service.migrations {
        if !matches!(migration.state, MigrationState::Succeeded | MigrationState::NotNeeded) {
            let host = migration.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
            let _ = writeln!(text, "  migration of {}{host}: {}", migration.release, migration.state);
        }
    }
    for quarantine in &service.quarantine {
        let _ =
            writeln!(text, "  {} {}: {}", paint.bad("quarantined"), quarantine.release, quarantine.reason);
    }
    if service.mixed {
        let _ = writeln!(text, "  {}", paint.busy("an operator left the fleet mixed"));
    }
}

fn host_line(host: &HostStatus, target: Option<&ReleaseId>, paint: Paint) -> String {
    let availability = match host.availability {
        Availability::In => paint.good("in     "),
        Availability::Out => paint.bad("out    "),
        Availability::Unknown => paint.bad("unknown"),
    };
    let current = host.current.as_ref().map(|release| &release.id);
    let release = current.map_or_else(|| "-".to_owned(), short);
    let what = match &host.change {
        Some(change) => change_words(change, paint),
        None if host.excluded.is_some() => paint.busy("excluded"),
        None if target.is_some() && host.part == Some(PartState::Pending) => {
            paint.faint("waits for its turn")
        }
        None if host.part == Some(PartState::Failed) => paint.bad("failed"),
        None if target.is_some() && target == current => paint.good("done"),
        None => String::new(),
    };
    let said = if host.trouble.is_empty() { &host.waits_for } else { &host.trouble };
    let note = match (&host.stage_trouble, said.is_empty()) {
        (Some(trouble), _) => paint.bad(&format!("  not staged: {trouble}")),
        (None, false) => paint.faint(&format!("  {said}")),
        (None, true) => String::new(),
    };
    format!("{availability} {} {what}{note}", pad(&release, 13)).trim_end().to_owned()
}

fn change_words(change: &ChangeStatus, paint: Paint) -> String {
    let to = change.to.as_ref().map_or_else(|| "nothing".to_owned(), |release| short(&release.id));
    let at = STEPS.iter().position(|step| *step == change.phase);
    let marks: String = match at {
        Some(at) => (0..STEPS.len())
            .map(|step| {
                if step < at {
                    '●'
                } else if step == at {
                    '◐'
                } else {
                    '○'
                }
            })
            .collect(),
        None => String::new(),
    };
    let phase = match change.phase {
        PhaseKind::Reverting | PhaseKind::Stuck | PhaseKind::Aborting => paint.bad(change.phase.word()),
        _ => paint.busy(change.phase.word()),
    };
    let since = if change.since.is_zero() { String::new() } else { format!(" {}", seconds(change.since)) };
    format!("→ {to} {marks} {phase}{since}")
}

fn hold_line(hold: &HoldStatus, paint: Paint, whole: bool) -> String {
    let ends = hold.ends_in.map(|ends| format!(", {} left", seconds(ends))).unwrap_or_default();
    let line = format!("{} {} ({}{ends})", paint.busy("waits:"), hold.text, seconds(hold.lasted));
    if whole { format!("{line}\n         until {}", hold.ends_when) } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> HostStatus {
        let fleet = api::v1::HostStatus {
            host: name.into(),
            address: "127.0.0.1:7100".into(),
            availability: api::v1::Availability::In.into(),
            counted: true,
            ..Default::default()
        };
        HostStatus::try_from(fleet).unwrap()
    }

    #[test]
    fn a_large_fleet_is_told_in_groups_and_whoever_differs_by_name() {
        let line = |host: &HostStatus| host_line(host, None, Paint { colored: false });
        let mut hosts: Vec<HostStatus> = (1..=11).map(|number| host(&format!("h{number}"))).collect();
        hosts[4].availability = Availability::Out;
        let lines: Vec<(&HostStatus, String)> = hosts.iter().map(|host| (host, line(host))).collect();
        let quiet = line(&hosts[0]);
        assert_eq!(alike(&lines), BTreeMap::from([(quiet.as_str(), 10)]));
        assert_eq!(alike(&lines[..FOLD_FROM]), BTreeMap::new(), "a small fleet is told host by host");
    }
}
