//! The balancer: where it sends requests, and how it answers when it is asked.

use std::{collections::VecDeque, time::Duration};

use model::host::StandingSeen;

use super::{Happening, World};
use crate::{At, HostNo, ServiceNo, scenario::Ill};

/// How far back its answers can lie, in milliseconds.
const MEMORY: u64 = 5_000;
/// Between two looks at a target, at the least and at the most, in milliseconds.
const LOOKS: (u64, u64) = (50, 1_500);

/// One balancer, with a target for each host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Balancer {
    pub(crate) targets: Vec<Target>,
    pub(crate) throttled: u32,
    pub(crate) slow: u32,
    pub(crate) answers_lost: u32,
    pub(crate) stale: u64,
    pub(crate) registers_late: u64,
    pub(crate) drains: Option<u64>,
}

/// A target.
#[derive(Debug, Clone, Default)]
pub(crate) struct Target {
    pub(crate) place: Place,
    /// What it was found to be when it was looked at last.
    found: Option<bool>,
    /// Times that it was deregistered: what was asked for before and comes late is void.
    pub(crate) leaves: u64,
    /// When it was deregistered last.
    pub(crate) left: At,
    /// Since when it gets requests without a break.
    pub(crate) in_service_since: Option<At>,
    /// When it got requests first since it was registered last.
    pub(crate) first_in_service: Option<At>,
    /// What was so, and since when.
    past: VecDeque<(At, StandingSeen)>,
    looks: bool,
}

/// Whether it is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Place {
    #[default]
    Absent,
    Registered,
    /// Requests that were on their way go on until then.
    Draining(At),
}

impl World {
    /// What is so.
    pub(crate) fn standing(&self, service: ServiceNo, host: HostNo) -> StandingSeen {
        let target = &self.balancers[service].targets[host];
        match (target.place, target.found) {
            (Place::Absent, _) => StandingSeen::Absent,
            (Place::Draining(until), _) if until <= self.at => StandingSeen::Absent,
            (Place::Draining(_), _) => StandingSeen::Draining,
            (Place::Registered, None) => StandingSeen::Initial,
            (Place::Registered, Some(true)) => StandingSeen::InService,
            (Place::Registered, Some(false)) => StandingSeen::Unhealthy { reason: "timeout".into() },
        }
    }

    /// What it says: what is so, or what was.
    pub(crate) fn says(&self, service: ServiceNo, host: HostNo) -> StandingSeen {
        let balancer = &self.balancers[service];
        let then = self.at.saturating_sub(balancer.stale);
        if balancer.stale == 0 {
            return self.standing(service, host);
        }
        let past = balancer.targets[host].past.iter().rev().find(|(at, _)| *at <= then);
        past.map_or_else(|| self.standing(service, host), |(_, was)| was.clone())
    }

    /// Whether it sends requests to this host.
    pub(crate) fn routes(&self, service: ServiceNo, host: HostNo) -> bool {
        self.standing(service, host) == StandingSeen::InService
    }

    pub(super) fn register(&mut self, service: ServiceNo, host: HostNo) {
        if self.balancers[service].targets[host].place == Place::Registered {
            return;
        }
        self.place(service, host, Place::Registered);
        self.balancer_will_look(service, host);
    }

    /// It is registered late, unless it has left meanwhile.
    pub(super) fn registers(&mut self, service: ServiceNo, host: HostNo, leaves: u64) {
        if self.balancers[service].targets[host].leaves == leaves {
            self.register(service, host);
        }
    }

    pub(super) fn deregister(&mut self, service: ServiceNo, host: HostNo) {
        self.balancers[service].targets[host].leaves += 1;
        if self.balancers[service].targets[host].place != Place::Registered {
            return;
        }
        let drain = self.drain_of(service);
        self.balancers[service].targets[host].left = self.at;
        self.place(service, host, Place::Draining(self.at + drain));
    }

    fn drain_of(&self, service: ServiceNo) -> u64 {
        self.balancers[service].drains.unwrap_or(self.scenario.service(service).drain.ms())
    }

    /// How long a drain that begins now takes, as it says itself: one balancer of four tells, one tells what it usually takes, whatever is the
    /// matter now, and two say nothing.
    pub(super) fn tells_drain(&self, service: ServiceNo) -> Option<Duration> {
        let usual = self.scenario.service(service).drain.ms();
        match usual % 4 {
            0 => Some(Duration::from_millis(self.drain_of(service))),
            1 => Some(Duration::from_millis(usual)),
            _ => None,
        }
    }

    /// It forgets a target, as if somebody else had deregistered it.
    pub(super) fn lose(&mut self, service: ServiceNo, host: HostNo) {
        if self.balancers[service].targets[host].place == Place::Registered {
            self.place(service, host, Place::Absent);
        }
    }

    fn place(&mut self, service: ServiceNo, host: HostNo, place: Place) {
        let target = &mut self.balancers[service].targets[host];
        target.place = place;
        target.found = None;
        if place == Place::Registered {
            target.first_in_service = None;
        }
        self.told(|| format!("balancer of {service}: h{host} is {place:?}"));
        self.noted(service, host);
    }

    fn noted(&mut self, service: ServiceNo, host: HostNo) {
        let (at, now) = (self.at, self.standing(service, host));
        let target = &mut self.balancers[service].targets[host];
        if now == StandingSeen::InService {
            target.in_service_since.get_or_insert(at);
            target.first_in_service.get_or_insert(at);
        } else {
            target.in_service_since = None;
        }
        while target.past.len() > 1 && target.past[1].0 + MEMORY < at {
            target.past.pop_front();
        }
        target.past.push_back((at, now));
        self.users_see(host, service);
    }

    /// It looks at a target again, some time from now.
    pub(super) fn balancer_will_look(&mut self, service: ServiceNo, host: HostNo) {
        let target = &mut self.balancers[service].targets[host];
        if target.looks || target.place != Place::Registered {
            return;
        }
        target.looks = true;
        let (least, most) = LOOKS;
        let after = self.chance.between(least, most);
        self.later(after, Happening::Check { service, host });
    }

    pub(super) fn check(&mut self, service: ServiceNo, host: HostNo) {
        let sick = self.hosts[host].keepers[service]
            .process()
            .is_some_and(|process| self.traits(service, &process.release).ill_on(host) == Some(Ill::Sick));
        let healthy = self.serves(host, service) && !sick;
        let target = &mut self.balancers[service].targets[host];
        target.looks = false;
        if target.place != Place::Registered || target.found == Some(healthy) {
            return;
        }
        target.found = Some(healthy);
        self.told(|| {
            format!("balancer of {service}: h{host} is found {}", if healthy { "healthy" } else { "sick" })
        });
        self.noted(service, host);
    }
}
