//! A replicated state machine: give it a deterministic [`Machine`], get the same state on every [`Node`].
//!
//! Promise: what [`Node::propose`] acknowledged survives the loss of any minority of the voters, and a crash of all
//! of them; every call ends within the time it was given. This crate is the only user of openraft, whose interface
//! still changes between releases, so none of its types is public here.
//!
//! Absent on purpose: deciding *who* should be a member, forwarding to the leader, TLS, and commands larger than a
//! message. A node whose file is lost or damaged is replaced under a new id, never repaired.

mod applier;
mod carry;
mod contact;
mod error;
mod fleet;
mod id;
mod machine;
mod members;
mod network;
mod node;
mod options;
mod parts;
mod peers;
mod rebuild;
mod runtime;
mod service;
mod silence;
#[cfg(test)]
mod simulated;
mod standing;
mod store;
mod sum;
#[cfg(test)]
mod testing;
mod types;
mod wire;

pub use carry::{Dial, plaintext};
pub use error::{BootstrapError, ChangeError, ProposeError, TransferError};
pub use id::{InvalidNodeId, NodeId};
pub use machine::Machine;
pub use node::Node;
pub use options::{Compaction, Options, Timers};

pub use rebuild::{Held, Salvaged, found, salvage};
pub use service::PeerService;
pub use standing::{PeerStanding, Role, Standing};
pub use store::OpenError;
pub use sum::Checksum;
