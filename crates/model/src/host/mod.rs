//! Changes one service on one host, and watches over it in between.
//!
//! Promise: P4's order in every change and on every way back; nothing is disturbed without a grant that the fleet has just
//! confirmed; once begun, a change ends without any answer from the fleet; after a crash at any instruction it goes on from the
//! [`Ledger`] and from what it observes, never from memory (P8).
//! Absent on purpose: I/O, clocks, randomness, async. The agent calls [`Host::handle`] and carries out the [`Effect`]s in order.

pub mod effect;
pub mod event;
pub mod ledger;
pub mod phase;
pub mod sighting;

pub use effect::Effect;
pub use event::{
    Answer, Denied, Event, ExitSeen, FaultSeen, FaultWord, MigrationSeen, Observed, ProcessSeen, ReportId, StandingSeen,
    Ticket,
};
pub use ledger::{Ledger, Stored};
pub use phase::Phase;
pub use sighting::Sighting;

/// Most that is kept of a program's output in a report, in bytes.
pub const TAIL_LIMIT_BYTES: usize = 16 * 1024;

/// What the host's configuration says of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// It is behind a balancer.
    pub headful: bool,
    /// There is a probe.
    pub probe: bool,
    /// Any number drawn by the caller: it spreads retries, so that hosts do not call in step.
    pub seed: u64,
}

/// The host machine of one service.
#[derive(Debug)]
pub struct Host {
    setup: Setup,
    ledger: Ledger,
}

impl Host {
    /// A machine that remembers `ledger` (an empty one when there is none). Hand it [`Event::Booted`] next.
    #[must_use]
    pub fn new(setup: Setup, ledger: Ledger) -> Self {
        Self { setup, ledger }
    }

    /// What it remembers.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What the host's configuration says.
    #[must_use]
    pub fn setup(&self) -> Setup {
        self.setup
    }
}
