//! The machine that is replicated here: a list that only grows. Each reply says where in it the command stands, so that the order in which
//! commands took effect is known, and not searched for.

use std::{cell::RefCell, collections::BTreeMap};

use model::Revision;
use serde::{Deserialize, Serialize};

use crate::Machine;

/// All that was appended, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    pub(super) entries: Vec<u64>,
    pub(super) newest: Revision,
}

/// Appends a number that no other command of the run has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Append(pub(super) u64);

impl Machine for Journal {
    type Command = Append;
    type Reply = usize;

    fn apply(&mut self, revision: Revision, Append(number): &Append) -> usize {
        if revision <= self.newest {
            break_promise(format!("entry {revision} is applied after {}", self.newest));
        }
        self.newest = revision;
        self.entries.push(*number);
        let before = APPLIED.with_borrow_mut(|applied| applied.commands.insert(revision, *number));
        if let Some(before) = before.filter(|before| before != number) {
            break_promise(format!("entry {revision} is {number} here, and was {before} elsewhere or before"));
        }
        self.entries.len()
    }
}

/// What all nodes of a run applied together. A run is one thread.
#[derive(Default)]
struct Applied {
    commands: BTreeMap<Revision, u64>,
    broken: Option<String>,
}

thread_local! {
    static APPLIED: RefCell<Applied> = RefCell::default();
}

/// Begins a run.
pub(super) fn begin() {
    APPLIED.take();
}

/// The first promise of consensus that was broken in this run.
pub(super) fn broken() -> Option<String> {
    APPLIED.with_borrow(|applied| applied.broken.clone())
}

/// Takes note of a promise that was broken, unless another one was before.
pub(super) fn break_promise(what: String) {
    APPLIED.with_borrow_mut(|applied| {
        applied.broken.get_or_insert(what);
    });
}
