//! How a push would go, in the words that clients see.

use std::time::Duration;

use crate::{
    HostId, Release, RolloutId, ServiceName,
    fleet::{Outcome, PhaseKind},
    policy::MigratePer,
};

/// How a push would go.
#[derive(Debug, Clone, PartialEq)]
pub struct Ahead {
    /// The service.
    pub service: ServiceName,
    /// The release.
    pub release: Release,
    /// Where it would begin.
    pub start: Start,
    /// The rollout that waited for its turn, and would be superseded by this one at once.
    pub replaces: Option<RolloutId>,
    /// How many hosts may be out.
    pub max_unavailable: u32,
    /// Hosts that are out now, each with the reason.
    pub out: Vec<(HostId, String)>,
    /// Hosts in mid-step now: they finish first.
    pub busy: Vec<(HostId, PhaseKind)>,
    /// Hosts that have the release in service already.
    pub there: Vec<HostId>,
    /// Hosts that have to fetch the release.
    pub fetch: Vec<HostId>,
    /// What becomes of its migration.
    pub migration: MigrationAhead,
    /// The waves, in order; of a rollout that is joined, what is left of them.
    pub waves: Vec<Wave>,
    /// Hosts that take no part, each with the reason.
    pub left_out: Vec<(HostId, String)>,
    /// Where it ends.
    pub end: End,
}

/// Where a push would begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At once.
    Now,
    /// It is the target already: nothing new begins.
    Joins {
        /// The rollout under way, or the last one.
        rollout: RolloutId,
    },
    /// It stages at once, and then takes the place of the rollout under way.
    Supersedes {
        /// That one.
        rollout: RolloutId,
    },
    /// It waits in the queue until the rollout under way is over.
    Waits {
        /// That one.
        rollout: RolloutId,
    },
}

/// What becomes of a release's migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MigrationAhead {
    /// The release brings none.
    NotNeeded,
    /// It has run before.
    Done,
    /// It would be run on these hosts, one after the other.
    Runs {
        /// Once in the fleet, or once on each host.
        per: MigratePer,
        /// They.
        hosts: Vec<HostId>,
    },
    /// Whatever stands against the push comes first.
    NotReached,
}

/// Hosts that are changed together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wave {
    /// Its number; the first is 0.
    pub number: u32,
    /// It shows whether the release works, before the others are touched.
    pub canary: bool,
    /// Who is out at the same time, in order.
    pub turns: Vec<Turn>,
    /// Its hosts that have no turn, as something stands against it.
    pub waiting: Vec<HostId>,
    /// How long it must stay in service before the next one.
    pub soak: Duration,
}

/// Hosts that are out at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Turn {
    /// They.
    pub hosts: Vec<Going>,
    /// P1's sum at that time: all counted hosts that are out, these included.
    pub out: u32,
}

/// A host that has its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Going {
    /// The host.
    pub host: HostId,
    /// It was out before, and costs none of the budget.
    pub sick: bool,
}

/// Where a push would end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With the rollout's own end.
    Over(Outcome),
    /// It would wait, and nothing that is known ends that by itself: the last holds say what does.
    Held,
    /// The fleet is too large to be played to the end; the rest goes on like this.
    Cut,
}
