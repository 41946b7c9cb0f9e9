//! The fleet machine as tables of command and reply.

mod admissions;
mod capacity;
mod changes;
mod channel;
mod events;
mod failing;
mod format;
mod history;
mod hosts;
mod joiners;
mod migration;
mod operators;
mod proposals;
mod quarantine;
mod queue;
mod rebuild;
mod recalls;
mod reports;
mod setbacks;
mod staging;
mod waves;

use super::*;
use crate::policy::OnFailure;
use crate::{Fence, Policy, Release, ReleaseId, RolloutId, time::WallTime};

/// A fleet under test, and what a proposer would keep.
#[derive(Debug, Clone)]
pub(super) struct Lab {
    pub(super) fleet: Fleet,
    sequence: u64,
}

pub(super) fn h(number: u32) -> HostId {
    format!("h{number}").parse().unwrap()
}

pub(super) fn web() -> ServiceName {
    "web".parse().unwrap()
}

pub(super) fn id(name: &str) -> ReleaseId {
    name.parse().unwrap()
}

/// A release; one whose name starts with `m` brings a migration.
pub(super) fn release(name: &str) -> Release {
    Release { id: id(name), source: format!("/store/{name}"), migrates: name.starts_with('m') }
}

pub(super) fn by(reason: &str) -> Operator {
    Operator { name: "ann".into(), reason: reason.into() }
}

pub(super) fn policy(max_unavailable: u32) -> Policy {
    Policy { max_unavailable: max_unavailable.try_into().unwrap(), ..Policy::default() }
}

pub(super) fn failure(cause: Cause) -> Failure {
    Failure { phase: PhaseKind::Probing, cause, reason: "probe answered 503".into(), tail: "oops".into() }
}

pub(super) fn declaration() -> Declaration {
    Declaration { port: 80, probe: Some("GET /".into()), balancer: Some("web".into()), channel: None }
}

pub(super) fn enrolment(host: u32, state: &str) -> Enrolment {
    Enrolment {
        host: h(host),
        state: state.into(),
        address: format!("10.0.0.{host}:7000").parse().unwrap(),
        zone: Some("a".into()),
        declares: BTreeMap::from([(web(), declaration())]),
        level: SUPPORTED_LEVEL,
        obeyed: None,
        migrated: Default::default(),
        migrated_before: Default::default(),
    }
}

impl Lab {
    /// Hosts `h1` to `hn`, of which none runs anything.
    pub(super) fn bare(hosts: u32) -> Self {
        let mut lab = Self { fleet: Fleet::default(), sequence: 0 };
        for host in 1..=hosts {
            lab.enrol(host);
        }
        lab
    }

    /// Hosts that all serve `a`, which has completed.
    pub(super) fn serving(hosts: u32) -> Self {
        Self::serving_with(hosts, policy(1))
    }

    pub(super) fn serving_with(hosts: u32, policy: Policy) -> Self {
        let mut lab = Self::bare(hosts);
        lab.ask(Request::SetPolicy { policy });
        lab.completes("a");
        lab
    }

    pub(super) fn apply(&mut self, act: Act) -> Reply {
        self.sequence += 1;
        let command = Command { proposer: "lab".into(), sequence: self.sequence, at: WallTime(1000), act };
        self.send(&command)
    }

    /// Applies a command as the next log entry.
    pub(super) fn send(&mut self, command: &Command) -> Reply {
        let revision = Revision(self.fleet.revision.0 + 1);
        let reply = self.fleet.apply(revision, command);
        history::record(command, &reply);
        self.check();
        reply
    }

    /// What holds after every command.
    fn check(&self) {
        for service in self.fleet.services.values() {
            for rollout in [service.active(), service.next()].into_iter().flatten() {
                assert_eq!(rollout.outcome(), None, "{} is over, but under way", rollout.id);
            }
            assert!(service.active.is_some() || service.next.is_none(), "a rollout waits behind none");
        }
    }

    pub(super) fn enrol(&mut self, host: u32) -> Reply {
        self.apply(Act::Enrol(enrolment(host, &format!("state-{host}"))))
    }

    pub(super) fn ask(&mut self, request: Request) -> Reply {
        self.apply(Act::Ask { service: web(), by: by("because"), request })
    }

