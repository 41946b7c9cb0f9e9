//! What becomes of the calls of host machines.

use model::{
    Fence, Release,
    host::{Denied, Effect, Event, FaultSeen, FaultWord, Miss, Observed, Ticket},
};

use super::{Happening, Runs, World};
use crate::{
    HostNo, ServiceNo,
    scenario::{Ill, Work, ms},
};

/// Longest time for one call to the balancer, in milliseconds.
const BALANCER_LIMIT: u64 = 10_000;
/// How long a slow balancer takes, and a slow store, in milliseconds.
const SLOW: (u64, u64) = (6_000, 20_000);

/// Where a call comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) host: HostNo,
    pub(crate) service: ServiceNo,
    run: u64,
}

impl World {
    pub(super) fn call(&mut self, host: HostNo, service: ServiceNo, run: u64, effect: Effect) {
        let here = &self.hosts[host];
        let gone = here.runs != run || here.agent.is_none();
        // What an agent that died had sent may still arrive; what it had not sent does not.
        if !here.power || gone && self.chance.one_in(2) {
            return;
        }
        if here.stopped != 0 {
            return self.later(700, Happening::Call { host, service, run, effect: Box::new(effect) });
        }
        let from = Caller { host, service, run };
        match effect {
            Effect::Observe { ticket } => {
                let result = Ok(self.hosts[host].keepers[service].observed());
                self.answer(from, 1, Event::Observed { ticket, result });
            }
            Effect::QueryStanding { ticket } => self.query_standing(from, ticket),
            Effect::Leave { ticket, .. } => self.balance(from, ticket, false),
            Effect::Join { ticket } => self.balance(from, ticket, true),
            Effect::QueryStaged { ticket } => {
                let result = Ok(self.hosts[host].disks[service].staged.clone());
                self.answer(from, 1, Event::StagedRead { ticket, result });
            }
            Effect::Stage { ticket, release, .. } => {
                let after = if 0 < self.hosts[host].store_slow { SLOW.1 } else { self.way() };
                let result = self.stage(host, service, &release);
                self.answer(from, after, Event::StageEnded { ticket, result });
            }
            Effect::Collect { ticket, keep } => {
                let result = Ok(self.collect(host, service, &keep));
                self.answer(from, 1, Event::Collected { ticket, result });
            }
            Effect::Stop { ticket, fence, grace } => self.stop(from, ticket, fence, ms(grace)),
            Effect::VerifyAndStart { ticket, fence, release } => self.start(from, ticket, fence, &release),
            Effect::KeepRunning { ticket, fence, keep } => self.keep_running(from, ticket, fence, keep),
            Effect::Probe { ticket } => {
                let result = if 0 < self.hosts[host].unasked[service] {
                    Err(Miss::Unasked("ask the service: no such program".to_owned()))
                } else if self.serves(host, service) {
                    Ok(())
                } else {
                    Err(Miss::Service("status 503".to_owned()))
                };
                let after = self.chance.between(1, 20);
                self.answer(from, after, Event::Probed { ticket, result });
            }
            Effect::Migrate { ticket, fence, release } => self.migrate(from, ticket, fence, &release),
            Effect::StopMigration { ticket, fence, .. } => {
                self.stop_migration(from, ticket, fence);
            }
            Effect::ReadTail { ticket, .. } => {
                self.answer(from, 1, Event::TailRead { ticket, result: Ok("the end".into()) });
            }
            Effect::Persist(_) | Effect::Propose { .. } | Effect::Log(_) => (),
        }
    }

    fn answer(&mut self, from: Caller, after: u64, event: Event) {
        let Caller { host, service, run } = from;
        self.later(after, Happening::ToMachine { host, service, run, event: Box::new(event) });
    }

    fn observed(&self, from: Caller) -> Observed {
        self.hosts[from.host].keepers[from.service].observed()
    }

    fn query_standing(&mut self, from: Caller, ticket: Ticket) {
        let back = self.way();
        let balancer = &self.balancers[from.service];
        let (after, result) = if 0 < balancer.throttled {
            (back, Err(fault(FaultWord::Throttled, "slow down")))
        } else if 0 < balancer.slow && self.chance.one_in(2) {
            (BALANCER_LIMIT, Err(fault(FaultWord::Transient, "no answer within 10 s")))
        } else if 0 < balancer.slow {
            (SLOW.0, Ok(self.says(from.service, from.host)))
        } else {
            (back, Ok(self.says(from.service, from.host)))
        };
        self.answer(from, after, Event::StandingRead { ticket, result });
    }

    fn balance(&mut self, from: Caller, ticket: Ticket, join: bool) {
        let drain = self.tells_drain(from.service);
        let event = |result: Result<(), FaultSeen>| {
            if join {
                Event::Joined { ticket, result }
            } else {
                Event::Left { ticket, result: result.map(|()| drain) }
            }
        };
        let back = self.way();
        let balancer = &self.balancers[from.service];
        if 0 < balancer.throttled {
            return self.answer(from, back, event(Err(fault(FaultWord::Throttled, "slow down"))));
        }
        let lost = 0 < balancer.answers_lost;
        if 0 < balancer.slow && self.chance.one_in(3) {
            return self.answer(from, BALANCER_LIMIT, event(Err(fault(FaultWord::Transient, "no answer"))));
        }
        self.watch(|invariants, world| invariants.balances(world, from.host, from.service, join));
        if join {
            let late = self.balancers[from.service].registers_late;
            if late == 0 {
                self.register(from.service, from.host);
            } else {
                let leaves = self.balancers[from.service].targets[from.host].leaves;
                let (service, host) = (from.service, from.host);
                self.later(late, Happening::Registers { service, host, leaves });
            }
        } else {
            self.deregister(from.service, from.host);
        }
        if lost {
            let what = fault(FaultWord::Transient, "no answer within 10 s");
            return self.answer(from, BALANCER_LIMIT, event(Err(what)));
        }
        self.answer(from, back, event(Ok(())));
    }

