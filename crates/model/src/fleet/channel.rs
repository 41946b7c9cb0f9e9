//! What channels say: the pointer that CI leaves somewhere, and that the leader reads.
//!
//! Promise: what a channel says is answered once, whoever leads and however often it is read, so that it is never in the way of what somebody
//! asked for since. Absent on purpose: reading it.

use serde::{Deserialize, Serialize};

use super::{
    command::{Operator, Refusal, Reply},
    event::EventKind,
    provenance::Provenance,
    rollout::{Rollout, RolloutKind},
    scene::Scene,
};
use crate::{Release, ReleaseId, Revision};

/// Channels of a service that are remembered: where hosts are told of another one, not all of them are told at once.
pub const CHANNELS_KEPT: usize = 4;

/// What a channel said last, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Stands for all that it said: two that say the same have the same.
    pub mark: String,
    /// The log entry by which it became known.
    pub at: Revision,
    /// The release that it names, if that could be found out.
    pub release: Option<ReleaseId>,
    /// Why it was not pushed.
    pub refused: Option<String>,
    /// It may still turn out to name a release, such as one that is published after it was named.
    pub open: bool,
}

/// What a channel was found to say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// A release.
    Release {
        /// Which.
        release: Release,
        /// Where it comes from, as the channel says.
        #[serde(default, skip_serializing_if = "Provenance::is_empty")]
        provenance: Provenance,
    },
    /// Nothing that could be pushed.
    Unfit {
        /// Why.
        reason: String,
    },
}

/// What was read from a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// Its address.
    pub channel: String,
    /// The mark that was remembered when it was read; another one now, and it was read too long ago.
    pub before: Option<String>,
    /// Stands for all that it says.
    pub mark: String,
    /// What it says.
    pub found: Found,
}

impl Scene<'_> {
    pub(super) fn follow(&mut self, word: &Word, by: &Operator) -> Result<Reply, Refusal> {
        let known = self.service.channels.get(&word.channel);
        let same = known.filter(|heard| heard.mark == word.mark);
        if let Some(heard) = same {
            let overtaken = self.asked_since(heard.at);
            if !heard.open || matches!(word.found, Found::Unfit { .. }) {
                return Ok(Reply::Done);
            }
            if overtaken {
                // The newest word counts, and this one is older than what was asked for since.
                let reason = "something else was asked for before it could be pushed".to_owned();
                self.refuse(word, reason, false);
                return Ok(Reply::Done);
            }
        } else if known.map(|heard| &heard.mark) != word.before.as_ref() {
            let text = |mark: Option<&String>| mark.cloned().unwrap_or_else(|| "nothing".to_owned());
            return Err(Refusal::Outdated {
                assumed: format!("{} said {}", word.channel, text(word.before.as_ref())),
                actual: text(known.map(|heard| &heard.mark)),
            });
        }
        match &word.found {
            Found::Release { release, provenance } => match self.push(release, None, provenance, by) {
                Ok(reply) => {
                    self.hear(word, None, false);
                    Ok(reply)
                }
                Err(refusal @ Refusal::Quarantined { .. }) => {
                    self.refuse(word, refusal.to_string(), false);
                    Ok(Reply::Done)
                }
                Err(refusal) => Err(refusal),
            },
            Found::Unfit { reason } => {
                self.refuse(word, reason.clone(), true);
                Ok(Reply::Done)
            }
        }
    }

    /// Whether anybody has asked for a rollout since; a roll back of what failed was asked for by nobody.
    fn asked_since(&self, at: Revision) -> bool {
        let asked =
            |rollout: &Rollout| !matches!(rollout.kind, RolloutKind::RollbackOf { aborted: false, .. });
        self.service.rollouts.iter().any(|(id, rollout)| at.0 < id.0 && asked(rollout))
    }

    fn refuse(&mut self, word: &Word, reason: String, open: bool) {
        let channel = word.channel.clone();
        self.note(None, None, EventKind::ChannelRefused { channel, reason: reason.clone() });
        self.hear(word, Some(reason), open);
    }

    /// Remembers what a channel said, and forgets the one that was heard of the longest ago.
    fn hear(&mut self, word: &Word, refused: Option<String>, open: bool) {
        let release = match &word.found {
            Found::Release { release, .. } => Some(release.id.clone()),
            Found::Unfit { .. } => None,
        };
        let heard = Heard { mark: word.mark.clone(), at: self.scribe.revision, release, refused, open };
        let channels = &mut self.service.channels;
        channels.insert(word.channel.clone(), heard);
        while CHANNELS_KEPT < channels.len() {
            let oldest =
                channels.iter().min_by_key(|(_, heard)| heard.at).map(|(channel, _)| channel.clone());
            oldest.and_then(|oldest| channels.remove(&oldest));
        }
    }
}
