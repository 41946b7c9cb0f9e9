//! CI and operators: what they ask, and what they are told.

use model::{
    ReleaseId, RolloutId,
    fleet::{Act, Evidence, Lock, Operator, Reply, Request, Verdict},
};

use super::{From, Happening, World};
use crate::{HostNo, ServiceNo};

/// Between two tries of a client, in milliseconds, and how many it makes.
const RETRY: (u64, u32) = (500, 60);

/// Longest time in which an operator thinks about what he was shown, in milliseconds.
const THINKS: u64 = 6_000;

/// A push, and what its client was told.
#[derive(Debug, Clone)]
pub(crate) struct Pushed {
    pub(crate) service: ServiceNo,
    pub(crate) release: ReleaseId,
    pub(crate) told: Option<RolloutId>,
}

impl World {
    /// Somebody asks something of a service.
    pub(super) fn ask(&mut self, service: ServiceNo, request: Request) {
        let push = match &request {
            Request::Push { release, .. } => {
                self.pushed.push(Pushed { service, release: release.id.clone(), told: None });
                Some(self.pushed.len() - 1)
            }
            _ => None,
        };
        let by = Operator { name: "ann".into(), reason: "because".into() };
        let act = Act::Ask { service: self.services[service].clone(), by, request };
        self.somebody(act, push);
    }

    /// Somebody asks something, through any agent, and again until there is an answer.
    pub(super) fn somebody(&mut self, act: Act, push: Option<usize>) {
        self.somebody_later(1, act, push);
    }

    fn somebody_later(&mut self, after: u64, act: Act, push: Option<usize>) {
        self.people += 1;
        let command = Self::command(format!("person {}", self.people), 1, act);
        let letter = self.letter(0, From::Person { push }, command);
        self.later(after, Happening::Asks { letter, tries: 0 });
    }

    pub(super) fn asks(&mut self, letter: usize, tries: u32) {
        let (pause, most) = RETRY;
        if self.letters[letter].done {
            return;
        }
        if most <= tries && !self.settling {
            // He gives up, without an answer.
            self.letters[letter].done = true;
            return;
        }
        if self.working_leader().is_some() && !self.is_lost() {
            let command = self.letters[letter].command.clone();
            let reply = self.commit(&command);
            if !self.is_lost() {
                self.letters[letter].done = true;
                self.letters[letter].reply = Some(reply.clone());
                if let From::Person { push } = self.letters[letter].of {
                    self.person_hears(push, Some(reply));
                }
                return;
            }
        }
        self.later(pause, Happening::Asks { letter, tries: tries + 1 });
    }

    pub(super) fn person_hears(&mut self, push: Option<usize>, reply: Option<Reply>) {
        if let (Some(push), Some(Reply::Accepted(rollout) | Reply::Joined(rollout))) = (push, reply) {
            self.pushed[push].told = Some(rollout);
        }
    }

    pub(super) fn push(&mut self, service: ServiceNo, release: usize) {
        let spec = self.scenario.service(service);
        let release = spec.releases[release].release();
        let first = self.pushed.iter().all(|pushed| pushed.service != service);
        let policy = first.then(|| spec.policies[0].clone());
        self.ask(service, Request::Push { release, policy, provenance: Default::default() });
    }

    pub(super) fn push_again(&mut self, service: ServiceNo) {
        let last = self.pushed.iter().rev().find(|pushed| pushed.service == service);
        let Some(release) = last.map(|pushed| pushed.release.clone()) else { return };
        let release = self.traits(service, &release).release();
        self.ask(service, Request::Push { release, policy: None, provenance: Default::default() });
    }

    /// An operator breaks the slot that he was shown.
    pub(super) fn break_slot(&mut self, service: ServiceNo, host: HostNo) {
        let name = self.hosts[host].name.clone();
        let here =
            self.fleet.hosts.get(&name).and_then(|record| record.services.get(&self.services[service]));
        if let Some(fence) = here.and_then(|here| here.change.as_ref()).map(|change| change.fence) {
            self.breaks(service, Request::BreakGrant { lock: Lock::SlotOf(name), fence });
        }
    }

    /// An operator breaks the migration lock that he was shown.
    pub(super) fn break_migration_lock(&mut self, service: ServiceNo, again: bool) {
        let known = self.fleet.services.get(&self.services[service]);
        let lock = known.and_then(|known| known.migration_lock.as_ref());
        if let Some((fence, release)) = lock.map(|lock| (lock.fence, lock.release.id.clone())) {
            let after = self.breaks(service, Request::BreakGrant { lock: Lock::Migration, fence });
            if again {
                let request = Request::ResolveMigration { release, verdict: Verdict::Retry };
                self.asks_later(after + 500, service, request);
            }
        }
    }

    /// What is broken was shown a while before; how long, in milliseconds.
    fn breaks(&mut self, service: ServiceNo, request: Request) -> u64 {
        let thinks = 1 + self.chance.below(THINKS);
        self.asks_later(thinks, service, request);
        thinks
    }

    fn asks_later(&mut self, after: u64, service: ServiceNo, request: Request) {
        let by = Operator { name: "ann".into(), reason: "because".into() };
        let act = Act::Ask { service: self.services[service].clone(), by, request };
        self.somebody_later(after, act, None);
    }

    /// An operator says how the migration that waits for a word ended.
    pub(super) fn resolve(&mut self, service: ServiceNo, verdict: u8) {
        let verdict = match verdict {
            0 => Verdict::Succeeded,
            1 => Verdict::Failed,
            _ => Verdict::Retry,
        };
        let known = self.fleet.services.get(&self.services[service]);
        let last = known.and_then(|known| known.migrations.keys().next_back().cloned());
        if let Some(release) = last {
            self.ask(service, Request::ResolveMigration { release, verdict });
        }
    }

    pub(super) fn unquarantine(&mut self, service: ServiceNo) {
        let known = self.fleet.services.get(&self.services[service]);
        let condemned: Vec<ReleaseId> =
            known.map(|known| known.quarantine.keys().cloned().collect()).unwrap_or_default();
        for release in condemned {
            self.ask(service, Request::ReleaseQuarantine { release });
        }
    }

    /// An operator has seen that another machine has a host's name.
    pub(super) fn remove_old(&mut self, host: HostNo) {
        let here = &self.hosts[host];
        let known = self.fleet.hosts.get(&here.name);
        if !known.is_some_and(|known| known.departed.is_none() && known.state != here.state) {
            return;
        }
        // While he waits for an answer he does not ask again: a second word would be about the new one.
        let asked = here.removal.and_then(|letter| self.letters.get(letter));
        if asked.is_some_and(|letter| !letter.done) {
            return;
        }
        let by = Operator { name: "ann".into(), reason: "it was built anew".into() };
        let act = Act::Depart { host: here.name.clone(), evidence: Evidence::Removed(by) };
        self.hosts[host].removal = Some(self.letters.len());
        self.somebody(act, None);
    }

    /// The cloud has said that a host is no more, or an operator has; the leader writes it down.
    pub(super) fn evidence(&mut self, host: HostNo) {
        if self.working_leader().is_none() {
            return self.later(1000, Happening::Evidence { host });
        }
        let evidence = if self.hosts[host].removed {
            Evidence::Removed(Operator { name: "ann".into(), reason: "it burns".into() })
        } else {
            Evidence::Terminated
        };
        let act = Act::Depart { host: self.hosts[host].name.clone(), evidence };
        self.people += 1;
        let command = Self::command(format!("inventory {}", self.people), 1, act);
        self.commit(&command);
        self.reconsider();
    }
}
