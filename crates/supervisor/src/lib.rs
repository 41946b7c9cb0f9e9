//! Runs `bin/serve` and `bin/migrate` so that they outlive the agent.
//!
//! [`keeper::run`] is a process of its own, one per service; [`KeeperClient`] is the agent's end of it. The agent may be
//! killed, with its whole process group, and the service keeps its pid. The keeper may be killed too: the next one adopts
//! the service by pid, start time and boot id. Every act carries a fence, and what is older than the newest on disk
//! is refused.
//!
//! Absent on purpose: health, deadlines and whether to try again. The keeper does what it is told and says what it sees.

pub mod account;
pub mod cgroup;
mod client;
pub mod environment;
pub mod keeper;
pub mod limits;
pub mod logs;
mod processes;
mod protocol;
mod record;
mod socket;

pub use client::{KeeperClient, Options};
pub use keeper::KeeperError;
