//! What the command line ends with. Scripts rely on these numbers, so they never change their meaning.

use std::fmt;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Exit {
    /// 0: it was done; a rollout that was waited for has completed.
    Done,
    /// 1: the rollout failed, was rolled back or was aborted.
    Failed,
    /// 2: the roll back failed as well, and a host is out.
    RollbackFailed,
    /// 3: the rollout is halted until an operator decides.
    Halted,
    /// 4: a newer push took the rollout's place.
    Superseded,
    /// 5: what was asked for was refused, and nothing was changed.
    Rejected,
    /// 64: the command line makes no sense.
    Usage,
    /// 69: no agent answers, or those that do have no quorum.
    Unavailable,
    /// 75: gave up waiting; the rollout goes on.
    GaveUp,
    /// 130: interrupted from the keyboard; the rollout goes on.
    Interrupted,
}

impl Exit {
    /// Every way to end, in the order of their codes.
    pub const ALL: [Self; 10] = [
        Self::Done,
        Self::Failed,
        Self::RollbackFailed,
        Self::Halted,
        Self::Superseded,
        Self::Rejected,
        Self::Usage,
        Self::Unavailable,
        Self::GaveUp,
        Self::Interrupted,
    ];

    /// The number that the process ends with.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::RollbackFailed => 2,
            Self::Halted => 3,
            Self::Superseded => 4,
            Self::Rejected => 5,
            Self::Usage => 64,
            Self::Unavailable => 69,
            Self::GaveUp => 75,
            Self::Interrupted => 130,
        }
    }

    /// The way to end that has this number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|exit| exit.code() == code)
    }
}

/// In words, for `--help` and the documentation.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Done => "done",
            Self::Failed => "failed, rolled back or aborted",
            Self::RollbackFailed => "the roll back failed as well",
            Self::Halted => "halted until an operator decides",
            Self::Superseded => "superseded by a newer push",
            Self::Rejected => "rejected, and nothing was changed",
            Self::Usage => "wrong usage",
            Self::Unavailable => "no agent answers, or no quorum",
            Self::GaveUp => "gave up waiting; the rollout goes on",
            Self::Interrupted => "interrupted; the rollout goes on",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::fleet::{EXIT_HALTED, Outcome};

    #[test]
    fn codes_are_those_of_the_design() {
        let codes: Vec<u8> = Exit::ALL.into_iter().map(Exit::code).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 64, 69, 75, 130]);
        for exit in Exit::ALL {
            assert_eq!(Exit::from_code(exit.code()), Some(exit));
        }
        assert_eq!(Exit::from_code(99), None);
    }

    #[test]
    fn outcomes_of_the_model_have_the_same_numbers() {
        assert_eq!(Exit::from_code(Outcome::Completed.exit_code()), Some(Exit::Done));
        assert_eq!(Exit::from_code(Outcome::RolledBack.exit_code()), Some(Exit::Failed));
        assert_eq!(Exit::from_code(Outcome::RollbackFailed.exit_code()), Some(Exit::RollbackFailed));
        let superseded = Outcome::Superseded { by: model::RolloutId(2) };
        assert_eq!(Exit::from_code(superseded.exit_code()), Some(Exit::Superseded));
        assert_eq!(Exit::from_code(EXIT_HALTED), Some(Exit::Halted));
    }
}