    pub(super) fn push(&mut self, name: &str) -> Reply {
        self.ask(Request::Push { release: release(name), policy: None, provenance: Default::default() })
    }

    /// Pushes what is accepted.
    pub(super) fn pushed(&mut self, name: &str) -> RolloutId {
        match self.push(name) {
            Reply::Accepted(rollout) => rollout,
            reply => panic!("push of {name}: {reply:?}"),
        }
    }

    pub(super) fn report(&mut self, host: u32, report: Report) -> Reply {
        self.apply(Act::Report { host: h(host), service: web(), report })
    }

    pub(super) fn step(&mut self, step: Step) -> Result<(), Refusal> {
        let planned_at = self.service().changed;
        match self.apply(Act::Plan { service: web(), planned_at, steps: vec![step] }) {
            Reply::Planned(mut results) => results.remove(0),
            reply => panic!("a plan was answered with {reply:?}"),
        }
    }

    pub(super) fn terminate(&mut self, host: u32) -> Reply {
        self.apply(Act::Depart { host: h(host), evidence: Evidence::Terminated })
    }

    pub(super) fn silent(&mut self, host: u32) -> Reply {
        self.apply(Act::Silent { host: h(host) })
    }

    pub(super) fn falls_out(&mut self, host: u32, cause: Cause) -> Reply {
        self.availability(host, Availability::Out, cause)
    }

    pub(super) fn availability(&mut self, host: u32, availability: Availability, cause: Cause) -> Reply {
        let reason = "it was seen".to_owned();
        self.report(host, Report::Availability { availability, cause, reason, tail: "".into(), of: None })
    }

    pub(super) fn service(&self) -> &Service {
        &self.fleet.services[&web()]
    }

    pub(super) fn here(&self, host: u32) -> &HostService {
        &self.fleet.hosts[&h(host)].services[&web()]
    }

    pub(super) fn fence(&self, host: u32) -> Fence {
        self.here(host).change.as_ref().unwrap_or_else(|| panic!("h{host} has no change")).fence
    }

    pub(super) fn rollout(&self, id: RolloutId) -> &Rollout {
        &self.service().rollouts[&id]
    }

    pub(super) fn outcome(&self, id: RolloutId) -> Option<&Outcome> {
        self.rollout(id).outcome()
    }

    pub(super) fn part(&self, rollout: RolloutId, host: u32) -> PartState {
        self.rollout(rollout).parts[&h(host)].state
    }

    pub(super) fn active(&self) -> RolloutId {
        self.service().active.expect("no rollout is under way")
    }

    /// Every host has the release.
    pub(super) fn stages(&mut self, name: &str) {
        let hosts: Vec<HostId> = self.fleet.present().map(|(host, _)| host.clone()).collect();
        for host in hosts {
            let report = Report::Staged { release: id(name) };
            self.apply(Act::Report { host, service: web(), report });
        }
    }

    /// Pushes, stages, and ends staging.
    pub(super) fn staged(&mut self, name: &str) -> RolloutId {
        let rollout = self.pushed(name);
        self.stages(name);
        assert_eq!(self.step(Step::EndStaging { rollout, dropped: Vec::new() }), Ok(()), "end of staging");
        rollout
    }

    pub(super) fn wave(&mut self, hosts: &[u32]) {
        let hosts = hosts.iter().copied().map(h).collect();
        let rollout = self.active();
        assert_eq!(self.step(Step::StartWave { rollout, hosts }), Ok(()), "start of a wave");
    }

    pub(super) fn end_wave(&mut self) {
        let rollout = self.active();
        assert_eq!(self.step(Step::EndWave { rollout }), Ok(()), "end of a wave");
    }

    pub(super) fn grant(&mut self, host: u32) -> Result<(), Refusal> {
        let rollout = self.active();
        self.step(Step::Grant { rollout, host: h(host) })
    }

    /// Takes the host's change from one phase to the next ones, in turn.
    pub(super) fn moves(&mut self, host: u32, phases: &[PhaseKind]) {
        for &to in phases {
            let (fence, from) = (self.fence(host), self.here(host).change.as_ref().unwrap().phase);
            let reply = self.report(host, Report::Moved { fence, from, to, reason: None });
            assert_eq!(reply, Reply::Done, "h{host} from {from} to {to}");
        }
    }

    /// Lets a host that has a slot begin.
    pub(super) fn begins(&mut self, host: u32) {
        self.moves(host, &[PhaseKind::Draining]);
    }

