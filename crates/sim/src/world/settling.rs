//! When the faults have ended: an operator does what the holds ask for, and everything comes to an end.

use model::{
    fleet::{
        Availability, Halt, Halting, MigrationState, PhaseKind, Request, RolloutPhase, Service, Verdict,
    },
    host::{Phase, StandingSeen},
};

use super::{Happening, World};
use crate::{At, HostNo, ServiceNo};

/// Longest time until everything has settled, in milliseconds.
pub(super) const LIMIT: At = 3 * 3600 * 1000;
/// Between two rounds of the operator, in milliseconds.
const ROUND: u64 = 30_000;

impl World {
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// The operator looks at what waits, and does what would end it.
    pub(super) fn tidy(&mut self) {
        if self.is_settled() {
            self.over = true;
            return self.watch(|invariants, world| invariants.settled(world));
        }
        if self.settles_until < self.at {
            let why = self.unsettled();
            return self.break_promise("liveness", why);
        }
        self.remove_the_dead();
        for service in 0..self.services.len() {
            for request in self.what_helps(service) {
                self.ask(service, request);
            }
        }
        self.later(ROUND, Happening::Tidy);
    }

    /// Who is no more is removed: the cloud says so of those that it knows, as often as it is asked, and the operator of the others.
    fn remove_the_dead(&mut self) {
        for host in 0..self.hosts.len() {
            self.remove_old(host);
            let known = self.fleet.hosts.get(&self.hosts[host].name);
            if self.hosts[host].terminated && known.is_some_and(|known| known.departed.is_none()) {
                self.evidence(host);
            }
        }
    }

    fn what_helps(&self, number: ServiceNo) -> Vec<Request> {
        let Some(service) = self.fleet.services.get(&self.services[number]) else { return Vec::new() };
        let mut requests = Vec::new();
        for rollout in [service.active(), service.next()].into_iter().flatten() {
            let target = rollout.target.as_ref().map(|target| target.id.clone());
            match &rollout.phase {
                RolloutPhase::Halted { why: Halt::MigrationUnknown { .. }, .. } => {
                    let verdict = Verdict::Succeeded;
                    requests
                        .extend(target.clone().map(|release| Request::ResolveMigration { release, verdict }));
                }
                RolloutPhase::Halted { during: Halting::Rolling, .. } => {
                    requests.push(Request::Abort { leave: false });
                }
                RolloutPhase::Halted { .. } => requests.push(Request::Resume),
                _ if rollout.paused.is_some() => requests.push(Request::Resume),
                _ => (),
            }
            let verdict = Verdict::Retry;
            requests.extend(target.map(|release| Request::ResolveMigration { release, verdict }));
        }
        requests.extend(self.what_frees_budget(number, service));
        if let Some(last) = service.last_completed().filter(|last| last.migrates) {
            for verdict in [Verdict::Succeeded, Verdict::Retry] {
                requests.push(Request::ResolveMigration { release: last.id.clone(), verdict });
            }
        }
        for (host, here) in self.fleet.declaring(&self.services[number]) {
            if here.parked.is_some() {
                requests.push(Request::Admit { host: host.clone() });
            }
            let ill = self
                .number(host)
                .zip(here.current.as_ref())
                .is_some_and(|(place, current)| self.traits(number, &current.id).ill_on(place).is_some());
            let deserted = service.active().is_some_and(model::fleet::Rollout::is_deserted);
            if here.excluded.is_some() && (deserted || service.active.is_none() && !ill) {
                requests.push(Request::Include { host: host.clone() });
            }
            // It could not go back, and keeps its slot until somebody says so.
            if here.change.as_ref().is_some_and(|change| change.phase == PhaseKind::Stuck) {
                requests.push(Request::BreakSlot { host: host.clone() });
            }
            // Somebody else deregistered it, which is noticed and not fought over: maintenance brings it back.
            let lost = self.number(host).is_some_and(|number_of| {
                self.standing(number, number_of) == StandingSeen::Absent && self.serves(number_of, number)
            });
            let quiet = service.active.is_none() && here.change.is_none() && here.parked.is_none();
            if quiet
                && lost
                && self.scenario.service(number).headful
                && here.availability == Availability::Out
            {
                requests.push(Request::Drain { host: host.clone() });
            }
        }
        requests
    }

    /// Hosts that are out by themselves may leave no room for others: the rollout is given up, or they are taken out of the sum.
    fn what_frees_budget(&self, number: ServiceNo, service: &Service) -> Vec<Request> {
        let name = &self.services[number];
        let spent = self.leaders.last().is_some_and(|leader| {
            leader.holds.iter().any(|hold| hold.service == *name && hold.why.name() == "budget_spent")
        });
        match service.active() {
            Some(active) if spent && !active.is_rollback() => vec![Request::Abort { leave: false }],
            _ if spent => {
                let out = self.fleet.declaring(name).filter(|(_, here)| here.sums() && here.change.is_none());
                let out = out.filter(|(_, here)| here.availability != Availability::In);
                out.map(|(host, _)| Request::Exclude { host: host.clone() }).collect()
            }
            _ => Vec::new(),
        }
    }

