//! What a push would do.

use model::{
    HostId, Revision,
    fleet::EXIT_HALTED,
    planner::preview::{Ahead, End},
};

use super::HoldStatus;

/// What a push would do.
#[derive(Debug, Clone, PartialEq)]
pub struct PushPreview {
    /// Who answers: the leader.
    pub answered_by: HostId,
    /// Revision that this was made from.
    pub revision: Revision,
    /// How it would go.
    pub ahead: Ahead,
    /// What stands against it, in the order it is met.
    pub holds: Vec<HoldStatus>,
    /// What hosts say of themselves now, where something is wrong.
    pub troubles: Vec<(HostId, String)>,
}

impl PushPreview {
    /// What `push --dry-run` ends with: 0 when the push would go through, or 3 when it would wait and nothing that is known ends
    /// that by itself.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match &self.ahead.end {
            End::Over(outcome) => outcome.exit_code(),
            End::Held => EXIT_HALTED,
            End::Cut => 0,
        }
    }
}
