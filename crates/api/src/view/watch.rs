//! What the streams carry, and the smaller answers.

use model::{
    HostId, Release, Revision, RolloutId,
    fleet::{Outcome, Rollout, RolloutKind},
};

use super::{Cursor, Gap, HostFailure, SeenEvent, Stale, Status};

/// The rollout that a watch without a number follows while this one is under way: a roll back is the end of what it takes back.
#[must_use]
pub fn followed(active: &Rollout) -> RolloutId {
    match active.kind {
        RolloutKind::RollbackOf { rollout, .. } => rollout,
        RolloutKind::Push | RolloutKind::Rollback | RolloutKind::Restart => active.id,
    }
}

/// A rollout was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Its name.
    pub rollout: RolloutId,
    /// The release was the target already, and this is its rollout.
    pub joined: bool,
    /// The release that the source was found to be.
    pub release: Option<Release>,
    /// Where a watch starts so that it misses nothing of the rollout.
    pub after: Option<Cursor>,
}

/// How a watch ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The rollout is over.
    Over(Outcome),
    /// It is halted until an operator decides.
    Halted,
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Over(outcome) => outcome.word(),
            Self::Halted => "halted",
        }
    }

    /// The exit code that goes with it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Over(outcome) => outcome.exit_code(),
            Self::Halted => model::fleet::EXIT_HALTED,
        }
    }
}

/// How a rollout ended, the roll back that it caused included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The rollout.
    pub rollout: RolloutId,
    /// How it ended.
    pub verdict: Verdict,
    /// The roll back that it caused, and how that ended once it has.
    pub rollback: Option<(RolloutId, Option<Verdict>)>,
    /// Why it is halted or how it failed, in words.
    pub reason: String,
    /// What an operator can do now, in words.
    pub next: String,
    /// What failed, in order.
    pub failures: Vec<HostFailure>,
}

/// One message of a watch.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchItem {
    /// Something happened.
    Event(SeenEvent),
    /// Events were lost.
    Gap(Gap),
    /// How the service is now.
    Picture(Box<Status>),
    /// The rollout is over or halted; the last message.
    Ended(Ended),
}

/// One message of the stream of events.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly every message is an event")]
pub enum EventItem {
    /// Something happened.
    Event(SeenEvent),
    /// Events were lost.
    Gap(Gap),
}

/// The last rollouts of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// Newest first.
    pub rollouts: Vec<Rollout>,
    /// Who answers, where that is said.
    pub answered_by: Option<HostId>,
    /// Revision that this was made from.
    pub revision: Revision,
    /// Why the answer may be old.
    pub stale: Option<Stale>,
}
