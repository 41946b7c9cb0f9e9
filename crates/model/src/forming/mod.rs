//! Decides how a new cluster forms: which hosts, with which voters, and that no second one forms beside it.
//!
//! Every host runs one [`Former`] until it is in a group. They ask each other ([`Ask`]), write down what they
//! promise ([`Record`]) before they say it ([`Answer`]), and start the group only when every host of one
//! [`Roster`] has agreed to it.
//!
//! Promise: two groups never form from rosters that share a host, unless that host is terminated or an operator
//! set it aside. This holds for any order, delay, loss and duplication of messages, crashes anywhere between two
//! effects, and lists that differ from host to host. The rules that it rests on are in `crates/sim/mutants.toml`, by
//! how two groups form without each.
//!
//! Absent on purpose: I/O, clocks, randomness, the membership of a group that has formed, and a guard against
//! lists that have no host in common: two halves that have never heard of each other cannot know, so
//! `bootstrap_expect` must be more than half of the hosts.

mod asked;
mod former;
mod heard;
mod hold;
mod message;
mod record;
mod roster;
mod step;
mod succession;
#[cfg(test)]
mod tests;
mod voters;

use heard::Heard;

pub use former::{Effect, Event, Former, Options, Refused};
pub use hold::FormingHold;
pub use message::{Answer, Ask, Listing, Question, Refusal, Said};
pub use record::{Gone, Record, Standing};
pub use roster::{Identity, InvalidStateUuid, Malformed, Roster, Seat, StateUuid};
pub use succession::{Kinship, Succession};
pub use voters::{Candidate, choose_voters, relieve_voters, voters_wanted};
