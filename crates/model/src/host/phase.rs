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
    /// It could not go back. The old release, where it may run, is kept running and given every chance.
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

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It reached its end.
    Done,
    /// It turned out that the host is registered.
    Registered,
    /// It failed, and the release with it.
    Failed(Failure),
    /// Leaving is given up for a fault of the surroundings.
    GaveUp(String),
    /// The fleet asks the host to go back.
    TurnBack,
    /// The fleet ends the maintenance.
    Admitted,
    /// The process that should run does not, and was not seen to fail: the host was rebooted, say.
    Gone,
    /// Another one runs in its place.
    Occupied,
}

/// Where a step leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// To another phase of the change.
    Phase(Phase),
    /// To its end.
    End(Ending),
}

/// How a change ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// As wanted.
    Changed,
    /// On what it had before.
    Reverted,
    /// On what it had before, which was never stopped by us.
    Abandoned(String),
}

/// What the table must know of the change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Behind a balancer.
    pub(super) headful: bool,
    /// To stay out once stopped.
    pub(super) park: bool,
    /// A release is wanted.
    pub(super) goal: bool,
    /// The host had one before.
    pub(super) from: bool,
    /// And it may be started again.
    pub(super) fallback: bool,
}

/// An outcome that the phase cannot have. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{outcome} is out of turn while {phase}")]
pub(super) struct OutOfTurn {
    phase: String,
    outcome: String,
}

impl Step {
    /// The first step on the way out: what was registered by us leaves without being asked about.
    pub(super) fn out(self) -> Self {
        if matches!(self, Self::Joining | Self::Soaking) { Self::Leaving } else { Self::Checking }
    }

    /// The step after this one; none at the end.
    fn next(self, headful: bool, starts: bool) -> Option<Self> {
        match self {
            Self::Leaving => Some(Self::Settling),
            Self::Checking | Self::Settling => Some(Self::Stopping),
            Self::Stopping => starts.then_some(Self::Starting),
            Self::Starting => Some(Self::Probing),
            Self::Probing => Some(if headful { Self::Joining } else { Self::Soaking }),
            Self::Joining => Some(Self::Soaking),
            Self::Soaking | Self::Idle => None,
        }
    }

    fn stops_nothing_yet(self) -> bool {
        self < Self::Stopping
    }
}

impl Phase {
    /// The first phase of a change.
    pub(super) fn first(serving: bool) -> Self {
        Self::Going { step: if serving { Step::Leaving } else { Step::Checking } }
    }

