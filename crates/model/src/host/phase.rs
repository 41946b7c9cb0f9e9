//! How far a change is, and the one table that moves it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fleet::{command::Failure, host::PhaseKind};

/// How far a change is. Steady is the absence of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// On the way to the release wanted.
    Going {
        /// What it does now.
        step: Step,
    },
    /// On the way back to the release it had.
    Reverting {
        /// What it does now.
        step: Step,
        /// Why it goes back.
        why: Why,
    },
    /// Nothing was stopped; it joins again.
    Aborting {
        /// Why it gave up.
        reason: String,
    },
    /// Out of service for maintenance.
    Parked,
    /// It could not go back. The old release, where there is one, is kept running and given every chance.
    Stuck {
        /// What it does now.
        step: Step,
        /// What failed.
        failure: Failure,
    },
}

/// One step of the sequence, whichever way it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Asks whether it is registered at all; if so, it leaves.
    Checking,
    /// Deregisters and waits until the drain is over.
    Leaving,
    /// Waits a little longer.
    Settling,
    /// Stops what runs.
    Stopping,
    /// Starts what is wanted.
    Starting,
    /// Probes until healthy.
    Probing,
    /// Registers and waits until in service.
    Joining,
    /// Stays in service for a while.
    Soaking,
    /// Nothing can be done here; only a new grant helps.
    Idle,
}

/// Why a host goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The new release failed here.
    Failed,
    /// The fleet asked for it.
    Asked,
    /// It was given up before anything was stopped, but the old process is gone.
    Abandoned {
        /// Why it was given up.
        reason: String,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Checking => "checking",
            Self::Leaving => "leaving",
            Self::Settling => "settling",
            Self::Stopping => "stopping",
            Self::Starting => "starting",
            Self::Probing => "probing",
            Self::Joining => "joining",
            Self::Soaking => "soaking",
            Self::Idle => "idle",
        })
    }
}

impl Phase {
    /// The word that the fleet knows for it.
    #[must_use]
    pub fn kind(&self) -> PhaseKind {
        match self {
            Self::Going { step } => match step {
                Step::Checking | Step::Leaving | Step::Settling => PhaseKind::Draining,
                Step::Stopping => PhaseKind::Stopping,
                Step::Starting => PhaseKind::Starting,
                Step::Probing => PhaseKind::Probing,
                Step::Joining => PhaseKind::Joining,
                Step::Soaking | Step::Idle => PhaseKind::Soaking,
            },
            Self::Reverting { .. } => PhaseKind::Reverting,
            Self::Aborting { .. } => PhaseKind::Aborting,
            Self::Parked => PhaseKind::Parked,
            Self::Stuck { .. } => PhaseKind::Stuck,
        }
    }
}
