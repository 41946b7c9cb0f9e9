//! What one command looks at: a service, the hosts, and the pen that writes the events.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    command::Refusal,
    event::{Event, EventKind, Settled},
    host::{Availability, Host, HostService, PhaseKind},
    rollout::{PartState, Rollout},
    service::Service,
};
use crate::{Fence, HostId, Incarnation, ReleaseId, Revision, RolloutId, ServiceName, time::WallTime};

/// Writes the events of one log entry.
pub(super) struct Scribe {
    pub(super) revision: Revision,
    pub(super) at: WallTime,
    pub(super) events: Vec<Event>,
    incarnation: Incarnation,
}

impl Scribe {
    pub(super) fn new(revision: Revision, incarnation: Incarnation, at: WallTime) -> Self {
        Self { revision, at, events: Vec::new(), incarnation }
    }

    /// The fence of what this entry grants.
    pub(super) fn fence(&self) -> Fence {
        Fence { incarnation: self.incarnation, revision: self.revision }
    }

    pub(super) fn note(
        &mut self,
        service: Option<&ServiceName>,
        rollout: Option<RolloutId>,
        host: Option<&HostId>,
        kind: EventKind,
    ) {
        let index = u32::try_from(self.events.len()).unwrap_or(u32::MAX);
        let (service, host) = (service.cloned(), host.cloned());
        self.events.push(Event { revision: self.revision, index, at: self.at, service, rollout, host, kind });
    }
}

/// One service with the hosts, for one command.
pub(super) struct Scene<'a> {
    pub(super) name: &'a ServiceName,
    pub(super) service: &'a mut Service,
    pub(super) hosts: &'a mut BTreeMap<HostId, Arc<Host>>,
    pub(super) scribe: &'a mut Scribe,
}

