//! The machine that is replicated in production.

use model::{
    Revision,
    fleet::{Command, Fleet, Reply},
};

use crate::Machine;

impl Machine for Fleet {
    type Command = Command;
    type Reply = Reply;

    fn apply(&mut self, revision: Revision, command: &Command) -> Reply {
        Fleet::apply(self, revision, command)
    }

    fn outgrown(&self) -> Option<String> {
        self.is_known().err().map(|outgrown| outgrown.to_string())
    }
}
