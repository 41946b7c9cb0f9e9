//! The locks of a service: who holds them, what the holder does, and what would free them.

use std::time::Duration;

use api::view::{HoldStatus, ServiceStatus, Status};
use model::{
    Fence, HostId, ReleaseId, ServiceName,
    fleet::{MigrationState, PhaseKind},
    time::WallTime,
};
use serde_json::{Value, json};

use super::{
    lists,
    paint::Paint,
    table::Table,
    text::{date, seconds, short},
};

/// One lock that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) service: ServiceName,
    /// The migration lock, or else a slot.
    pub(crate) migration: bool,
    pub(crate) holder: HostId,
    pub(crate) fence: Fence,
    /// What the holder goes to, or whose migration it runs.
    pub(crate) release: Option<ReleaseId>,
    pub(crate) since: Option<WallTime>,
    /// What the holder does now, in words.
    pub(crate) does: String,
    /// How long the leader has not heard from the holder, when that is too long.
    pub(crate) silent: Option<Duration>,
    /// What would free it.
    pub(crate) ends_when: String,
}

impl Lock {
    /// What it is, in two words at most.
    pub(super) fn kind(&self) -> &'static str {
        if self.migration { "migration" } else { "slot" }
    }

    /// How it stands, as a sentence.
    pub(crate) fn sentence(&self) -> String {
        let since = self.since.map(|since| format!(" since {} UTC", date(since))).unwrap_or_default();
        let silent = match self.silent {
            Some(silent) => format!("silent for {}", seconds(silent)),
            None => "heard of".to_owned(),
        };
        format!("{} has it{since} (fence {}), {}, and is {silent}", self.holder, self.fence, self.does)
    }
}

/// The locks of a service that are held.
pub(crate) fn locks_of(service: &ServiceStatus) -> Vec<Lock> {
    let silent = |host: &HostId| {
        let found = service.hosts.iter().find(|found| found.host == *host);
        found.and_then(|found| found.silent)
    };
    let ends = |host: &HostId, otherwise: &str| {
        let hold = hold_of(&service.holds, host);
        hold.map_or_else(|| otherwise.to_owned(), |hold| hold.ends_when.clone())
    };
    let migration = service.migration_lock.iter().map(|lock| Lock {
        service: service.service.clone(),
        migration: true,
        holder: lock.host.clone(),
        fence: lock.fence,
        release: Some(lock.release.id.clone()),
        since: lock.granted_at,
        does: migrates(service, &lock.host),
        silent: silent(&lock.host),
        ends_when: ends(&lock.host, "bin/migrate ends, or its deadline passes"),
    });
    let slots = service.hosts.iter().filter_map(|host| {
        let change = host.change.as_ref()?;
        let since = (!change.since.is_zero()).then(|| format!(" for {}", seconds(change.since)));
        Some(Lock {
            service: service.service.clone(),
            migration: false,
            holder: host.host.clone(),
            fence: change.fence,
            release: change.to.as_ref().map(|to| to.id.clone()),
            since: change.granted_at,
            does: format!("{}{}", change.phase, since.unwrap_or_default()),
            silent: host.silent,
            ends_when: match change.phase {
                PhaseKind::Parked => {
                    format!("the maintenance is over: `deployinator hosts admit {}`", host.host)
                }
                _ => ends(&host.host, "its steps end; each has a deadline"),
            },
        })
    });
    migration.chain(slots).collect()
}

/// The hold that says most about a holder.
fn hold_of<'a>(holds: &'a [HoldStatus], host: &HostId) -> Option<&'a HoldStatus> {
    let of_host =
        |name: &&str| holds.iter().find(|hold| hold.name == **name && hold.host.as_ref() == Some(host));
    ["host_silent", "host_stuck", "migrating", "changing"].iter().find_map(of_host)
}

fn migrates(service: &ServiceStatus, holder: &HostId) -> String {
    let running = service.migrations.iter().find_map(|known| match &known.state {
        MigrationState::Running { host, started } if host == holder => Some(*started),
        _ => None,
    });
    match running {
        Some(true) => "runs bin/migrate".to_owned(),
        Some(false) => "has not started bin/migrate".to_owned(),
        None => "holds it".to_owned(),
    }
}

pub(super) fn text(status: &Status, paint: Paint) -> String {
    let locks: Vec<Lock> = status.services.iter().flat_map(locks_of).collect();
    if locks.is_empty() {
        let stale = lists::stale(status.stale.as_ref(), Some(&status.answered_by), paint);
        return format!("{stale}no lock is held");
    }
    let stale = lists::stale(status.stale.as_ref(), Some(&status.answered_by), paint);
    let mut table =
        Table::new(["service", "lock", "holder", "fence", "release", "since (UTC)", "the holder"]);
    for lock in &locks {
        let does = match lock.silent {
            Some(silent) => paint.bad(&format!("{}, silent for {}", lock.does, seconds(silent))),
            None => lock.does.clone(),
        };
        let release = lock.release.as_ref().map_or_else(|| "nothing".to_owned(), short);
        let since = lock.since.map_or_else(|| "-".to_owned(), date);
        table.row([
            lock.service.to_string(),
            lock.kind().to_owned(),
            lock.holder.to_string(),
            lock.fence.to_string(),
            release,
            since,
            does,
        ]);
        table.note(&format!("until {}", lock.ends_when));
    }
    stale + &table.text(paint)
}

pub(super) fn json(status: &Status) -> Value {
    let lock = |lock: Lock| {
        json!({
            "service": lock.service,
            "lock": lock.kind(),
            "holder": lock.holder,
            "fence": lock.fence.to_string(),
            "release": lock.release,
            "since_ms": lock.since.map(|since| since.0),
            "does": lock.does,
            "silent_ms": lock.silent.map(|silent| silent.as_millis()),
            "ends_when": lock.ends_when,
        })
    };
    let locks: Vec<Value> = status.services.iter().flat_map(locks_of).map(lock).collect();
    json!({ "locks": locks, "stale": super::json::stale(status.stale.as_ref()) })
}
