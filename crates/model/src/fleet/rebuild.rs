//! The fleet as one replica knew it, made the beginning of a new cluster after the majority of the old one was lost.
//!
//! What the lost majority had committed and this replica had not seen is not known. So whatever may have happened since is taken as if it
//! had: hosts count as out until they tell otherwise (P1), changes that were granted count as begun (P5), and a migration that may have been
//! started is unknown (P2). New fences are newer than every one that the old cluster can ever have given.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    Fleet,
    command::{Evidence, Operator},
    event::EventKind,
    host::{Availability, PhaseKind},
    migration::{MigrationState, Migrations},
    rollout::RolloutPhase,
    scene::{Scene, Scribe},
};
use crate::{
    ClusterId, Fence, HostId, Incarnation, Release, ReleaseId, Revision, ServiceName, policy::MigratePer,
    time::WallTime,
};

/// Revisions between two lives of a cluster start at a multiple of this.
const REVISIONS_APART: u64 = 1_000_000;
/// At least so many revisions are left out: the lost majority may have used them.
const REVISIONS_LOST: u64 = 100_000;
/// Predecessors that are remembered.
const PREDECESSORS_KEPT: usize = 16;
/// Why a host counts as out.
const NOT_HEARD: &str = "the cluster was rebuilt, and the host has not told since";

/// A cluster that this one was rebuilt from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predecessor {
    /// Which.
    pub cluster: ClusterId,
    /// The last of its log entries that were known.
    pub last: Revision,
    /// The host whose agent rebuilt it.
    pub host: HostId,
    /// Who asked for that, and why.
    pub by: Operator,
}

/// How a cluster is rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilding {
    /// The cluster whose majority was lost, and what is known of it.
    pub from: Predecessor,
    /// The newest incarnation that is known of, here or elsewhere: the one to come is newer.
    pub newest: Incarnation,
    /// Drawn for this recovery: no other one gives fences like this one's.
    pub drawn: u32,
    /// Hosts whose disks are gone, on the same word: what they knew is in nobody's hands, and their names may be given to others.
    pub gone: BTreeSet<HostId>,
    /// When, for people.
    pub at: WallTime,
}

impl Fleet {
    /// Makes this state the first one of a new cluster.
    pub fn rebuild(&mut self, how: Rebuilding) {
        let Rebuilding { from, newest, drawn, gone, at } = how;
        self.incarnation = self.incarnation.max(newest).next(drawn);
        self.revision = beyond(self.revision.max(from.last));
        // What is rebuilt goes on: a recovery from a backup that was to take its place has not.
        self.gives_way = None;
        let mut scribe = Scribe::new(self.revision, self.incarnation, at);
        scribe.note(
            None,
            None,
            Some(&from.host),
            EventKind::Rebuilt { from: from.cluster.clone(), last: from.last, by: from.by.clone() },
        );
        let names: Vec<ServiceName> = self.services.keys().cloned().collect();
        for name in names {
            if let Ok(mut scene) = self.scene(&name, &mut scribe) {
                scene.rebuild(&from);
            }
        }
        for host in &gone {
            // Whoever is not known cannot be in the way.
            let _ = self.depart(host, &Evidence::Removed(from.by.clone()), &mut scribe);
        }
        self.keep(scribe);
        self.predecessors.push(from);
        let surplus = self.predecessors.len().saturating_sub(PREDECESSORS_KEPT);
        self.predecessors.drain(..surplus);
    }
}

/// The first revision of a cluster whose predecessor was known up to `last`. None that the predecessor can have used is used again: it
/// names rollouts and orders events.
fn beyond(last: Revision) -> Revision {
    let least = last.0.saturating_add(REVISIONS_LOST);
    Revision(least.div_ceil(REVISIONS_APART).saturating_mul(REVISIONS_APART))
}

