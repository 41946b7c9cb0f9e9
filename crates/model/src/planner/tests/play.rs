//! A leader and its hosts in virtual time.

use std::{collections::BTreeSet, time::Duration};

use super::actor::Actor;
use crate::{
    HostId, Revision, ServiceName, Timestamp,
    fleet::{Act, Command, Declaration, Enrolment, Event, Fleet, Operator, Reply, Request, SUPPORTED_LEVEL},
    planner::{Hold, Sightings, plan},
    time::WallTime,
};

pub(super) const SILENT_AFTER: Duration = Duration::from_secs(10);

/// A leader and its hosts in virtual time.
pub(super) struct Play {
    pub(super) fleet: Fleet,
    pub(super) sightings: Sightings,
    pub(super) now: Timestamp,
    pub(super) actors: Vec<Actor>,
    pub(super) silent: BTreeSet<HostId>,
    pub(super) holds: Vec<(Hold, Option<Duration>)>,
    /// What happened since it was read last.
    pub(super) told: Vec<(Timestamp, Event)>,
    wake: Option<Timestamp>,
    sequence: u64,
}

impl Play {
    pub(super) fn new() -> Self {
        Self {
            fleet: Fleet::default(),
            sightings: Sightings::new(SILENT_AFTER, Timestamp(0)),
            now: Timestamp(0),
            actors: Vec::new(),
            silent: BTreeSet::new(),
            holds: Vec::new(),
            told: Vec::new(),
            wake: None,
            sequence: 0,
        }
    }

    /// A host comes up, with these services.
    pub(super) fn joins(&mut self, host: &HostId, services: &[ServiceName], port: u16) {
        self.enrols(host, services, port);
        for service in services {
            self.actors.push(Actor::new(host.clone(), service.clone()));
        }
    }

    pub(super) fn enrols(&mut self, host: &HostId, services: &[ServiceName], port: u16) {
        let declaration = || Declaration { port, probe: None, balancer: None, channel: None };
        let enrolment = Enrolment {
            host: host.clone(),
            state: format!("state of {host}"),
            address: "127.0.0.1:1".parse().unwrap(),
            zone: None,
            declares: services.iter().map(|service| (service.clone(), declaration())).collect(),
            level: SUPPORTED_LEVEL,
            obeyed: None,
            migrated: Default::default(),
            migrated_before: Default::default(),
        };
        assert_eq!(self.apply(Act::Enrol(enrolment)), Reply::Done);
    }

    pub(super) fn apply(&mut self, act: Act) -> Reply {
        self.sequence += 1;
        let command = Command { proposer: "play".into(), sequence: self.sequence, at: WallTime(0), act };
        let revision = Revision(self.fleet.revision.0 + 1);
        let reply = self.fleet.apply(revision, &command);
        let news = self.fleet.events.iter().rev().take_while(|event| event.revision == revision);
        let mut news: Vec<Event> = news.map(|event| Event::clone(event)).collect();
        news.reverse();
        self.told.extend(news.into_iter().map(|event| (self.now, event)));
        reply
    }

    pub(super) fn ask(&mut self, service: &ServiceName, request: Request) -> Reply {
        let by = Operator { name: "ann".into(), reason: "because".into() };
        self.apply(Act::Ask { service: service.clone(), by, request })
    }

    /// A new leader, who has heard nothing.
    pub(super) fn another_leader(&mut self) {
        self.sightings = Sightings::new(SILENT_AFTER, self.now);
    }

    /// Lets everybody react until nothing more happens at this moment.
    pub(super) fn react(&mut self) {
        for round in 0.. {
            let spoke = self.hosts_react();
            self.sightings.observe(&self.fleet, self.now);
            let plan = plan(&self.fleet, &self.sightings, self.now);
            let busy = spoke || !plan.acts.is_empty();
            (self.holds, self.wake) = (plan.holds, plan.wake);
            for act in plan.acts {
                let reply = self.apply(act.clone());
                assert!(round < 500, "it spins at {:?}: {act:?} is answered with {reply:?}", self.now);
            }
            if !busy {
                return;
            }
        }
    }

    fn hosts_react(&mut self) -> bool {
        let mut spoke = false;
        for at in 0..self.actors.len() {
            self.actors[at].tick(self.now);
            let (host, service) = (self.actors[at].host.clone(), self.actors[at].service.clone());
            if self.silent.contains(&host) {
                continue;
            }
            let mut assignment = self.fleet.assignment(&host);
            let Some(view) = assignment.services.remove(&service) else { continue };
            self.sightings.hear(&host, self.now);
            self.actors[at].see(view, self.now);
            if let Some(report) = self.actors[at].speak(self.now) {
                let reply = self.apply(Act::Report { host, service, report: report.clone() });
                self.actors[at].hear(&report, &reply, self.now);
                spoke = true;
            }
        }
        spoke
    }

    /// When something happens next.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let hosts = self.actors.iter().filter_map(Actor::next);
        hosts.chain(self.wake).filter(|at| self.now < *at).min()
    }

    /// Goes on to the next moment at which something happens, `until` at the latest. Returns whether there was one before it.
    pub(super) fn step(&mut self, until: Timestamp) -> bool {
        self.react();
        let next = self.next().filter(|next| *next <= until);
        self.now = next.unwrap_or(until);
        self.react();
        next.is_some()
    }

    pub(super) fn actors_of<'a>(&'a mut self, host: &'a HostId) -> impl Iterator<Item = &'a mut Actor> {
        self.actors.iter_mut().filter(move |actor| actor.host == *host)
    }
}
