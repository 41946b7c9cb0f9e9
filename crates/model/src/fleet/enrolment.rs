//! Hosts that join, come back, or fall silent.

use std::sync::Arc;

use super::{
    Fleet,
    command::{Enrolment, Evidence, Refusal, Reply},
    event::EventKind,
    host::{Availability, Host, HostService},
    scene::Scribe,
};
use crate::{HostId, ServiceName};

impl Fleet {
    /// As `by`, a run of the host's agent, says.
    pub(super) fn enrol(
        &mut self,
        enrolment: &Enrolment,
        by: &str,
        scribe: &mut Scribe,
    ) -> Result<Reply, Refusal> {
        let Enrolment { host, state, address, zone, declares, level, obeyed, migrated, migrated_before } =
            enrolment;
        self.check_level(host, *level)?;
        if let Some(known) = self.hosts.get(host)
            && known.departed.is_none()
            && known.state != *state
        {
            return Err(Refusal::AnotherHost {
                host: host.clone(),
                enrolled: known.state.clone(),
                offered: state.clone(),
            });
        }
        if let Some(known) = self.hosts.get(host)
            && known.departed == Some(Evidence::Terminated)
            && known.state == *state
        {
            return Err(Refusal::Terminated { host: host.clone() });
        }
        // A host that departed and is back under its name is a new host: nothing of the old record speaks for it.
        if self.hosts.get(host).is_some_and(|known| known.departed.is_some() && known.state != *state) {
            self.forget_migrated(host, scribe);
        }
        self.hosts.retain(|id, known| id != host || known.departed.is_none());
        let enrolled = scribe.revision;
        let record = self.hosts.entry(host.clone()).or_insert_with(|| {
            Arc::new(Host {
                state: state.clone(),
                address: *address,
                zone: zone.clone(),
                enrolled,
                introduced_by: String::new(),
                level: *level,
                departed: None,
                services: Default::default(),
            })
        });
        let record = Arc::make_mut(record);
        record.introduced_by = by.to_owned();
        record.address = *address;
        record.zone.clone_from(zone);
        record.level = *level;
        // A service that is no longer declared stays while a change or a migration of it is under way.
        let services = &self.services;
        let migrates = |name: &ServiceName| {
            let lock = services.get(name).and_then(|service| service.migration_lock.as_ref());
            lock.is_some_and(|lock| lock.host == *host)
        };
        let stays = |name: &ServiceName, here: &HostService| {
            declares.contains_key(name) || here.change.is_some() || migrates(name)
        };
        let gone = record.services.iter().filter(|(name, here)| !stays(name, here));
        let gone: Vec<ServiceName> = gone.map(|(name, _)| name.clone()).collect();
        record.services.retain(|name, _| !gone.contains(name));
        for (name, declaration) in declares {
            let here =
                record.services.entry(name.clone()).or_insert_with(|| HostService::new(declaration.clone()));
            here.declaration = declaration.clone();
            self.services.entry(name.clone()).or_default();
        }
        for service in self.services.values_mut() {
            service.changed = scribe.revision;
        }
        let before = migrated_before.iter().flat_map(|(name, all)| all.iter().map(move |one| (name, one)));
        for (name, (fence, release)) in before.chain(migrated) {
            self.scene(name, scribe)?.doubt_noted(host, *fence, release);
        }
        for name in gone {
            self.scene(&name, scribe)?.without(host, "the host no longer declares the service");
        }
        if self.level == 0 {
            self.level = 1;
        }
        // Otherwise this host would refuse every grant as older than what it knows.
        if let Some(newer) = obeyed.filter(|obeyed| self.incarnation < *obeyed) {
            self.incarnation = newer.next(self.incarnation.drawn());
        }
        scribe.note(None, None, Some(host), EventKind::Enrolled);
        #[cfg(feature = "next-level")]
        self.tell_services_of(host, scribe);
        Ok(Reply::Done)
    }

    /// Silence is no evidence: locks and slots stay where they are, and the host counts as out.
    pub(super) fn fall_silent(&mut self, host: &HostId, scribe: &mut Scribe) -> Result<Reply, Refusal> {
        let record = self.hosts.get_mut(host).filter(|record| record.departed.is_none());
        let record = record.ok_or_else(|| Refusal::UnknownHost { host: host.clone() })?;
        for (name, here) in &mut Arc::make_mut(record).services {
            if here.availability == Availability::Unknown {
                continue;
            }
            here.availability = Availability::Unknown;
            here.out_reason = Some("silent".into());
            if let Some(service) = self.services.get_mut(name) {
                service.changed = scribe.revision;
            }
            let kind = EventKind::Availability {
                availability: Availability::Unknown,
                reason: "silent".into(),
                tail: "".into(),
            };
            scribe.note(Some(name), None, Some(host), kind);
        }
        let names: Vec<ServiceName> = record.services.keys().cloned().collect();
        for name in names {
            self.scene(&name, scribe)?.recall_unaffordable();
        }
        Ok(Reply::Done)
    }
}