impl Scene<'_> {
    fn rebuild(&mut self, from: &Predecessor) {
        self.touch();
        self.doubt_hosts();
        self.doubt_locks();
        for release in self.migrating_releases() {
            self.doubt_release(&release, from);
        }
        self.pause_for_rebuilding(from);
    }

    /// A grant that is not begun yet, as far as is known, may have been begun: it is not taken back by itself any more.
    fn doubt_hosts(&mut self) {
        let hosts: Vec<HostId> = self.members().map(|(host, _)| host.clone()).collect();
        for host in &hosts {
            let Ok(here) = self.host_mut(host) else { continue };
            if let Some(change) = &mut here.change
                && change.phase == PhaseKind::Granted
            {
                change.phase = PhaseKind::Draining;
            }
            here.availability = Availability::Unknown;
            here.out_reason = Some(NOT_HEARD.into());
            let kind = EventKind::Availability {
                availability: Availability::Unknown,
                reason: NOT_HEARD.into(),
                tail: "".into(),
            };
            self.note(None, Some(host), kind);
        }
    }

    /// P2: a lock that was given, as far as is known, may have been used, taken back, and given to another host.
    fn doubt_locks(&mut self) {
        let Some(lock) = self.service.migration_lock.clone() else { return };
        if let Some(known) = self.service.migrations.get_mut(&lock.release.id) {
            let state = MigrationState::Running { host: lock.host.clone(), started: true };
            Arc::make_mut(known).set(&lock.host, state);
        }
    }

    /// Every release that is known here and brings a migration. Also one whose rollout is over: it may have been pushed again since.
    fn migrating_releases(&self) -> Vec<Release> {
        let targets = self.service.rollouts.values().filter_map(|rollout| rollout.target.as_ref());
        let known = targets.chain(&self.service.completed).filter(|release| release.migrates);
        let known: BTreeMap<&ReleaseId, &Release> = known.map(|release| (&release.id, release)).collect();
        known.into_values().cloned().collect()
    }

    /// P2: a migration that was not started, as far as is known, may have been started.
    fn doubt_release(&mut self, release: &Release, from: &Predecessor) {
        let reason =
            format!("the cluster was rebuilt from what {} knew; it may have been started since", from.host);
        let hosts: Vec<HostId> = self.members().map(|(host, _)| host.clone()).collect();
        for host in &hosts {
            self.doubt_migration(release, host, &reason);
        }
    }

    /// P2: a host comes with a note of a migration that was granted in another life of the cluster, and that is not known of here.
    pub(super) fn doubt_noted(&mut self, host: &HostId, fence: Fence, release: &Release) {
        let known = self.service.migrations.get(&release.id);
        let known =
            known.is_some_and(|known| known.per == MigratePer::Fleet || known.hosts.contains_key(host));
        if known || fence.incarnation == self.scribe.fence().incarnation {
            return;
        }
        let reason = format!("{host} was granted it under fence {fence}, before this cluster was rebuilt");
        self.doubt_migration(release, host, &reason);
    }

    fn doubt_migration(&mut self, release: &Release, host: &HostId, reason: &str) {
        if self.service.migration(release, host) != MigrationState::Never {
            return;
        }
        let per = self.service.policy.migrate;
        self.service.migrations.entry(release.id.clone()).or_insert_with(|| Migrations::new(per).into());
        let (host_named, reason) = (host.clone(), reason.to_owned());
        let state = MigrationState::Unknown { host: host_named, reason, tail: "".into() };
        self.migration_became(release, host, state);
    }

    /// An operator looks first, and then says resume or abort.
    fn pause_for_rebuilding(&mut self, from: &Predecessor) {
        let Some(active) = self.service.active() else { return };
        if active.paused.is_some() || matches!(active.phase, RolloutPhase::Halted { .. }) {
            return;
        }
        let id = active.id;
        let reason = format!("the cluster was rebuilt: {}", from.by.reason);
        let by = Operator { name: from.by.name.clone(), reason };
        if let Ok(rollout) = self.rollout_mut(id) {
            rollout.paused = Some(by.clone());
        }
        self.note(Some(id), None, EventKind::Paused { by });
    }
}