    /// Takes a host that serves out for maintenance.
    pub(super) fn parks(&mut self, host: u32) {
        self.ask(Request::Drain { host: h(host) });
        self.step(Step::Park { host: h(host) }).unwrap();
        self.moves(host, &[PhaseKind::Draining, PhaseKind::Stopping]);
        let fence = self.fence(host);
        self.report(host, Report::Parked { fence });
    }

    /// Lets a host that has a slot come through.
    pub(super) fn changes(&mut self, host: u32) {
        if self.here(host).change.as_ref().is_some_and(|change| change.phase == PhaseKind::Granted) {
            self.begins(host);
        }
        let fence = self.fence(host);
        assert_eq!(self.report(host, Report::Changed { fence }), Reply::Done, "h{host} has changed");
    }

    pub(super) fn fails(&mut self, host: u32) {
        let fence = self.fence(host);
        let report = Report::Failed { fence, failure: failure(Cause::Release) };
        assert_eq!(self.report(host, report), Reply::Done, "h{host} has failed");
    }

    pub(super) fn reverts(&mut self, host: u32) {
        let fence = self.fence(host);
        assert_eq!(self.report(host, Report::Reverted { fence }), Reply::Done, "h{host} is back");
    }

    pub(super) fn stuck(&mut self, host: u32, cause: Cause) {
        let fence = self.fence(host);
        let report = Report::Stuck { fence, failure: failure(cause) };
        assert_eq!(self.report(host, report), Reply::Done, "h{host} is stuck");
    }

    /// Rolls all open parts of the active rollout, one host at a time, until it is complete.
    pub(super) fn finishes(&mut self) {
        let rollout = self.active();
        loop {
            let open = |part: &Part| part.state == PartState::Pending;
            let parts = &self.rollout(rollout).parts;
            let Some((host, part)) = parts.iter().find(|(_, part)| open(part)) else { break };
            let (host, wave) = (host.clone(), part.wave);
            let number: u32 = host.as_str()[1..].parse().unwrap();
            if wave.is_none() {
                if !self.rollout(rollout).wave_soaked {
                    self.end_wave();
                }
                self.wave(&[number]);
            }
            assert_eq!(self.grant(number), Ok(()), "grant for {host}");
            self.changes(number);
        }
        assert_eq!(self.step(Step::Complete { rollout }), Ok(()), "completion");
    }

    /// A push that goes well, migration included.
    pub(super) fn completes(&mut self, name: &str) -> RolloutId {
        let rollout = self.staged(name);
        if release(name).migrates {
            self.migrates(1, name, MigrationEnd::Succeeded);
            assert_eq!(self.step(Step::EndMigrating { rollout }), Ok(()), "end of migrating");
        }
        self.finishes();
        rollout
    }

    pub(super) fn grant_migration(&mut self, host: u32, name: &str) -> Result<(), Refusal> {
        self.step(Step::GrantMigration { host: h(host), release: id(name) })
    }

    pub(super) fn migration_ended(&mut self, host: u32, end: MigrationEnd) -> Reply {
        let fence = self.service().migration_lock.as_ref().expect("nobody has the lock").fence;
        self.report(host, Report::MigrationEnded { fence, end, tail: "log".into() })
    }

    pub(super) fn migrates(&mut self, host: u32, name: &str, end: MigrationEnd) {
        assert_eq!(self.grant_migration(host, name), Ok(()), "migration lock for h{host}");
        let fence = self.service().migration_lock.as_ref().unwrap().fence;
        assert_eq!(self.report(host, Report::MigrationStarted { fence }), Reply::Done);
        assert_eq!(self.migration_ended(host, end), Reply::Done);
    }
}

#[track_caller]
pub(super) fn assert_refused(reply: &Reply, expected: &str) {
    match reply {
        Reply::Refused(refusal) => assert_eq!(refusal.word(), expected, "{refusal}"),
        reply => panic!("expected a refusal ({expected}), not {reply:?}"),
    }
}

#[track_caller]
pub(super) fn assert_no(result: &Result<(), Refusal>, expected: &str) {
    match result {
        Err(refusal) => assert_eq!(refusal.word(), expected, "{refusal}"),
        Ok(()) => panic!("expected a refusal ({expected})"),
    }
}
