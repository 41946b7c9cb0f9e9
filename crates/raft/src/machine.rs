//! What is replicated.

use std::fmt::Debug;

use model::Revision;
use serde::{Serialize, de::DeserializeOwned};

/// A deterministic machine. Every node applies the same commands in the same order, and so has the same state.
pub trait Machine: Clone + Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// One change, as proposed. Its serde form is stored on disk and sent to peers of other releases.
    type Command: Clone + Serialize + DeserializeOwned + Send + Sync + Debug + 'static;
    /// The answer to one command. "No" is a reply.
    type Reply: Clone + Serialize + DeserializeOwned + Send + Sync + Debug + 'static;

    /// Applies one committed command. Total and deterministic: the same for every node, now and after a restart.
    ///
    /// `revision` is the index of the log entry. It grows with each command, but not always by one: the log also
    /// holds entries of its own.
    fn apply(&mut self, revision: Revision, command: &Self::Command) -> Self::Reply;

    /// Why this release must not go on from this state, if so: it goes by rules that this release does not know. Asked after each command
    /// and of each snapshot, before anything is applied to it; the node stops then.
    fn outgrown(&self) -> Option<String> {
        None
    }
}
