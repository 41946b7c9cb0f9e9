//! What Deployinator decides, and nothing else.
//!
//! Three pure machines live here: [`fleet`] is replicated and keeps what must be safe, [`planner`] runs on the
//! leader and chooses what to do next, [`host`] runs on every agent and changes one host.
//! Absent on purpose: I/O, clocks, randomness, async. Time is an argument, chance arrives in commands.

pub mod fleet;
pub mod forming;
pub mod host;
pub mod ids;
pub mod planner;
pub mod policy;
pub mod release;
pub mod time;

pub use ids::{ClusterId, Fence, HostId, Incarnation, Revision, RolloutId, ServiceName};
pub use policy::Policy;
pub use release::{Release, ReleaseId, StageProgress};
pub use time::Timestamp;
