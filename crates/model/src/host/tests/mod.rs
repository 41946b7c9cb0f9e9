//! The host machine against a world in virtual time, and its table by itself.

mod balancer;
mod changes;
mod crashes;
mod disorder;
mod drains;
mod failures;
mod freezes;
mod frozen;
mod health;
mod migrations;
mod outside;
mod phases;
mod process;
mod refusals;
mod registrations;
mod staging;
mod steady;
mod stuck;
mod tellings;
mod together;
mod unasked;
mod verdicts;
mod waits;
mod words;
mod world;

use std::{collections::BTreeSet, time::Duration};

use world::World;

use super::{Host, Ledger, Setup};
use crate::{
    Fence, Incarnation, Policy, Release, Revision,
    fleet::{
        assignment::{ChangeGrant, ServiceAssignment},
        host::{Availability, PhaseKind},
    },
};

const SETUP: Setup = Setup { headful: false, probe: false, asks_ready: false, instances: 1, seed: 7 };
const HEADFUL: Setup = Setup { headful: true, probe: true, ..SETUP };
const HEADLESS: Setup = Setup { headful: false, probe: true, ..SETUP };
const BARE: Setup = Setup { headful: false, probe: false, ..SETUP };

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn fence(revision: u64) -> Fence {
    Fence { incarnation: Incarnation(1), revision: Revision(revision) }
}

fn release(id: &str) -> Release {
    Release { id: id.parse().unwrap(), source: format!("/releases/{id}"), migrates: true }
}

/// What the fleet says to a host that has nothing to do.
fn nothing(current: Option<&str>) -> ServiceAssignment {
    ServiceAssignment {
        stage: vec![],
        keep: BTreeSet::new(),
        migrate: None,
        change: None,
        current: current.map(release),
        parked: false,
        availability: if current.is_some() { Availability::In } else { Availability::Out },
        staged: BTreeSet::new(),
        policy: Policy::default(),
    }
}

fn grant(revision: u64, from: Option<&str>, to: Option<&str>) -> ChangeGrant {
    ChangeGrant {
        fence: fence(revision),
        rollout: None,
        to: to.map(release),
        from: from.map(release),
        fallback: from.is_some(),
        park: false,
        revert: false,
        phase: PhaseKind::Granted,
    }
}

/// A host that has `serving` in soaked service, in the balancer and running under fence 1.
fn serving(setup: Setup, serving: Option<&str>) -> World {
    let ledger =
        Ledger { serving: serving.map(release), fence: serving.map(|_| fence(1)), ..Ledger::default() };
    let mut world = World::new(setup, ledger, nothing(serving));
    if let Some(id) = serving {
        world.is_running(id, fence(1));
    }
    world.boot();
    world.run(secs(2));
    world.forget();
    world
}