    fn stop(&mut self, from: Caller, ticket: Ticket, fence: Fence, grace: u64) {
        let keeper = &mut self.hosts[from.host].keepers[from.service];
        if let Some(newest) = keeper.newest.filter(|newest| fence < *newest) {
            return self.answer(from, 1, Event::Stopped { ticket, result: Err(Denied::Stale { newest }) });
        }
        keeper.newest = Some(fence);
        keeper.keep = false;
        match &keeper.runs {
            Runs::Running(process) => {
                // Asked again meanwhile, all are answered when it is gone.
                let first = !process.stopping;
                keeper.waiting.push((ticket, from.run));
                if first {
                    self.watch(|invariants, world| invariants.stops(world, from.host, from.service));
                    self.terminate(from.host, from.service, grace);
                }
                return;
            }
            Runs::Exited { .. } => {
                keeper.runs = Runs::Nothing;
                self.keeper_news(from.host, from.service);
            }
            Runs::Nothing => (),
        }
        let result = Ok(self.observed(from));
        self.answer(from, 2, Event::Stopped { ticket, result });
    }

    fn start(&mut self, from: Caller, ticket: Ticket, fence: Fence, release: &Release) {
        let verified = self.is_staged(from.host, from.service, &release.id);
        let result = match verified {
            Err(fault) => Err(Denied::Fault(fault)),
            Ok(()) => self.starts(from, fence, release),
        };
        let after = self.chance.between(1, 30);
        self.answer(from, after, Event::Started { ticket, result });
    }

    fn starts(&mut self, from: Caller, fence: Fence, release: &Release) -> Result<Observed, Denied> {
        let keeper = &mut self.hosts[from.host].keepers[from.service];
        if let Some(newest) = keeper.newest.filter(|newest| fence < *newest) {
            return Err(Denied::Stale { newest });
        }
        if let Runs::Running(process) = &keeper.runs {
            if process.release == release.id && process.fence == fence {
                return Ok(keeper.observed());
            }
            return Err(Denied::Occupied { text: format!("{} runs", process.release) });
        }
        keeper.newest = Some(fence);
        keeper.keep = false;
        if self.traits(from.service, &release.id).ill_on(from.host) == Some(Ill::NoExec) {
            self.hosts[from.host].keepers[from.service].runs = Runs::Nothing;
            self.keeper_news(from.host, from.service);
            return Err(Denied::Exec { text: format!("start {}: no such file", release.id) });
        }
        self.watch(|invariants, world| invariants.starts(world, from.host, from.service, release, fence));
        self.spawn(from.host, from.service, &release.id, fence, 0);
        Ok(self.observed(from))
    }

    fn keep_running(&mut self, from: Caller, ticket: Ticket, fence: Fence, keep: bool) {
        let keeper = &mut self.hosts[from.host].keepers[from.service];
        if let Some(newest) = keeper.newest.filter(|newest| fence < *newest) {
            return self.answer(from, 1, Event::Kept { ticket, result: Err(Denied::Stale { newest }) });
        }
        keeper.newest = Some(fence);
        if keeper.runs != Runs::Nothing {
            let before = std::mem::replace(&mut keeper.keep, keep);
            let ended = matches!(keeper.runs, Runs::Exited { .. });
            if keep && ended && !before {
                let pid = keeper.pid();
                self.later(1000, Happening::Restart { host: from.host, service: from.service, pid });
            }
        }
        self.answer(from, 1, Event::Kept { ticket, result: Ok(()) });
    }

    fn migrate(&mut self, from: Caller, ticket: Ticket, fence: Fence, release: &Release) {
        let verified = self.is_staged(from.host, from.service, &release.id);
        let result = match verified {
            Err(fault) => Err(Denied::Fault(fault)),
            Ok(()) => self.migrates(from, fence, release),
        };
        let after = self.chance.between(1, 30);
        self.answer(from, after, Event::MigrateCalled { ticket, result });
    }

    fn migrates(&mut self, from: Caller, fence: Fence, release: &Release) -> Result<Observed, Denied> {
        let keeper = &mut self.hosts[from.host].keepers[from.service];
        if let Some(newest) = keeper.newest_migration.filter(|newest| fence < *newest) {
            return Err(Denied::Stale { newest });
        }
        if let Some(last) = &keeper.migration {
            if last.fence == fence {
                return Ok(keeper.observed());
            }
            if last.end.is_none() {
                return Err(Denied::Occupied { text: format!("the migration of {} runs", last.release) });
            }
        }
        keeper.newest_migration = Some(fence);
        self.watch(|invariants, world| invariants.migrates(world, from.host, from.service, release));
        self.spawn_migration(from.host, from.service, &release.id, fence);
        self.amid(from.host, from.service, Work::Migration);
        Ok(self.observed(from))
    }

    fn stop_migration(&mut self, from: Caller, ticket: Ticket, fence: Fence) {
        let keeper = &self.hosts[from.host].keepers[from.service];
        if let Some(newest) = keeper.newest_migration.filter(|newest| fence < *newest) {
            return self.answer(
                from,
                1,
                Event::MigrationStopped { ticket, result: Err(Denied::Stale { newest }) },
            );
        }
        if keeper.migrates() {
            self.end_migration(from.host, from.service, model::host::ExitSeen::Signal(15), false);
        }
        let result = Ok(self.observed(from));
        self.answer(from, 3, Event::MigrationStopped { ticket, result });
    }
}

fn fault(kind: FaultWord, text: &str) -> FaultSeen {
    FaultSeen { kind, text: format!("ask the balancer: {text}") }
}
