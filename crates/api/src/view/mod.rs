//! Answers in the model's words: what an agent fills in and what a client reads. No prost type leaves this crate
//! but through [`crate::v1`].

mod asked;
mod cursor;
mod event;
mod status;
mod watch;

pub use asked::{Ask, Push};
pub use cursor::{Cursor, InvalidCursor};
pub use event::{Gap, SeenEvent};
pub use status::{
    ChangeStatus, HoldStatus, HostFailure, HostStatus, MigrationStatus, QuarantineStatus, ServiceStatus,
    Slots, Stale, Status,
};
pub use watch::{ClusterView, Ended, EventItem, Member, Pushed, Verdict, WatchItem};
