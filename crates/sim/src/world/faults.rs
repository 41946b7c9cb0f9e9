//! What goes wrong, as the scenario has it.

use std::collections::BTreeSet;

use model::{fleet::Request, host::ExitSeen};

use super::{Happening, Runs, World, agents::Disk};
use crate::{
    HostNo, ServiceNo,
    coverage::Group,
    scenario::{AMID, Item, Work, blow_word, item_word},
};

/// From a reboot, or the loss of what a keeper knew, until what was in service is to serve again, in milliseconds: more than its start and all pauses take.
pub(super) const SERVES_AGAIN: u64 = 60_000;

impl World {
    pub(super) fn begin(&mut self, number: usize) {
        let item = self.item(number);
        self.coverage.met(Group::Item, item_word(&item));
        self.told(|| format!("({number}) {}: {item:?}", item_word(&item)));
        if matches!(item, Item::Amid { .. }) {
            return self.armed.push((number, self.at + AMID));
        }
        let lasts = item.lasts();
        if 0 < lasts {
            self.later(lasts, Happening::Over(number));
        }
        match item {
            Item::Push { service, release } => self.push(service, release),
            Item::Again { service } => self.push_again(service),
            Item::Rollback { service } => self.ask(service, Request::Rollback),
            Item::Restart { service } => self.ask(service, Request::Restart),
            Item::Pause { service } => self.ask(service, Request::Pause),
            Item::Resume { service } => self.ask(service, Request::Resume),
            Item::Abort { service, leave } => self.ask(service, Request::Abort { leave }),
            Item::SetPolicy { service, policy } => {
                let policy = self.scenario.service(service).policies[policy].clone();
                self.ask(service, Request::SetPolicy { policy });
            }
            Item::BreakSlot { service, host } => {
                self.break_slot(service, host);
            }
            Item::BreakMigrationLock { service, again } => self.break_migration_lock(service, again),
            Item::Exclude { service, host } => {
                let host = self.hosts[host].name.clone();
                self.ask(service, Request::Exclude { host });
            }
            Item::Include { service, host } => {
                let host = self.hosts[host].name.clone();
                self.ask(service, Request::Include { host });
            }
            Item::Drain { service, host } => {
                let host = self.hosts[host].name.clone();
                self.ask(service, Request::Drain { host });
            }
            Item::Admit { service, host } => {
                let host = self.hosts[host].name.clone();
                self.ask(service, Request::Admit { host });
            }
            Item::Resolve { service, verdict } => self.resolve(service, verdict),
            Item::Unquarantine { service } => self.unquarantine(service),
            other => self.goes_wrong(&other),
        }
    }

    /// A host has come to its work: what waited for that will happen to it.
    pub(super) fn amid(&mut self, host: HostNo, service: ServiceNo, work: Work) {
        let now = self.at;
        self.armed.retain(|(_, until)| now < *until);
        let waits = |number: usize| match self.scenario.items[number].1 {
            Item::Amid { work: of, service: at, after, blow } if of == work && at == service => {
                Some((number, after, blow))
            }
            _ => None,
        };
        let Some((number, after, blow)) = self.armed.iter().find_map(|(number, _)| waits(*number)) else {
            return;
        };
        self.armed.retain(|(other, _)| *other != number);
        self.coverage.met(Group::Blow, blow_word(&blow));
        self.scenario.items[number].1 = blow.of(work, service, host);
        self.later(after.ms(), Happening::Item(number));
    }

