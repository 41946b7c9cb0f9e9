//! The hosts of a preview: whoever is heard does what the fleet asks of it, at once, and nothing fails.

use super::Stage;
use crate::{
    HostId,
    fleet::{Act, HostService, MigrationEnd, PhaseKind, Purpose, Report},
};

/// Whether a host with a slot comes to its end by itself: not one that could not go back, nor one that rests for maintenance.
pub(super) fn goes_on(here: &HostService) -> bool {
    let rests = |phase| phase == PhaseKind::Parked && here.parked.is_some();
    here.change.as_ref().is_some_and(|change| change.phase != PhaseKind::Stuck && !rests(change.phase))
}

impl Stage<'_> {
    fn reports(&mut self, reports: Vec<(HostId, Report)>) -> bool {
        let mut done = false;
        for (host, report) in reports {
            let reply = self.apply(Act::Report { host, service: self.service.clone(), report });
            done |= reply == crate::fleet::Reply::Done;
        }
        done
    }

    fn heard(&self) -> impl Iterator<Item = (&HostId, &HostService)> {
        self.fleet.declaring(self.service).filter(|(host, _)| !self.silent.contains(*host))
    }

    /// Everybody says that it is there.
    pub(super) fn hear(&mut self) {
        for (host, _) in self.fleet.present().filter(|(host, _)| !self.silent.contains(*host)) {
            self.sightings.hear(host, self.now);
        }
        self.sightings.observe(&self.fleet, self.now);
    }

    /// Everybody fetches what it should have. Returns whether anything was missing.
    pub(super) fn fetch(&mut self) -> bool {
        let wanted = self.service().wanted();
        let missing = self.heard().flat_map(|(host, here)| {
            let absent = wanted.iter().filter(|release| !here.staged.contains(&release.id));
            absent.map(|release| (host.clone(), Report::Staged { release: release.id.clone() }))
        });
        let missing: Vec<_> = missing.collect();
        self.reports(missing)
    }

    /// Whoever has the migration lock runs `bin/migrate`. Returns whether anybody had it.
    pub(super) fn migrate(&mut self) -> bool {
        let lock = self.service().migration_lock.as_ref().filter(|lock| !self.silent.contains(&lock.host));
        let Some(lock) = lock else { return false };
        let (host, fence) = (lock.host.clone(), lock.fence);
        let end = Report::MigrationEnded { fence, end: MigrationEnd::Succeeded, tail: "".into() };
        self.reports(vec![(host.clone(), Report::MigrationStarted { fence }), (host, end)])
    }

    /// Whoever has a slot is through with its change. Returns whether anybody had one.
    pub(super) fn change(&mut self) -> bool {
        let quarantine = &self.service().quarantine;
        let mut reports = Vec::new();
        for (host, here) in self.heard().filter(|(_, here)| goes_on(here)) {
            let Some(change) = &here.change else { continue };
            let fence = change.fence;
            let may_go_back = change.from.as_ref().is_none_or(|from| !quarantine.contains_key(&from.id));
            let report = match change.phase {
                PhaseKind::Granted if change.revert => {
                    Report::Abandoned { fence, reason: "asked to go back before it had begun".into() }
                }
                PhaseKind::Granted if change.purpose == Purpose::Park => {
                    let (from, to) = (PhaseKind::Granted, PhaseKind::Draining);
                    reports.push((host.clone(), Report::Moved { fence, from, to, reason: None }));
                    Report::Parked { fence }
                }
                _ if change.purpose == Purpose::Park => Report::Parked { fence },
                PhaseKind::Aborting => Report::Abandoned { fence, reason: "it had given up".into() },
                PhaseKind::Reverting => Report::Reverted { fence },
                _ if change.revert && may_go_back => Report::Reverted { fence },
                _ => Report::Changed { fence },
            };
            reports.push((host.clone(), report));
        }
        self.reports(reports)
    }
}
