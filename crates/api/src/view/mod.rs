//! Answers in the model's words: what an agent fills in and what a client reads. No prost type leaves this crate
//! but through [`crate::v1`].

mod asked;
mod cluster;
mod cursor;
mod event;
mod logs;
mod preview;
mod recovery;
mod status;
mod watch;

pub use asked::{Ask, Push};
pub use cluster::{ClusterView, FleetHost, Member};
pub use cursor::{Cursor, InvalidCursor};
pub use event::{Gap, SeenEvent};
pub use logs::{LogGap, LogHost, LogItem, LogLine, LogPlace, LogSource, LogSpot, LogStream, LogsQuery};
pub use preview::PushPreview;
pub use recovery::{BackupAbout, Recover, RecoveredVoter, Recovery};
pub use status::{
    ChangeStatus, ChannelStatus, HoldStatus, HostFailure, HostStatus, MigrationLockStatus, MigrationStatus,
    QuarantineStatus, ServiceStatus, Slots, Staging, Stale, Status,
};
pub use watch::{Ended, EventItem, History, Pushed, Verdict, WatchItem, followed};
