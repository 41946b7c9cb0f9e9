//! The promises, one file each. They look at what is true in the simulated world, not at what the machines believe, wherever the two can differ.
//!
//! Absent on purpose: any influence on what happens.

mod overridden;
mod p01_capacity;
mod p02_migrate_once;
mod p03_gate;
mod p04_order;
mod p05_evidence;
mod p06_failed_stays_failed;
mod p07_joiners;
mod p08_outlives;
mod p09_staged_first;
mod p10_reasons;
mod p11_acknowledged;
mod p12_caller;
mod users;

use std::sync::Arc;

use model::{
    Fence, Release,
    fleet::{Act, Command, Fleet, Reply},
};

use crate::{
    HostNo, Scenario, ServiceNo,
    world::{Leader, World},
};

/// What an invariant says: nothing, or which promise was broken and how.
pub(crate) type Verdict = Result<(), (&'static str, String)>;

/// A log entry that was just applied.
pub(crate) struct Applied<'a> {
    pub(crate) before: &'a Arc<Fleet>,
    pub(crate) after: &'a Arc<Fleet>,
    pub(crate) command: &'a Command,
    pub(crate) act: &'a Act,
    pub(crate) reply: &'a Reply,
}

/// All of them, with what they remember.
pub(crate) struct Invariants {
    overridden: overridden::Overridden,
    capacity: p01_capacity::Capacity,
    pub(crate) migrate_once: p02_migrate_once::MigrateOnce,
    failed: p06_failed_stays_failed::FailedStaysFailed,
    waits: p10_reasons::Waits,
    acknowledged: p11_acknowledged::Acknowledged,
    pub(crate) users: users::Users,
}

impl Invariants {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            overridden: overridden::Overridden::default(),
            capacity: p01_capacity::Capacity::new(scenario.services.len()),
            migrate_once: p02_migrate_once::MigrateOnce::default(),
            failed: p06_failed_stays_failed::FailedStaysFailed::default(),
            waits: p10_reasons::Waits::default(),
            acknowledged: p11_acknowledged::Acknowledged::default(),
            users: users::Users::default(),
        }
    }

    /// A log entry was applied.
    pub(crate) fn applied(&mut self, world: &World, applied: &Applied<'_>) -> Verdict {
        self.overridden.applied(world, applied);
        self.capacity.applied(world, applied)?;
        self.migrate_once.applied(world, applied)?;
        p05_evidence::applied(world, applied)?;
        self.failed.applied(world, applied)?;
        p07_joiners::applied(applied)?;
        p09_staged_first::applied(world, applied)?;
        self.waits.applied(world, applied)?;
        self.acknowledged.applied(applied)?;
        p12_caller::applied(world, &self.overridden, applied)
    }

    /// A host leaves or joins the balancer.
    pub(crate) fn balances(
        &mut self,
        world: &World,
        host: HostNo,
        service: ServiceNo,
        join: bool,
    ) -> Verdict {
        if join {
            return p04_order::joins(world, host, service);
        }
        self.capacity.disturbs(world, &self.overridden, host, service)
    }

    /// A process is about to be told to stop.
    pub(crate) fn stops(&mut self, world: &World, host: HostNo, service: ServiceNo) -> Verdict {
        p08_outlives::stops(world, host, service)?;
        p04_order::stops(world, host, service)?;
        self.capacity.disturbs(world, &self.overridden, host, service)
    }

    /// A process is about to be started.
    pub(crate) fn starts(
        &mut self,
        world: &World,
        host: HostNo,
        service: ServiceNo,
        release: &Release,
        fence: Fence,
    ) -> Verdict {
        p03_gate::starts(world, &self.migrate_once, host, service, release)?;
        self.failed.starts(world, host, service, release, fence)
    }

    /// A migration is about to be started.
    pub(crate) fn migrates(
        &mut self,
        world: &World,
        host: HostNo,
        service: ServiceNo,
        release: &Release,
    ) -> Verdict {
        self.migrate_once.starts(world, host, service, release)
    }

    /// A change has ended on a host, which has just written it down.
    pub(crate) fn ends(&self, world: &World, host: HostNo, service: ServiceNo, fence: Fence) -> Verdict {
        p04_order::ends(world, host, service, fence)
    }

    /// A leader has planned.
    pub(crate) fn planned(&mut self, world: &World, leader: &Leader, fleet: &Fleet) -> Verdict {
        p10_reasons::planned(world, leader, fleet)
    }

    /// A host was booted a while ago.
    pub(crate) fn serves_again(&mut self, world: &World, host: HostNo) -> Verdict {
        p08_outlives::serves_again(world, host)
    }

    /// All is over.
    pub(crate) fn settled(&mut self, world: &World) -> Verdict {
        p11_acknowledged::settled(world)
    }
}
