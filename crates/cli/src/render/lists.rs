//! What is listed for people: hosts, migrations, quarantines, the cluster.

use std::fmt::Write as _;

use api::view::{ClusterView, HostStatus, MigrationStatus, ServiceStatus, Stale, Status};
use model::{
    HostId,
    fleet::{Availability, MigrationState, PhaseKind},
};

use super::{
    paint::Paint,
    table::Table,
    text::{seconds, short, tail},
};

/// What is put before an answer that may be old.
pub(super) fn stale(stale: Option<&Stale>, answered_by: Option<&HostId>, paint: Paint) -> String {
    let Some(stale) = stale else { return String::new() };
    let who = answered_by.map(|who| format!(", as {who} knew it last")).unwrap_or_default();
    let mut text = format!("{}\n", paint.bad(&format!("STALE{who}: {}", stale.reason)));
    if !stale.missing.is_empty() {
        let missing: Vec<&str> = stale.missing.iter().map(HostId::as_str).collect();
        let _ = writeln!(text, "  missing: {}", missing.join(", "));
    }
    text
}

pub(super) fn hosts(cluster: &ClusterView, status: &Status, paint: Paint) -> String {
    let mut text = stale(cluster.stale.as_ref(), Some(&cluster.answered_by), paint);
    let mut table = Table::new(["host", "address", "zone", "role", "heard of", "level", "services"]);
    // The fleet goes by what all of them know: whoever knows less holds the others back.
    let newest = cluster.hosts.iter().map(|host| host.level).max().unwrap_or_default();
    for host in &cluster.hosts {
        let heard = match host.quiet {
            Some(quiet) if cluster.silent.contains(&host.host) => {
                paint.bad(&format!("silent for {}", seconds(quiet)))
            }
            Some(_) => paint.good("yes"),
            None if cluster.stale.is_some() => "unknown".to_owned(),
            None => paint.bad("never by this leader"),
        };
        let services: Vec<String> =
            status.services.iter().filter_map(|service| on_host(service, &host.host, paint)).collect();
        let level =
            if host.level < newest { paint.bad(&host.level.to_string()) } else { host.level.to_string() };
        table.row([
            host.host.to_string(),
            host.address.clone(),
            host.zone.clone().unwrap_or_else(|| "-".into()),
            cluster.role_of(&host.host).to_owned(),
            heard,
            level,
            if services.is_empty() { "-".into() } else { services.join("; ") },
        ]);
    }
    text.push_str(&table.text(paint));
    text
}

fn on_host(service: &ServiceStatus, host: &HostId, paint: Paint) -> Option<String> {
    let found = service.hosts.iter().find(|found| found.host == *host)?;
    Some(format!("{} {}", service.service, stands(found, paint)))
}

/// A host of a service in a few words: availability, release, and what is special about it.
fn stands(host: &HostStatus, paint: Paint) -> String {
    let availability = match host.availability {
        Availability::In => paint.good("in"),
        Availability::Out => paint.bad("out"),
        Availability::Unknown => paint.bad("unknown"),
    };
    let release = host.current.as_ref().map_or_else(|| "nothing".to_owned(), |release| short(&release.id));
    let mut text = format!("{availability} {release}");
    let is_parked = host.change.as_ref().is_some_and(|change| change.phase == PhaseKind::Parked);
    if let Some(change) = host.change.as_ref().filter(|_| !is_parked) {
        let _ = write!(text, ", {}", paint.busy(change.phase.word()));
    }
    if let Some(by) = &host.excluded {
        let _ = write!(text, ", {}", paint.busy(&format!("excluded by {}: {}", by.name, by.reason)));
    }
    if let Some(by) = &host.parked {
        let reason = if by.reason.is_empty() { String::new() } else { format!(": {}", by.reason) };
        let drained = if is_parked { "drained" } else { "to be drained" };
        let _ = write!(text, ", {}", paint.busy(&format!("{drained} by {}{reason}", by.name)));
    }
    text
}

/// How a service stands on a host, as a sentence.
pub(crate) fn host_sentence(service: &ServiceStatus, host: &HostStatus) -> String {
    let silent = host.silent.map(|silent| format!(", silent for {}", seconds(silent))).unwrap_or_default();
    format!("{} of {}: {}{silent}", host.host, service.service, stands(host, Paint { colored: false }))
}