    /// Where `outcome` leads. The one table of transitions.
    pub(super) fn after(&self, outcome: Outcome, terms: Terms) -> Result<Next, OutOfTurn> {
        use Outcome::{Admitted, Done, Failed, GaveUp, Gone, Occupied, Registered, TurnBack};
        let back = terms.from && terms.fallback;
        let going = |step| Self::Going { step };
        let reverting = |step, why: &Why| Self::Reverting { step, why: why.clone() };
        let stuck = |step, failure: &Failure| Self::Stuck { step, failure: failure.clone() };
        let next = match (self, outcome) {
            (Self::Going { step: Step::Stopping }, Done) if terms.park => Self::Parked,
            (Self::Going { step }, Done) => match step.next(terms.headful, terms.goal) {
                Some(step) => going(step),
                None => return Ok(Next::End(Ending::Changed)),
            },
            (Self::Reverting { step, why }, Done) => match (step.next(terms.headful, back), why) {
                (Some(step), why) => reverting(step, why),
                (None, Why::Abandoned { reason }) => return Ok(Next::End(Ending::Abandoned(reason.clone()))),
                (None, Why::Failed | Why::Asked) => return Ok(Next::End(Ending::Reverted)),
            },
            (Self::Stuck { step: Step::Soaking, .. }, Done) => return Ok(Next::End(Ending::Reverted)),
            (Self::Stuck { step, failure }, Done) => {
                stuck(step.next(terms.headful, back).unwrap_or(Step::Idle), failure)
            }
            (Self::Aborting { reason }, Done) => return Ok(Next::End(Ending::Abandoned(reason.clone()))),

            (Self::Going { step: Step::Checking }, Registered) => going(Step::Leaving),
            (Self::Reverting { step: Step::Checking, why }, Registered) => reverting(Step::Leaving, why),
            (Self::Stuck { step: Step::Checking, failure }, Registered) => stuck(Step::Leaving, failure),

            (Self::Going { step }, GaveUp(reason)) if step.stops_nothing_yet() => Self::Aborting { reason },
            (Self::Going { step }, TurnBack) if step.stops_nothing_yet() => {
                Self::Aborting { reason: "asked to go back before anything was stopped".to_owned() }
            }
            // Where the old release may not run, the host goes on: the fleet decides what comes next.
            (Self::Going { step }, TurnBack) if back || !terms.from => reverting(step.out(), &Why::Asked),
            (Self::Going { step }, Failed(_)) if back || !terms.from => reverting(step.out(), &Why::Failed),
            (Self::Going { step }, Failed(failure)) => stuck(step.out(), &failure),
            // The old release is left where it is: as soon as it is healthy, it is of use.
            (Self::Reverting { step, .. } | Self::Stuck { step, .. }, Failed(failure)) => {
                stuck((*step).min(Step::Probing), &failure)
            }

            // A host that may be registered leaves first: a probe comes before a join.
            (Self::Going { step }, Gone) => {
                going(if step.out() == Step::Leaving { Step::Leaving } else { Step::Starting })
            }
            (Self::Reverting { step, why }, Gone) => {
                reverting(if step.out() == Step::Leaving { Step::Leaving } else { Step::Starting }, why)
            }
            (Self::Stuck { failure, .. }, Gone) => stuck(Step::Starting, failure),
            (Self::Aborting { reason }, Gone) if terms.fallback => {
                reverting(Step::Starting, &Why::Abandoned { reason: reason.clone() })
            }

            // What runs is stopped before the old release is started, and the host leaves before that.
            (Self::Aborting { reason }, Occupied) if terms.fallback => {
                reverting(Step::Leaving, &Why::Abandoned { reason: reason.clone() })
            }

            (Self::Parked, Admitted) if terms.goal => going(Step::Starting),
            (Self::Parked, Admitted) => return Ok(Next::End(Ending::Changed)),
            (Self::Parked, TurnBack) if back => reverting(Step::Starting, &Why::Asked),
            (Self::Parked, TurnBack) if !terms.from => return Ok(Next::End(Ending::Reverted)),

            (phase, outcome) => {
                return Err(OutOfTurn { phase: phase.to_string(), outcome: format!("{outcome:?}") });
            }
        };
        Ok(Next::Phase(next))
    }

    /// What it does now; none for a phase that is one wait.
    #[must_use]
    pub fn step(&self) -> Option<Step> {
        match self {
            Self::Going { step } | Self::Reverting { step, .. } | Self::Stuck { step, .. } => Some(*step),
            Self::Aborting { .. } | Self::Parked => None,
        }
    }

    /// Whether it is on the way to the release wanted.
    #[must_use]
    pub fn is_going(&self) -> bool {
        matches!(self, Self::Going { .. } | Self::Parked)
    }

    /// Whether the release wanted was not started yet, so that another one may be wanted instead.
    pub(super) fn has_started_nothing(&self) -> bool {
        match self {
            Self::Going { step } => *step <= Step::Stopping,
            Self::Parked => true,
            Self::Reverting { .. } | Self::Aborting { .. } | Self::Stuck { .. } => false,
        }
    }

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

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Going { step } => step.fmt(f),
            Self::Reverting { step, .. } => write!(f, "reverting ({step})"),
            Self::Stuck { step, .. } => write!(f, "stuck ({step})"),
            Self::Aborting { .. } => f.write_str("aborting"),
            Self::Parked => f.write_str("parked"),
        }
    }
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
