//! The status: for `status`, and as the picture of a watch.

use std::fmt::Write as _;

use api::view::{ChannelStatus, ServiceStatus, Status};
use model::{
    HostId, ServiceName,
    fleet::{MigrationState, PartState, Rollout, RolloutKind},
};

use super::{
    holds, hosts, lists,
    paint::{Paint, wrap},
    text::{date, short},
};

/// Releases in quarantine that are told, the newest first; they are kept for good.
const QUARANTINES: usize = 3;

/// How a status is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    pub(crate) paint: Paint,
    /// Columns of the terminal, which longer lines are wrapped to; none in a pipe.
    pub(crate) width: Option<usize>,
    /// A line for each host, however many there are.
    pub(crate) all: bool,
    /// With everything that helps to decide; else so that it fits the end of a screen.
    pub(crate) whole: bool,
}

pub(crate) fn status(status: &Status, how: How) -> String {
    let paint = how.paint;
    let leader = status.leader.as_ref().map_or("no leader", HostId::as_str);
    let mut text =
        format!("cluster {}  leader {leader}  revision {}\n", paint.strong(&status.cluster), status.revision);
    text.push_str(&lists::stale(status.stale.as_ref(), Some(&status.answered_by), paint));
    for service in &status.services {
        let _ = write!(text, "\n{}", one(service, how));
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
    // Longer lines are cut by whoever draws it.
    let how = How { paint, width: None, all: false, whole: false };
    found.map(|service| format!("{stale}{}", one(service, how))).unwrap_or(stale)
}

fn one(service: &ServiceStatus, how: How) -> String {
    let mut text = headline(service, how.paint);
    if how.whole {
        details(service, how, &mut text);
    }
    hosts::lines(service, how, &mut text);
    holds::lines(service, how, &mut text);
    text
}

fn headline(service: &ServiceStatus, paint: Paint) -> String {
    let name = paint.strong(service.service.as_str());
    let completed =
        service.completed.as_ref().map_or_else(|| "nothing".to_owned(), |release| short(&release.id));
    let Some(active) = &service.active else { return format!("{name}  steady on {completed}\n") };
    let (done, all) = progress(active);
    let phase = paint.busy(active.phase.word());
    let paused = if active.paused.is_some() { paint.bad(" paused") } else { String::new() };
    let next = service.next.as_ref().map(|next| format!("  next {} {}", next.id, next.phase));
    let (what, next) = (moves(active, &completed), next.unwrap_or_default());
    format!("{name}  {} {what}  {phase}{paused}  {done} of {all} hosts{next}\n", active.id)
}

/// Where a rollout goes from, to, and why.
fn moves(rollout: &Rollout, completed: &str) -> String {
    let target = rollout.target.as_ref().map_or_else(|| "nothing".to_owned(), |release| short(&release.id));
    match rollout.kind {
        RolloutKind::Push => format!("{completed} → {target}"),
        RolloutKind::Rollback => format!("{completed} → {target} (roll back)"),
        RolloutKind::RollbackOf { rollout, aborted: false } => format!("takes {rollout} back to {target}"),
        RolloutKind::RollbackOf { rollout, aborted: true } => {
            format!("takes {rollout}, which was aborted, back to {target}")
        }
        RolloutKind::Restart => format!("restarts {target}"),
    }
}

pub(super) fn progress(rollout: &Rollout) -> (usize, usize) {
    let counted = rollout.parts.values().filter(|part| part.state != PartState::Dropped);
    (counted.clone().filter(|part| part.state == PartState::Changed).count(), counted.count())
}

/// One line about the channel that is followed.
fn channel_line(channel: &ChannelStatus, how: How) -> String {
    let ChannelStatus { url, release, refused, trouble } = channel;
    if let Some(why) = trouble {
        return how.paint.bad(&format!("channel {url} cannot be read: {why}"));
    }
    match (refused, release) {
        (Some(why), _) => how.paint.bad(&format!("channel {url}: not pushed: {why}")),
        (None, Some(release)) => format!("channel {url}: {release}"),
        (None, None) => format!("channel {url}: nothing yet"),
    }
}

fn details(service: &ServiceStatus, how: How, text: &mut String) {
    let paint = how.paint;
    let mut line = |line: &str| {
        let _ = writeln!(text, "{}", wrap(&format!("  {line}"), how.width, 6));
    };
    if let Some(active) = &service.active {
        let reason =
            if active.by.reason.is_empty() { String::new() } else { format!(": {}", active.by.reason) };
        line(&paint.faint(&format!("since {} UTC, by {}{reason}", date(active.began), active.by.name)));
        if !active.provenance.is_empty() {
            line(&paint.faint(&format!("from {}", active.provenance)));
        }
    }
    let holders: Vec<&str> = service.slots.holders.iter().map(HostId::as_str).collect();
    let held = if holders.is_empty() { "free".to_owned() } else { format!("held by {}", holders.join(", ")) };
    line(&format!("slots: {} ({held})", service.slots.limit));
    for known in &service.migrations {
        match known.state {
            MigrationState::Succeeded | MigrationState::NotNeeded | MigrationState::Never => (),
            MigrationState::Running { .. } => line(&paint.busy(&lists::migration_line(known))),
            MigrationState::Failed { .. } | MigrationState::Unknown { .. } => {
                line(&paint.bad(&lists::migration_line(known)));
            }
        }
    }
    let mut quarantine: Vec<_> = service.quarantine.iter().collect();
    quarantine.sort_by_key(|kept| std::cmp::Reverse(kept.rollout));
    for kept in quarantine.iter().take(QUARANTINES) {
        line(&format!("{} {}: {}", paint.bad("quarantined"), kept.release, kept.reason));
    }
    let more = quarantine.len().saturating_sub(QUARANTINES);
    if 0 < more {
        line(&format!("and {more} more: `deployinator quarantine list --service {}`", service.service));
    }
    if let Some(channel) = &service.channel {
        line(&channel_line(channel, how));
    }
    if service.mixed {
        line(&paint.busy("an operator left the fleet mixed; push the release that all hosts shall run"));
    }
}
