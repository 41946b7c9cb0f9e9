//! A machine for this crate's own tests.

use model::Revision;
use serde::{Deserialize, Serialize};

use crate::Machine;

/// Adds up.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tally(u64);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Order {
    Add(u64),
}

impl Machine for Tally {
    type Command = Order;
    type Reply = u64;
    fn apply(&mut self, _: Revision, Order::Add(amount): &Order) -> u64 {
        self.0 += amount;
        self.0
    }
}
