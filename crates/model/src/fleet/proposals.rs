//! What was answered to whom: a proposal that arrives twice gets its first reply again.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::command::{Command, Reply};
use crate::Revision;

/// Replies kept for each proposer. A proposer has fewer proposals than this on their way at once.
const REPLIES_KEPT: usize = 128;
/// Proposers remembered: several runs of each agent of a large fleet.
const PROPOSERS_KEPT: usize = 512;

/// The replies of the last proposals of each proposer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Proposals {
    proposers: BTreeMap<Arc<str>, Arc<Answered>>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Answered {
    last: Revision,
    /// Every number up to this one was answered, and its reply is forgotten.
    floor: u64,
    replies: BTreeMap<u64, Reply>,
}

impl Proposals {
    /// The first reply to this proposal, if it was applied before.
    pub(super) fn answered(&self, command: &Command) -> Option<Reply> {
        let answered = self.proposers.get(command.proposer.as_str())?;
        if command.sequence <= answered.floor {
            return Some(Reply::Refused(super::Refusal::Outdated {
                assumed: format!("proposal {} is new", command.sequence),
                actual: format!("{} later ones were answered", answered.replies.len()),
            }));
        }
        answered.replies.get(&command.sequence).cloned()
    }

    pub(super) fn remember(&mut self, command: &Command, revision: Revision, reply: &Reply) {
        let answered = self.proposers.entry(command.proposer.as_str().into()).or_default();
        let answered = Arc::make_mut(answered);
        answered.last = revision;
        answered.replies.insert(command.sequence, reply.clone());
        while REPLIES_KEPT < answered.replies.len() {
            if let Some((floor, _)) = answered.replies.pop_first() {
                answered.floor = floor;
            }
        }
        if PROPOSERS_KEPT < self.proposers.len() {
            let oldest = self.proposers.iter().min_by_key(|(_, answered)| answered.last);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.proposers.remove(&oldest);
            }
        }
    }
}
