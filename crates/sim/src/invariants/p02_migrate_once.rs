//! P2 migrate once: never two at once, and once for each release (or once on each host), unless an operator says again.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Fence, Release, ReleaseId,
    fleet::{Act, Lock, Reply, Request, Verdict as Word},
    policy::MigratePer,
};

use super::{Applied, Verdict};
use crate::{HostNo, ServiceNo, world::World};

/// A migration that counts by itself: of a release, on a host where it is run on each.
type Key = (ServiceNo, ReleaseId, Option<HostNo>);

/// What it remembers.
#[derive(Default)]
pub(crate) struct MigrateOnce {
    starts: BTreeMap<Key, u32>,
    /// How often an operator has said that it may be started again.
    again: BTreeMap<(ServiceNo, ReleaseId), u32>,
    /// Grants of the migration lock that an operator broke: he answers for what runs under them.
    broken: BTreeSet<(ServiceNo, Fence)>,
    /// What has really succeeded, and what an operator says has.
    well: BTreeSet<Key>,
    said: BTreeSet<(ServiceNo, ReleaseId)>,
}

impl MigrateOnce {
    pub(crate) fn applied(&mut self, world: &World, applied: &Applied<'_>) -> Verdict {
        let Act::Ask { service, request, .. } = applied.act else { return Ok(()) };
        let (Some(service), Reply::Done) = (world.service_number(service), applied.reply) else {
            return Ok(());
        };
        match request {
            Request::ResolveMigration { release, verdict: Word::Retry }
            | Request::ReleaseQuarantine { release } => {
                // Both leave to start again all that is not known to have succeeded.
                *self.again.entry((service, release.clone())).or_default() += 1;
            }
            Request::ResolveMigration { release, verdict: Word::Succeeded } => {
                self.said.insert((service, release.clone()));
            }
            Request::BreakMigrationLock | Request::BreakGrant { lock: Lock::Migration, .. } => {
                let before = applied.before.services.get(&world.services[service]);
                let lock = before.and_then(|before| before.migration_lock.as_ref());
                self.broken.extend(lock.map(|lock| (service, lock.fence)));
            }
            _ => (),
        }
        Ok(())
    }

    fn key(world: &World, host: HostNo, service: ServiceNo, release: &ReleaseId) -> Key {
        let known = world.fleet.services.get(&world.services[service]);
        let per = known
            .and_then(|known| known.migrations.get(release))
            .map_or(MigratePer::Fleet, |known| known.per);
        (service, release.clone(), (per == MigratePer::Host).then_some(host))
    }

    /// A migration is about to be started.
    pub(crate) fn starts(
        &mut self,
        world: &World,
        host: HostNo,
        service: ServiceNo,
        release: &Release,
    ) -> Verdict {
        let other = (0..world.hosts.len()).find(|host| {
            let run = world.hosts[*host].keepers[service].migration.as_ref().filter(|run| run.end.is_none());
            run.is_some_and(|run| !self.broken.contains(&(service, run.fence)))
        });
        if let Some(other) = other {
            return Err((
                "P2",
                format!("h{host} starts the migration of {}, and one runs on h{other}", release.id),
            ));
        }
        let key = Self::key(world, host, service, &release.id);
        let starts = self.starts.entry(key).or_default();
        *starts += 1;
        let may = 1 + self.again.get(&(service, release.id.clone())).copied().unwrap_or_default();
        if may < *starts {
            return Err((
                "P2",
                format!("h{host} starts the migration of {} for the {starts}. time", release.id),
            ));
        }
        Ok(())
    }

    /// A migration has ended.
    pub(crate) fn ended(&mut self, host: HostNo, service: ServiceNo, release: &ReleaseId, well: bool) {
        if well {
            self.well.insert((service, release.clone(), None));
            self.well.insert((service, release.clone(), Some(host)));
        }
    }

    /// The machine is another one, on which nothing was ever run.
    pub(crate) fn built_anew(&mut self, host: HostNo) {
        self.starts.retain(|(_, _, of), _| *of != Some(host));
        self.well.retain(|(_, _, of)| *of != Some(host));
    }

    /// Whether it has really succeeded, or somebody answers for that.
    pub(crate) fn is_well(
        &self,
        world: &World,
        host: HostNo,
        service: ServiceNo,
        release: &ReleaseId,
    ) -> bool {
        self.said.contains(&(service, release.clone()))
            || self.well.contains(&Self::key(world, host, service, release))
    }
}
