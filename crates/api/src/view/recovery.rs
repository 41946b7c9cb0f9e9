//! Backups, and clusters that are rebuilt.

use model::{HostId, Revision, RolloutId, ServiceName, fleet::Operator, time::WallTime};

use super::{Member, Stale};

/// What a backup is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupAbout {
    /// The cluster.
    pub cluster: String,
    /// The last revision that it has.
    pub revision: Revision,
    /// When it was made, for people.
    pub taken_at: WallTime,
    /// Host whose agent made it.
    pub taken_by: HostId,
    /// Who voted.
    pub voters: Vec<Member>,
    /// Size of the file, in bytes.
    pub bytes: u64,
    /// Why it may lack what was done last.
    pub stale: Option<Stale>,
}

/// What a recovery is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recover {
    /// The voters that are lost.
    pub lost: Vec<HostId>,
    /// Who asks, and why.
    pub by: Operator,
    /// Only tell what would be done and lost.
    pub dry_run: bool,
    /// The file that it is rebuilt from, where no voter's disk is left.
    pub backup: Option<Vec<u8>>,
}

/// What a recovery did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The cluster that is lost.
    pub lost_cluster: String,
    /// The cluster that took its place; none when this was only a question.
    pub cluster: Option<String>,
    /// Host whose agent rebuilds it.
    pub host: HostId,
    /// Where that agent listens.
    pub address: String,
    /// The last entry that is kept.
    pub revision: Revision,
    /// The last entry that is known to have been acknowledged.
    pub acknowledged: Revision,
    /// The voters of the lost cluster.
    pub voters: Vec<RecoveredVoter>,
    /// When the backup was made that it is rebuilt from.
    pub taken_at: Option<WallTime>,
    /// Rollouts that were under way, and are paused.
    pub paused: Vec<(ServiceName, RolloutId)>,
    /// The cluster that had formed on empty disks meanwhile, and gives way.
    pub replaces: Option<String>,
}

/// A voter of a lost cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredVoter {
    /// Its host.
    pub host: HostId,
    /// Where its agent listened.
    pub address: String,
    /// The last entry that it holds; none when it does not answer, or has lost its disk.
    pub holds: Option<Revision>,
}