impl Scene<'_> {
    /// Writes an event of this service, and marks the service as changed.
    pub(super) fn note(&mut self, rollout: Option<RolloutId>, host: Option<&HostId>, kind: EventKind) {
        self.touch();
        self.scribe.note(Some(self.name), rollout, host, kind);
    }

    /// Marks the service as changed, so that plans made before are refused.
    pub(super) fn touch(&mut self) {
        self.service.changed = self.scribe.revision;
    }

    pub(super) fn host(&self, host: &HostId) -> Result<&HostService, Refusal> {
        let record = self.hosts.get(host).filter(|record| record.departed.is_none());
        record
            .and_then(|record| record.services.get(self.name))
            .ok_or_else(|| Refusal::UnknownHost { host: host.clone() })
    }

    pub(super) fn host_mut(&mut self, host: &HostId) -> Result<&mut HostService, Refusal> {
        let record = self.hosts.get_mut(host).filter(|record| record.departed.is_none());
        let found = record.and_then(|record| Arc::make_mut(record).services.get_mut(self.name));
        found.ok_or_else(|| Refusal::UnknownHost { host: host.clone() })
    }

    /// Every present host that declares the service.
    pub(super) fn members(&self) -> impl Iterator<Item = (&HostId, &HostService)> {
        let present = self.hosts.iter().filter(|(_, host)| host.departed.is_none());
        present.filter_map(|(id, host)| Some((id, host.services.get(self.name)?)))
    }

    pub(super) fn rollout(&self, id: RolloutId) -> Result<&Rollout, Refusal> {
        let found = self.service.rollouts.get(&id).filter(|rollout| rollout.outcome().is_none());
        found.map(|rollout| &**rollout).ok_or(Refusal::NoRollout)
    }

    pub(super) fn rollout_mut(&mut self, id: RolloutId) -> Result<&mut Rollout, Refusal> {
        let found = self.service.rollouts.get_mut(&id).filter(|rollout| rollout.outcome().is_none());
        found.map(Arc::make_mut).ok_or(Refusal::NoRollout)
    }

    /// P1: the hosts of the sum that are out, granted leave to go, silent or unknown.
    pub(super) fn out(&self) -> u32 {
        count(self.members().filter(|(_, here)| here.sums() && here.is_out()))
    }

    /// Slots that are taken by hosts of the sum. A host that was never in service takes none from the others.
    pub(super) fn slots_taken(&self) -> u32 {
        count(self.members().filter(|(_, here)| here.sums() && here.change.is_some()))
    }

    /// Takes back the grants of a rollout that its hosts have not begun; nothing was touched under them.
    pub(super) fn revoke_unbegun(&mut self, rollout: RolloutId) {
        let unbegun: Vec<HostId> = self
            .members()
            .filter(|(_, here)| {
                here.change.as_ref().is_some_and(|change| {
                    change.phase == PhaseKind::Granted && change.purpose.rollout() == Some(rollout)
                })
            })
            .map(|(host, _)| host.clone())
            .collect();
        for host in unbegun {
            self.revoke(&host);
        }
    }

    /// P1 holds at the first effect, not only at the grant: when others fell out meanwhile, grants that nobody has begun are taken
    /// back, the newest first. A host that is known to be out takes nothing from the budget and keeps its own.
    pub(super) fn recall_unaffordable(&mut self) {
        while self.service.policy.max_unavailable.get() < self.out() {
            let granted =
                self.members().filter(|(_, here)| here.sums() && here.availability != Availability::Out);
            let unbegun = granted.filter_map(|(host, here)| Some((host, here.change.as_ref()?)));
            let unbegun = unbegun.filter(|(_, change)| change.phase == PhaseKind::Granted);
            let newest = unbegun.max_by_key(|(host, change)| (change.fence, *host));
            let Some(host) = newest.map(|(host, _)| host.clone()) else { return };
            self.revoke(&host);
        }
    }

    /// Takes back a grant that its host has not begun.
    pub(super) fn revoke(&mut self, host: &HostId) {
        let Ok(here) = self.host_mut(host) else { return };
        let Some(change) = here.change.take_if(|change| change.phase == PhaseKind::Granted) else { return };
        let rollout = change.purpose.rollout();
        if let Some(rollout) = rollout {
            self.turn_again(rollout, host);
        }
        let release = change.from.map(|release| release.id);
        let reason = "the grant was taken back before the change began".to_owned();
        self.note(
            rollout,
            Some(host),
            EventKind::HostSettled { release, end: Settled::Abandoned { reason } },
        );
    }

    /// A host that had a slot has its turn once more, unless it was taken out of rollouts meanwhile.
    pub(super) fn turn_again(&mut self, rollout: RolloutId, host: &HostId) {
        if self.part(rollout, host) == Some(PartState::Changing) {
            let gone = self.host(host).is_ok_and(|here| here.excluded.is_some() || here.parked.is_some());
            self.set_part(rollout, host, if gone { PartState::Dropped } else { PartState::Pending });
            if let Ok(rollout) = self.rollout_mut(rollout) {
                let present = rollout.waves.checked_sub(1).filter(|_| !rollout.wave_soaked);
                if let Some(part) = rollout.parts.get_mut(host).filter(|part| part.wave != present) {
                    part.wave = None;
                }
            }
        }
    }

    /// Forgets that releases are staged which hosts no longer have to keep: they may collect them at any time (P9).
    pub(super) fn forget_staged(&mut self) {
        let wanted: Vec<ReleaseId> = self.service.wanted().into_iter().map(|release| release.id).collect();
        for record in self.hosts.values_mut() {
            let Some(here) = record.services.get(self.name) else { continue };
            let changing = here.change.iter().flat_map(|change| [&change.to, &change.from]).flatten();
            let own: Vec<&ReleaseId> = changing.chain(&here.current).map(|release| &release.id).collect();
            let kept = |release: &&ReleaseId| wanted.contains(release) || own.contains(release);
            if here.staged.iter().all(|release| kept(&release)) {
                continue;
            }
            let staged = here.staged.iter().filter(kept).cloned().collect();
            if let Some(here) = Arc::make_mut(record).services.get_mut(self.name) {
                here.staged = staged;
            }
        }
    }

    /// How far a host's part of an open rollout is.
    pub(super) fn part(&self, rollout: RolloutId, host: &HostId) -> Option<PartState> {
        Some(self.rollout(rollout).ok()?.parts.get(host)?.state)
    }

    /// Sets how far a host's part is, if it has one. Ended rollouts are history and stay as they were.
    pub(super) fn set_part(&mut self, rollout: RolloutId, host: &HostId, state: PartState) {
        if let Ok(rollout) = self.rollout_mut(rollout)
            && let Some(part) = rollout.parts.get_mut(host)
        {
            part.state = state;
        }
    }

    pub(super) fn set_availability(&mut self, host: &HostId, availability: Availability) {
        if let Ok(here) = self.host_mut(host) {
            here.availability = availability;
            if availability == Availability::In {
                here.counted = true;
                here.out_reason = None;
            }
        }
    }
}

pub(super) fn count(items: impl Iterator) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
