//! The traits at the edge, in our words. Each is named by its role, never by a vendor, and a fake that can
//! fail ships beside it.
//! Absent on purpose: decisions. An adapter classifies a fault; what is done about it is decided in `model`.

pub mod balancer;
pub mod channel;
pub mod fault;
pub mod inventory;
pub mod prober;
pub mod store;
pub mod supervisor;

pub use balancer::{Balancer, Standing, Target};
pub use channel::Channel;
pub use fault::{Fault, FaultKind};
pub use inventory::{Inventory, Listed, ListedState};
pub use prober::{ProbeSpec, Prober};
pub use store::ReleaseStore;
pub use supervisor::Supervisor;
