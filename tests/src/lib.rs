//! What the tests of whole clusters stand on: real agents, keepers and services on loopback, and what they are asked.
//!
//! Promise: a stage leaves no process behind, however its test ends (interrupted, too: then only its files stay), and touches none of
//! another one. Every wait has a deadline, and says what it waited for. The programs are those that were built last: `cargo build --workspace --bins`.
//! Absent on purpose: sleeps in place of conditions, and any way into an agent but its API and its signals.

mod asks;
#[cfg(feature = "aws")]
mod certificate;
mod clusters;
mod daemon;
mod dice;
mod disk;
mod disturbed;
mod follower;
mod mischief;
mod namespaces;
mod output;
mod processes;
mod proxy;
mod stage;
mod typed;
mod views;
mod web;

pub use asks::{by, client, exit_of, next_of};
#[cfg(feature = "aws")]
pub use certificate::Certificate;
pub use clusters::{goes_over, show};
pub use daemon::{Ended, OneDaemon};
pub use dice::{Dice, seeded};
pub use disk::Disk;
pub use disturbed::{Disturbed, steps};
pub use follower::Follower;
pub use mischief::{Blow, Victim};
pub use namespaces::{ahead_by_secs, with_own_mounts};
pub use output::Output;
pub use processes::{keeper_of, memory_mib, service_pid, service_pids, signal};
pub use proxy::Wires;
pub use stage::{PATIENCE, Stage, policy, within};
pub use typed::{done, typed};
pub use views::{answer, answer_at, hold, host, phase_of, rollout_word, web};
pub use web::Web;