    fn goes_wrong(&mut self, item: &Item) {
        match *item {
            Item::Join => self.add_host(),
            Item::Remove { host } => self.ends_for_good(host, true, Some(1000)),
            Item::Terminated { host, told } => self.ends_for_good(host, false, Some(told.ms())),
            Item::Rebuilt { host, removed, .. } if self.may_lose(host) => {
                self.power_lost(host);
                self.hosts[host].rebuilt.get_or_insert(removed.ms());
            }
            Item::Vanished { host } => self.ends_for_good(host, true, None),
            Item::AgentDies { host, down } => {
                self.kill_agent(host);
                self.later(down.ms(), Happening::Start { host });
            }
            Item::AgentDiesAt { host, effects, down } => self.hosts[host].doom = Some((effects, down.ms())),
            Item::KeeperDies { service, host } => self.hosts[host].keepers[service].adopted = true,
            Item::RecordLost { service, host } => self.record_lost(host, service),
            Item::PowerLost { host, .. } => self.power_lost(host),
            Item::AgentFrozen { host, .. } => self.hosts[host].frozen += 1,
            Item::HostFrozen { host, .. } => {
                self.hosts[host].frozen += 1;
                self.hosts[host].stopped += 1;
                self.services_fail(host);
                self.balancers_will_look(host);
            }
            Item::DiskFull { host, .. } => self.hosts[host].full += 1,
            Item::StoreEmpty { host, .. } => self.hosts[host].store_empty += 1,
            Item::StoreSlow { host, .. } => self.hosts[host].store_slow += 1,
            Item::CannotProbe { service, host, .. } => self.hosts[host].unasked[service] += 1,
            Item::Misconfigured { service, host, .. } => {
                self.hosts[host].odd[service] += 1;
                self.restart_agent(host);
            }
            Item::Behind { host, restarts, .. } => {
                self.hosts[host].behind = Some(self.fleet.clone());
                self.later(restarts.ms(), Happening::Bounce { host });
            }
            Item::StoreLoses { service, host } => self.store_loses(service, host),
            Item::StoreSpoilt { service, host } => {
                let disk = &mut self.hosts[host].disks[service];
                disk.spoilt = disk.staged.clone();
            }
            Item::Killed { service, host } => {
                if let Some(process) = self.hosts[host].keepers[service].process() {
                    let (pid, release) = (process.pid, process.release.clone());
                    self.killed.insert((service, release));
                    self.ends_unasked(host, service, pid, ExitSeen::Signal(9));
                }
            }
            Item::AnotherLeads { unaware } => {
                let able: Vec<HostNo> =
                    self.voters().into_iter().filter(|voter| self.has_majority(*voter)).collect();
                if !able.is_empty() {
                    let host = *self.chance.pick(&able);
                    self.lead(host, unaware.ms());
                }
            }
            Item::Laggard { host, length } => self.hosts[host].laggard += length.ms().min(20_000),
            _ => self.switch(item, true),
        }
        self.reconsider();
    }

    pub(super) fn end(&mut self, number: usize) {
        if self.settling {
            return;
        }
        let item = self.item(number);
        self.told(|| format!("({number}) {} is over", item_word(&item)));
        match item {
            Item::PowerLost { host, .. } | Item::Rebuilt { host, .. } => self.power_back(host),
            Item::AgentFrozen { host, .. } => self.unfreeze(host, false),
            Item::HostFrozen { host, .. } => self.unfreeze(host, true),
            Item::DiskFull { host, .. } => self.hosts[host].full -= 1,
            Item::StoreEmpty { host, .. } => self.hosts[host].store_empty -= 1,
            Item::StoreSlow { host, .. } => self.hosts[host].store_slow -= 1,
            Item::CannotProbe { service, host, .. } => self.hosts[host].unasked[service] -= 1,
            Item::Misconfigured { service, host, .. } => {
                self.hosts[host].odd[service] -= 1;
                self.restart_agent(host);
            }
            Item::Behind { host, .. } => self.hosts[host].behind = None,
            Item::Laggard { host, length } => self.hosts[host].laggard -= length.ms().min(20_000),
            _ => self.switch(&item, false),
        }
        self.reconsider();
    }

    /// What is on or off: of the network and the balancer.
    fn switch(&mut self, item: &Item, on: bool) {
        let step = |count: &mut u32| *count = if on { *count + 1 } else { count.saturating_sub(1) };
        match *item {
            Item::CutOff { host, .. } => {
                self.network.deaf(host, on);
                self.network.mute(host, on);
            }
            Item::Deaf { host, .. } => self.network.deaf(host, on),
            Item::Mute { host, .. } => self.network.mute(host, on),
            Item::Apart { one, other, .. } => self.network.apart(one, other, on),
            Item::Split { side, .. } => self.network.split(side, on),
            Item::Throttled { service, .. } => step(&mut self.balancers[service].throttled),
            Item::Slow { service, .. } => step(&mut self.balancers[service].slow),
            Item::AnswersLost { service, .. } => step(&mut self.balancers[service].answers_lost),
            Item::Stale { service, by, .. } => self.balancers[service].stale = if on { by.ms() } else { 0 },
            Item::RegistersLate { service, by, .. } => {
                self.balancers[service].registers_late = if on { by.ms() } else { 0 };
            }
            Item::DrainsLong { service, drain, .. } => {
                self.balancers[service].drains = on.then_some(drain.ms());
            }
            Item::LosesTarget { service, host } if on => self.lose(service, host),
            _ => (),
        }
    }

    fn store_loses(&mut self, service: ServiceNo, host: HostNo) {
        let here = &mut self.hosts[host];
        let kept: BTreeSet<_> =
            here.keepers[service].process().map(|process| process.release.clone()).into_iter().collect();
        here.disks[service].spoilt.retain(|release| kept.contains(release));
        here.disks[service].staged = kept;
    }

    fn balancers_will_look(&mut self, host: HostNo) {
        for service in 0..self.services.len() {
            self.balancer_will_look(service, host);
        }
    }

