//! The file that a backup is: one line of JSON that says what it is, and one with the replicated state.
//!
//! The format outlives this program: what it has is never renamed, and whatever is added can be left out.

use std::net::SocketAddr;

use model::{
    ClusterId, HostId, Revision,
    fleet::{Fleet, SUPPORTED_LEVEL},
    time::WallTime,
};
use raft::NodeId;
use serde::{Deserialize, Serialize};

/// The format that this build writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// What a backup is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Of the file.
    pub format: u32,
    /// Name that the configuration gives the cluster.
    pub name: String,
    /// The cluster.
    pub cluster: ClusterId,
    /// The last revision that it has.
    pub revision: Revision,
    /// When it was made, for people.
    pub taken_at: WallTime,
    /// Host whose agent made it.
    pub taken_by: HostId,
    /// Who voted.
    pub voters: Vec<Voter>,
    /// Why it may lack what was done last.
    #[serde(default)]
    pub stale: Option<String>,
    /// Size of the second line, in bytes.
    pub state_bytes: usize,
    /// Checksum of the second line: FNV-1a of 64 bits, in hexadecimal digits.
    pub state_checksum: String,
}

/// Who voted, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voter {
    /// The node.
    pub node: NodeId,
    /// Where its agent listened.
    pub address: SocketAddr,
}

/// A backup, read.
#[derive(Debug)]
pub struct Backup {
    /// What it is.
    pub about: About,
    /// The replicated state.
    pub fleet: Fleet,
}

/// Why a file is no backup.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It is something else.
    #[error("read the backup: its first line does not say what it is")]
    Unknown(#[source] serde_json::Error),
    /// A newer program wrote it.
    #[error(
        "read the backup: it has format {0}, and this agent knows up to {FORMAT}; ask an agent of a newer release"
    )]
    Newer(u32),
    /// It is cut off or changed.
    #[error("read the backup: it is not as it was written, {found} of {expected} bytes with checksum {sum}")]
    Damaged {
        /// Bytes of state that it has.
        found: usize,
        /// Bytes of state that it should have.
        expected: usize,
        /// Their checksum.
        sum: String,
    },
    /// The state has something that this program does not know.
    #[error("read the state in the backup; an agent of the release that wrote it can")]
    State(#[source] serde_json::Error),
    /// Behaviour is switched on that this program does not have.
    #[error(
        "read the backup: its fleet level is {0}, and this agent knows up to {SUPPORTED_LEVEL}; ask an agent of a newer release"
    )]
    Level(u32),
}

/// The file. What `about` says of the state is filled in.
///
/// # Errors
/// The state cannot be written as JSON, which no state does.
pub fn write(about: &About, fleet: &Fleet) -> Result<Vec<u8>, serde_json::Error> {
    let state = serde_json::to_vec(fleet)?;
    let about =
        About { format: FORMAT, state_bytes: state.len(), state_checksum: checksum(&state), ..about.clone() };
    let mut file = serde_json::to_vec(&about)?;
    file.push(b'\n');
    file.extend(state);
    file.push(b'\n');
    Ok(file)
}

/// Reads a file whole.
///
/// # Errors
/// It is no backup, is damaged, or is of a newer program.
pub fn read(file: &[u8]) -> Result<Backup, Unusable> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let (first, state) = file.split_at(file.iter().position(|&byte| byte == b'\n').unwrap_or(file.len()));
    let Format { format } = serde_json::from_slice(first).map_err(Unusable::Unknown)?;
    if FORMAT < format {
        return Err(Unusable::Newer(format));
    }
    let about: About = serde_json::from_slice(first).map_err(Unusable::Unknown)?;
    let state = state.trim_ascii();
    let (found, sum) = (state.len(), checksum(state));
    if (found, &sum) != (about.state_bytes, &about.state_checksum) {
        return Err(Unusable::Damaged { found, expected: about.state_bytes, sum });
    }
    let fleet: Fleet = serde_json::from_slice(state).map_err(Unusable::State)?;
    if SUPPORTED_LEVEL < fleet.level {
        return Err(Unusable::Level(fleet.level));
    }
    Ok(Backup { about, fleet })
}

/// It finds what was cut off or flipped, which is all that is asked of it.
fn checksum(bytes: &[u8]) -> String {
    let fold = |sum: u64, &byte: &u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As it was written when there was the first backup.
    const GOLDEN: &str = include_str!("golden.backup");

    #[test]
    fn the_first_backup_is_read_for_ever_and_written_as_it_was() {
        let Backup { about, fleet } = read(GOLDEN.as_bytes()).unwrap();
        assert_eq!((about.cluster.as_str(), about.revision, about.voters.len()), ("c1-x", Revision(7), 1));
        assert_eq!(write(&about, &fleet).unwrap(), GOLDEN.as_bytes());
    }

    #[test]
    fn what_is_cut_off_changed_newer_or_something_else_is_refused() {
        let whole = GOLDEN.as_bytes();
        assert!(matches!(read(&whole[..whole.len() - 9]), Err(Unusable::Damaged { .. })));
        assert!(matches!(read(&whole[..40]), Err(Unusable::Unknown(_))));
        assert!(matches!(read(b""), Err(Unusable::Unknown(_))));
        let changed = GOLDEN.replacen("\"services\":{}", "\"services\":[]", 1);
        assert_ne!(changed, GOLDEN);
        assert!(matches!(read(changed.as_bytes()), Err(Unusable::Damaged { .. })));
        let newer = GOLDEN.replacen("\"format\":1", "\"format\":2", 1);
        assert!(matches!(read(newer.as_bytes()), Err(Unusable::Newer(2))));
    }
}
