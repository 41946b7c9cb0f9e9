//! Hosts that are no more. Only evidence brings them here, and it frees what they held (P5).

use std::sync::Arc;

use super::{
    Fleet,
    command::{Evidence, Refusal, Reply},
    event::EventKind,
    migration::{MigrationState, Migrations},
    rollout::PartState,
    scene::{Scene, Scribe},
};
use crate::{HostId, ReleaseId, ServiceName};

/// Departed hosts that are remembered.
const DEPARTED_KEPT: usize = 256;

impl Fleet {
    pub(super) fn depart(
        &mut self,
        host: &HostId,
        evidence: &Evidence,
        scribe: &mut Scribe,
    ) -> Result<Reply, Refusal> {
        if let Evidence::Removed(by) = evidence
            && by.reason.trim().is_empty()
        {
            return Err(Refusal::ReasonMissing);
        }
        let record = self.hosts.get_mut(host).ok_or_else(|| Refusal::UnknownHost { host: host.clone() })?;
        if record.departed.is_some() {
            return Ok(Reply::Done);
        }
        let record = Arc::make_mut(record);
        record.departed = Some(evidence.clone());
        record.services.clear();
        scribe.note(None, None, Some(host), EventKind::Departed { evidence: evidence.clone() });
        let names: Vec<ServiceName> = self.services.keys().cloned().collect();
        for name in names {
            if let Ok(mut scene) = self.scene(&name, scribe) {
                scene.without(host, "the host departed");
            }
        }
        self.forget_departed(scribe);
        Ok(Reply::Done)
    }

    /// Who is no longer remembered is another machine when the name comes again: nobody could tell any more.
    fn forget_departed(&mut self, scribe: &mut Scribe) {
        let mut departed: Vec<_> = self.hosts.iter().filter(|(_, host)| host.departed.is_some()).collect();
        departed.sort_by_key(|(_, host)| host.enrolled);
        let surplus = departed.len().saturating_sub(DEPARTED_KEPT);
        let surplus: Vec<HostId> = departed.into_iter().take(surplus).map(|(id, _)| id.clone()).collect();
        for host in surplus {
            self.hosts.remove(&host);
            self.forget_migrated(&host, scribe);
        }
    }

    /// The name is another machine's: what was migrated on the disk of the one that departed was not on its own, and what nobody knows of that one
    /// matters no more.
    pub(super) fn forget_migrated(&mut self, host: &HostId, scribe: &mut Scribe) {
        let names: Vec<ServiceName> = self.services.keys().cloned().collect();
        for name in names {
            if let Ok(mut scene) = self.scene(&name, scribe) {
                scene.forget_migrated(host);
            }
        }
    }
}

impl Scene<'_> {
    fn forget_migrated(&mut self, host: &HostId) {
        let migrated = |known: &Arc<Migrations>| known.hosts.contains_key(host);
        let known = self.service.migrations.iter().filter(|(_, known)| migrated(known));
        let releases: Vec<ReleaseId> = known.map(|(release, _)| release.clone()).collect();
        for release in releases {
            let known = self.service.migrations.get_mut(&release).map(Arc::make_mut);
            let before = known.and_then(|known| known.hosts.remove(host));
            if matches!(before, Some(MigrationState::Unknown { .. })) {
                self.note(
                    None,
                    Some(host),
                    EventKind::Migration { release: release.clone(), state: MigrationState::Never },
                );
                self.goes_on_migrating(&release);
            }
        }
    }

    /// The service goes on without the host. A migration that it may have started is unknown, never "not run".
    pub(super) fn without(&mut self, host: &HostId, why: &str) {
        self.touch();
        for id in [self.service.active, self.service.next].into_iter().flatten() {
            if self.part(id, host).is_some_and(|part| part != PartState::Dropped) {
                self.set_part(id, host, PartState::Dropped);
                self.note(Some(id), Some(host), EventKind::Dropped { reason: why.to_owned() });
            }
        }
        let holds = self.service.migration_lock.as_ref().is_some_and(|lock| lock.host == *host);
        if let Some(lock) = self.service.migration_lock.take_if(|_| holds) {
            let reason = "its host departed while it had the migration lock".to_owned();
            let state = MigrationState::Unknown { host: host.clone(), reason, tail: "".into() };
            self.migration_became(&lock.release, host, state);
        }
    }
}
