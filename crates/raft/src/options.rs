//! What a node is started with.

use std::{fmt, path::PathBuf, time::Duration};

use model::ClusterId;
use openraft::{Config, SnapshotPolicy};

use crate::{Dial, NodeId, plaintext};

/// What a node is started with.
#[derive(Clone)]
pub struct Options {
    /// Who it is. The file in `dir` belongs to this id, and to no other.
    pub node: NodeId,
    /// The cluster that it belongs to. Messages of any other are refused.
    pub cluster: ClusterId,
    /// Its directory, made if there is none. Holds `raft.redb`.
    pub dir: PathBuf,
    /// It had a file before: without one it is not started, as it would forget what it voted and acknowledged.
    pub had_file: bool,
    /// Its timers.
    pub timers: Timers,
    /// When its log is compacted.
    pub compaction: Compaction,
    /// How it reaches its peers.
    pub dial: Dial,
}

impl Options {
    /// Options with default timers, and peers reached in clear text.
    #[must_use]
    pub fn new(node: NodeId, cluster: ClusterId, dir: PathBuf) -> Self {
        Self {
            node,
            cluster,
            dir,
            had_file: false,
            timers: Timers::default(),
            compaction: Compaction::default(),
            dial: plaintext(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, cluster, dir, had_file, timers, compaction, dial: _ } = self;
        f.debug_struct("Options")
            .field("node", node)
            .field("cluster", cluster)
            .field("dir", dir)
            .field("had_file", had_file)
            .field("timers", timers)
            .field("compaction", compaction)
            .finish_non_exhaustive()
    }
}

/// The timers of a node. The same on all nodes of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timers {
    /// How often a leader shows that it is there. Shorter than `election_min`.
    pub heartbeat: Duration,
    /// A follower that hears nothing for a random time between this and `election_max` asks for votes.
    pub election_min: Duration,
    /// See `election_min`. Also the lease after which a leader without a quorum takes no more proposals.
    pub election_max: Duration,
    /// How long a connection may take to be made.
    pub connect: Duration,
    /// How long an idle connection may be silent before it is probed, and then before it is given up.
    pub keepalive: Duration,
    /// How long a snapshot may take to be sent and installed.
    pub snapshot: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(250),
            election_min: Duration::from_millis(1000),
            election_max: Duration::from_millis(2000),
            connect: Duration::from_secs(1),
            keepalive: Duration::from_secs(1),
            snapshot: Duration::from_secs(30),
        }
    }
}

/// When the log is compacted into a snapshot, in entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compaction {
    /// A snapshot is made when the log has grown by this many entries since the last.
    pub every: u64,
    /// So many entries that a snapshot covers are kept, for followers that are only a little behind.
    pub keep: u64,
}

impl Default for Compaction {
    fn default() -> Self {
        Self { every: 1000, keep: 500 }
    }
}

/// Translates to openraft's configuration, or says which timers contradict each other.
pub(crate) fn config(options: &Options) -> Result<Config, String> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let Timers { heartbeat, election_min, election_max, snapshot, .. } = options.timers;
    // openraft gives an answer to a heartbeat no longer than until the next one, so that a leader whose peers are further away than
    // that would never hear of its quorum. So it is told a longer interval, and only `beat` shows the leader, as often as was asked for.
    let answer = heartbeat.max(election_min * 3 / 4);
    let config = Config {
        cluster_name: options.cluster.as_str().to_owned(),
        heartbeat_interval: millis(answer),
        enable_heartbeat: false,
        election_timeout_min: millis(election_min),
        election_timeout_max: millis(election_max),
        // The time for a message is three quarters of this.
        install_snapshot_timeout: millis(snapshot),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(options.compaction.every),
        max_in_snapshot_log_to_keep: options.compaction.keep,
        // Only a blocking `add_learner` reads it, and its default of 5000 calls an empty node caught up. We wait for
        // the log itself, see `Node::set_voters`.
        replication_lag_threshold: 10,
        // Without it a node that was cut off comes back with a higher term and unseats a healthy leader.
        enable_pre_vote: Some(true),
        // It silences heartbeats only: see `silence`.
        quorum_loss_probe_interval: None,
        // A leader sends its entries while its own disk still works on them, and they may be committed by the others. If it crashes then, it
        // has forgotten them: leading on in the same term, it would give their places to other entries, and nobody could tell.
        enable_leader_restore: Some(false),
        ..Config::default()
    };
    config.validate().map_err(|error| error.to_string())
}
