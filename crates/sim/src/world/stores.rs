//! The stores: what is staged on each host.

use std::collections::BTreeSet;

use model::{
    Release, ReleaseId,
    host::{FaultSeen, FaultWord},
};

use super::World;
use crate::{HostNo, ServiceNo};

impl World {
    pub(super) fn stage(
        &mut self,
        host: HostNo,
        service: ServiceNo,
        release: &Release,
    ) -> Result<(), FaultSeen> {
        let here = &mut self.hosts[host];
        if 0 < here.store_empty || 0 < here.full {
            let text = format!("stage {}: not found", release.id);
            return Err(FaultSeen { kind: FaultWord::Transient, text });
        }
        here.disks[service].spoilt.remove(&release.id);
        here.disks[service].staged.insert(release.id.clone());
        here.had[service].insert(release.id.clone());
        Ok(())
    }

    /// Whether it is what was staged. What is not is no longer listed.
    pub(super) fn is_staged(
        &mut self,
        host: HostNo,
        service: ServiceNo,
        release: &ReleaseId,
    ) -> Result<(), FaultSeen> {
        let disk = &mut self.hosts[host].disks[service];
        if disk.spoilt.remove(release) {
            disk.staged.remove(release);
            let text = format!("verify {release}: its content is another one");
            return Err(FaultSeen { kind: FaultWord::Permanent, text });
        }
        if disk.staged.contains(release) {
            return Ok(());
        }
        Err(FaultSeen { kind: FaultWord::Permanent, text: format!("verify {release}: it is not staged") })
    }

    pub(super) fn collect(
        &mut self,
        host: HostNo,
        service: ServiceNo,
        keep: &BTreeSet<ReleaseId>,
    ) -> Vec<ReleaseId> {
        let staged = &mut self.hosts[host].disks[service].staged;
        let gone: Vec<ReleaseId> = staged.difference(keep).cloned().collect();
        staged.retain(|release| keep.contains(release));
        gone
    }
}