    pub(super) fn power_lost(&mut self, host: HostNo) {
        self.kill_agent(host);
        if !self.hosts[host].power {
            return;
        }
        self.hosts[host].power = false;
        self.services_fail(host);
        for service in 0..self.services.len() {
            let keeper = &mut self.hosts[host].keepers[service];
            if let Runs::Running(process) = keeper.runs.clone() {
                keeper.runs = Runs::Exited {
                    release: process.release,
                    fence: process.fence,
                    exit: ExitSeen::Unknown,
                    restarts: process.restarts,
                };
            }
            keeper.keep = false;
            keeper.waiting.clear();
            keeper.change += 1;
            self.end_migration(host, service, ExitSeen::Unknown, false);
        }
        self.balancers_will_look(host);
    }

    fn power_back(&mut self, host: HostNo) {
        if self.hosts[host].terminated || self.hosts[host].power {
            return;
        }
        self.hosts[host].power = true;
        if let Some(removed) = self.hosts[host].rebuilt.take() {
            self.build_anew(host);
            self.later(removed, Happening::Succeeds { host });
        }
        self.hosts[host].boots += 1;
        let boot = self.hosts[host].boots;
        self.later(SERVES_AGAIN, Happening::Serves { host, boot });
        self.start_agent(host);
    }

    fn services_fail(&mut self, host: HostNo) {
        for service in 0..self.services.len() {
            self.service_fails(host, service);
        }
    }

    /// Another machine, with the name of the old one and nothing of what was on it.
    fn build_anew(&mut self, host: HostNo) {
        let here = &mut self.hosts[host];
        here.state = format!("{}, built anew", here.state);
        here.disks.fill(Disk::default());
        for (keeper, had) in here.keepers.iter_mut().zip(&mut here.had) {
            *keeper = keeper.blank();
            had.clear();
        }
        self.told(|| format!("h{host} is built anew"));
        self.watch(|invariants, _| {
            invariants.migrate_once.built_anew(host);
            Ok(())
        });
    }

    fn unfreeze(&mut self, host: HostNo, whole: bool) {
        let here = &mut self.hosts[host];
        here.frozen -= 1;
        here.stopped -= u32::from(whole);
        if here.frozen == 0 {
            self.thaw(host);
        }
        for service in 0..self.services.len() {
            self.users_see(host, service);
        }
        self.balancers_will_look(host);
    }

    /// The disk of a host may be lost: it is there, and without it there are enough of the voters' disks.
    fn may_lose(&self, host: HostNo) -> bool {
        let here = |host: HostNo| !self.hosts[host].terminated && self.hosts[host].rebuilt.is_none();
        let voters = self.voters();
        let left = voters.iter().filter(|voter| **voter != host && here(**voter)).count();
        here(host) && voters.len() < 2 * left
    }

    /// A machine goes and never comes back. The last one that works stays, and what makes a majority of the voters.
    fn ends_for_good(&mut self, host: HostNo, removed: bool, told: Option<u64>) {
        if !self.may_lose(host) {
            return;
        }
        self.power_lost(host);
        self.hosts[host].terminated = true;
        self.hosts[host].removed = removed;
        if let Some(told) = told {
            self.later(told, Happening::Evidence { host });
        }
    }

    /// All that goes wrong ends.
    pub(super) fn heal(&mut self) {
        self.told(|| "all faults end".to_owned());
        self.settling = true;
        self.armed.clear();
        self.settles_until = self.at + super::settling::LIMIT;
        self.network.heal();
        for balancer in &mut self.balancers {
            (balancer.throttled, balancer.slow, balancer.answers_lost) = (0, 0, 0);
            (balancer.stale, balancer.registers_late, balancer.drains) = (0, 0, None);
        }
        for host in 0..self.hosts.len() {
            let here = &mut self.hosts[host];
            (here.full, here.store_empty, here.store_slow, here.laggard) = (0, 0, 0, 0);
            (here.frozen, here.stopped, here.doom) = (0, 0, None);
            here.behind = None;
            here.unasked.fill(0);
            let odd = here.odd.iter().any(|odd| 0 < *odd);
            here.odd.fill(0);
            self.power_back(host);
            if odd {
                self.restart_agent(host);
            }
            self.start_agent(host);
            self.thaw(host);
            self.balancers_will_look(host);
        }
        self.later(1, Happening::Elect);
        self.later(1000, Happening::Tidy);
    }

    /// P8: after a reboot, what was last in soaked service serves again, whoever can be reached.
    pub(super) fn must_serve(&mut self, host: HostNo, boot: u64) {
        let here = &self.hosts[host];
        if self.at < here.disturbed + SERVES_AGAIN {
            return self.later(SERVES_AGAIN, Happening::Serves { host, boot });
        }
        if here.boots != boot || !here.power || here.agent.is_none() || here.frozen != 0 || 0 < here.full {
            return;
        }
        self.watch(|invariants, world| invariants.serves_again(world, host));
    }
}