    fn is_settled(&self) -> bool {
        let services = (0..self.services.len()).all(|service| {
            self.fleet.services.get(&self.services[service]).is_none_or(|known| known.active.is_none())
        });
        services
            && (0..self.hosts.len()).all(|host| {
                self.hosts[host].terminated
                    || (0..self.services.len()).all(|service| self.host_is_settled(host, service))
            })
    }

    fn host_is_settled(&self, host: HostNo, number: ServiceNo) -> bool {
        let here = &self.hosts[host];
        let Some(agent) = &here.agent else { return false };
        let ledger = agent.machines[number].host.ledger();
        let Some(service) = self.fleet.services.get(&self.services[number]) else { return false };
        let record = self.fleet.hosts.get(&here.name);
        let Some(known) = record.and_then(|record| record.services.get(&self.services[number])) else {
            return false;
        };
        let wanted = service.last_completed();
        // A host that could not go back, and whose slot was broken, rests where nothing else can be tried: nothing has completed, what has
        // failed here before, or what it went back to is ill here.
        let stuck = ledger.change.as_ref().is_some_and(|change| matches!(change.phase, Phase::Stuck { .. }));
        let ill =
            ledger.serving.as_ref().is_some_and(|it| self.traits(number, &it.id).ill_on(host).is_some());
        let hopeless =
            wanted.is_none_or(|wanted| known.failed.as_ref().is_some_and(|(it, _)| *it == wanted.id));
        let rests = ledger.change.is_none() || stuck && (ill || hopeless);
        if !agent.enrolled || !rests || !ledger.reports.is_empty() {
            return false;
        }
        let failed = known.failed.as_ref().map(|(release, _)| release);
        // A joiner whose own migration cannot succeed stays where it is, and a hold says so.
        let barred = wanted.is_some_and(|wanted| {
            let failed = matches!(service.migration(wanted, &here.name), MigrationState::Failed { .. });
            let holds = self.leaders.last().map(|leader| leader.holds.as_slice()).unwrap_or_default();
            let said = holds
                .iter()
                .any(|hold| hold.why.name() == "migration_failed" && hold.why.host() == Some(&here.name));
            failed && said && !self.traits(number, &wanted.id).migrates_well(&service.policy)
        });
        // Where nothing has completed, what an exclusion or a failed roll back left running stays.
        let there = wanted.is_none()
            || known.current.as_ref() == wanted
            || (wanted.is_some() && failed == wanted.map(|wanted| &wanted.id))
            || barred
            || service.mixed;
        let well = known.current.as_ref().is_none_or(|current| {
            let ill = self.traits(number, &current.id).ill_on(host).is_some();
            ill || known.availability == Availability::In && self.is_in_service(host, number)
        });
        known.change.is_none() && (there && (well || stuck) || known.excluded.is_some())
    }

    /// Whether requests come to a host and are answered.
    pub(crate) fn is_in_service(&self, host: HostNo, service: ServiceNo) -> bool {
        let spec = self.scenario.service(service);
        if spec.headful {
            return self.routes(service, host) && self.serves(host, service);
        }
        let runs = self.hosts[host].keepers[service].process().is_some();
        runs && (!spec.probe || self.serves(host, service))
    }

    fn unsettled(&self) -> String {
        let holds = self.leaders.last().map(|leader| {
            leader.holds.iter().map(|hold| hold.why.to_string()).collect::<Vec<_>>().join("; ")
        });
        let mut text =
            format!("it has not settled; holds: {}", holds.unwrap_or_else(|| "nobody leads".into()));
        for (name, service) in &self.fleet.services {
            for rollout in [service.active(), service.next()].into_iter().flatten() {
                text.push_str(&format!("\n{name} {}: {:?} {:?}", rollout.id, rollout.phase, rollout.parts));
            }
        }
        for host in (0..self.hosts.len()).filter(|host| !self.hosts[*host].terminated) {
            for service in (0..self.services.len()).filter(|service| !self.host_is_settled(host, *service)) {
                let here = &self.hosts[host];
                let ledger = here.agent.as_ref().map(|agent| agent.machines[service].host.ledger());
                let known = self
                    .fleet
                    .hosts
                    .get(&here.name)
                    .and_then(|record| record.services.get(&self.services[service]));
                text.push_str(&format!("\nh{host} {service}: ledger {ledger:?}\n  known {known:?}"));
                if let Some(agent) = &here.agent {
                    let now = here.clock.read(self.at);
                    text.push_str(&format!("\n  sees {:?}", agent.machines[service].host.sighting(now)));
                }
            }
        }
        text
    }
}