/// What is known of a migration, in one line.
pub(crate) fn migration_line(known: &MigrationStatus) -> String {
    let host = known.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
    let state = match &known.state {
        MigrationState::Running { host, started: true } => format!("running on {host}"),
        MigrationState::Running { host, started: false } => format!("granted to {host}, not started yet"),
        MigrationState::Failed { reason, .. } => format!("failed: {reason}"),
        MigrationState::Unknown { host, reason, .. } => {
            format!("unknown on {host}: {reason}")
        }
        state => state.to_string(),
    };
    format!("migration of {}{host}: {state}", known.release)
}

pub(super) fn migrations(status: &Status, paint: Paint) -> String {
    let mut text = stale(status.stale.as_ref(), Some(&status.answered_by), paint);
    let mut any = false;
    for service in &status.services {
        for known in &service.migrations {
            any = true;
            let line = migration_line(known);
            let line = match &known.state {
                MigrationState::Failed { .. } | MigrationState::Unknown { .. } => paint.bad(&line),
                MigrationState::Running { .. } => paint.busy(&line),
                _ => line,
            };
            let _ = writeln!(text, "{}  {line}", paint.strong(service.service.as_str()));
            if let MigrationState::Failed { tail: lines, .. } | MigrationState::Unknown { tail: lines, .. } =
                &known.state
            {
                text.push_str(tail(lines, paint).trim_start_matches('\n'));
                if !lines.is_empty() {
                    text.push('\n');
                }
            }
            if let MigrationState::Unknown { .. } = &known.state {
                let _ = writeln!(
                    text,
                    "  next: find out how it ended, then `deployinator migration resolve {} succeeded|failed|retry --service {} --reason WHY`",
                    known.release, service.service
                );
            }
        }
    }
    if !any {
        text.push_str("no migration is known\n");
    }
    text
}

pub(super) fn quarantine(status: &Status, paint: Paint) -> String {
    let mut text = stale(status.stale.as_ref(), Some(&status.answered_by), paint);
    let kept: Vec<_> = status
        .services
        .iter()
        .flat_map(|service| service.quarantine.iter().map(move |kept| (&service.service, kept)))
        .collect();
    if kept.is_empty() {
        text.push_str("no release is quarantined");
        return text;
    }
    let mut table = Table::new(["service", "release", "in", "why"]);
    for (service, kept) in kept {
        let rollout = kept.rollout.map_or_else(|| "-".to_owned(), |rollout| rollout.to_string());
        table.row([service.to_string(), kept.release.to_string(), rollout, kept.reason.clone()]);
    }
    text.push_str(&table.text(paint));
    text.push_str("\n  next: push a release that works; `deployinator quarantine release RELEASE --service SERVICE --reason WHY` lets one be used again");
    text
}

pub(super) fn cluster(cluster: &ClusterView, paint: Paint) -> String {
    let mut text = stale(cluster.stale.as_ref(), Some(&cluster.answered_by), paint);
    let leader = cluster.leader.as_ref().map_or("no leader", HostId::as_str);
    let voters = cluster.voters.len();
    let _ = writeln!(
        text,
        "cluster {}  leader {leader}  revision {}  level {}",
        paint.strong(&cluster.cluster),
        cluster.revision,
        cluster.fleet_level
    );
    let _ = writeln!(
        text,
        "{voters} voters, of which {} must answer; {} hosts",
        voters / 2 + 1,
        cluster.hosts.len()
    );
    let mut table = Table::new(["host", "role", "address", "node", ""]);
    let learners = cluster.learners.iter();
    for member in cluster.voters.iter().chain(learners) {
        let missing = cluster.stale.as_ref().is_some_and(|stale| stale.missing.contains(&member.host));
        let silent = if missing {
            paint.bad("does not answer")
        } else if cluster.silent.contains(&member.host) {
            paint.bad("silent")
        } else {
            String::new()
        };
        let role = cluster.role_of(&member.host).to_owned();
        table.row([member.host.to_string(), role, member.address.clone(), member.node.clone(), silent]);
    }
    text.push_str(&table.text(paint));
    let followers = cluster.silent.iter().filter(|host| cluster.role_of(host) == "follower");
    let silent: Vec<&str> = followers.map(HostId::as_str).collect();
    if !silent.is_empty() && cluster.stale.is_none() {
        let _ = write!(text, "\n{}", paint.bad(&format!("silent followers: {}", silent.join(", "))));
    }
    text
}
