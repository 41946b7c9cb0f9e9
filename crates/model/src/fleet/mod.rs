//! The replicated machine: what every voter knows of the fleet, changed only by [`Fleet::apply`].
//!
//! Promise: the same log gives the same state on every replica, and whatever would break P1 (capacity), P2 (migrate once), P3 (gate),
//! P5 (evidence frees a lock) or P6 (a failed release stays failed) is refused here, whoever asks.
//! Absent on purpose: clocks (durations come in commands, wall time is only carried along), randomness, hash maps, and errors: "no" is a reply.

pub mod assignment;
pub mod channel;
pub mod command;
pub mod event;
pub mod host;
pub mod migration;
pub mod provenance;
pub mod reply;
pub mod report;
pub mod rollout;
pub mod service;

mod breaking;
mod departures;
mod enrolment;
mod giving_way;
mod grants;
mod levels;
mod migrating;
#[cfg(feature = "next-level")]
mod next;
mod operators;
mod proposals;
mod rebuild;
mod reports;
mod rollouts;
mod scene;
mod steps;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

pub use self::{
    assignment::{Assignment, ChangeGrant, MigrationGrant, ServiceAssignment},
    channel::{Found, Heard, Word},
    command::{
        Act, Cause, Command, Enrolment, Evidence, Failure, Lock, MigrationEnd, Operator, Refusal, Reply,
        Report, Request, Step,
    },
    event::{EVENTS_KEPT, Event, EventKind, Settled},
    host::{Availability, Change, Declaration, Host, HostService, PhaseKind, Purpose},
    levels::{Outgrown, SUPPORTED_LEVEL},
    migration::{MigrationLock, MigrationState, Migrations, Verdict},
    provenance::Provenance,
    rebuild::{Predecessor, Rebuilding},
    rollout::{
        EXIT_HALTED, Halt, Halting, Outcome, Part, PartState, Rollout, RolloutKind, RolloutPhase, Timer,
    },
    service::{Quarantine, Service},
};
use self::{
    proposals::Proposals,
    scene::{Scene, Scribe},
};
use crate::{ClusterId, HostId, Incarnation, Revision, ServiceName};

/// What every voter knows of the fleet.
///
/// It is copied whenever somebody still looks at the state before (see `raft`), so its larger parts are shared between copies: a copy costs
/// pointers, and a change the one part that it changes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Fleet {
    /// The last log entry applied.
    pub revision: Revision,
    /// How often the cluster was rebuilt from a minority.
    pub incarnation: Incarnation,
    /// The behaviour of `apply` that is switched on.
    pub level: u32,
    /// Every host that ever enrolled and is remembered.
    pub hosts: BTreeMap<HostId, Arc<Host>>,
    /// Every service that a host ever declared.
    pub services: BTreeMap<ServiceName, Service>,
    /// The last events, oldest first.
    pub events: VecDeque<Arc<Event>>,
    /// The revision of the newest event that was forgotten.
    pub forgotten: Revision,
    /// The clusters that this one was rebuilt from, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub predecessors: Vec<Predecessor>,
    /// The lost cluster that is about to be rebuilt in place of this one, in which nothing was rolled out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gives_way: Option<ClusterId>,
    /// What was answered to whom, so that a duplicate gets the first reply.
    proposals: Proposals,
}

impl Fleet {
    /// Applies one log entry. Total: every command has a reply, and a refused one changes nothing.
    pub fn apply(&mut self, revision: Revision, command: &Command) -> Reply {
        self.revision = revision;
        if let Some(reply) = self.proposals.answered(command) {
            return reply;
        }
        let mut scribe = Scribe::new(revision, self.incarnation, command.at);
        let reply = self.decide(&command.proposer, &command.act, &mut scribe).unwrap_or_else(Reply::Refused);
        self.keep(scribe);
        self.proposals.remember(command, revision, &reply);
        reply
    }

    fn decide(&mut self, proposer: &str, act: &Act, scribe: &mut Scribe) -> Result<Reply, Refusal> {
        match act {
            Act::Enrol(enrolment) => self.enrol(enrolment, proposer, scribe),
            Act::Depart { host, evidence } => self.depart(host, evidence, scribe),
            Act::Silent { host } => self.fall_silent(host, scribe),
            Act::Report { host, service, report } => self.scene(service, scribe)?.report(host, report),
            Act::Plan { service, planned_at, steps } => self.scene(service, scribe)?.plan(*planned_at, steps),
            Act::Ask { service, by, request } => {
                self.check_goes_on()?;
                self.scene(service, scribe)?.ask(by, request)
            }
            Act::GiveWay { to, by } => self.give_way(to, by),
            Act::RaiseLevel { level } => self.raise_level(*level, scribe),
        }
    }

    fn scene<'a>(&'a mut self, name: &'a ServiceName, scribe: &'a mut Scribe) -> Result<Scene<'a>, Refusal> {
        let declared = || self.services.keys().cloned().collect();
        if !self.services.contains_key(name) {
            return Err(Refusal::UnknownService { service: name.clone(), declared: declared() });
        }
        let service = self.services.get_mut(name).expect("looked up above");
        Ok(Scene { name, service, hosts: &mut self.hosts, scribe })
    }

    fn keep(&mut self, scribe: Scribe) {
        self.events.extend(scribe.events.into_iter().map(Arc::new));
        while EVENTS_KEPT < self.events.len() {
            if let Some(forgotten) = self.events.pop_front() {
                self.forgotten = forgotten.revision;
            }
        }
    }

    /// The hosts that are there: enrolled and not departed.
    pub fn present(&self) -> impl Iterator<Item = (&HostId, &Host)> {
        let hosts = self.hosts.iter().map(|(id, host)| (id, &**host));
        hosts.filter(|(_, host)| host.departed.is_none())
    }

    /// The hosts that declare `service`, with what they have of it.
    pub fn declaring<'a>(
        &'a self,
        service: &'a ServiceName,
    ) -> impl Iterator<Item = (&'a HostId, &'a HostService)> {
        self.present().filter_map(move |(id, host)| Some((id, host.services.get(service)?)))
    }
}
