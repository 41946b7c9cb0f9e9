//! The file that a backup is: one line of JSON that says what it is, one with the replicated state, and one with the checksum of both.
//!
//! The format outlives this program: what it has is never renamed, and whatever is added can be left out.

use std::net::SocketAddr;

use model::{
    ClusterId, HostId, Revision,
    fleet::{Fleet, SUPPORTED_LEVEL},
    time::WallTime,
};
use raft::{Checksum, NodeId};
use serde::{Deserialize, Serialize};

/// The format that this build writes, and the newest that it reads.
const FORMAT: u32 = 2;
/// From this format on the last line has the checksum of all that is before it.
const WITH_END: u32 = 2;

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

/// The last line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    /// The checksum of the lines before, as text.
    checksum: String,
}

/// Why a file is no backup.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// There is nothing in it.
    #[error("read the backup: the file is empty")]
    Empty,
    /// It is longer than any that is written.
    #[error(
        "read the backup: it has {bytes} bytes, and none is written with more than {limit}; this file is another one"
    )]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// What is read at most.
        limit: usize,
    },
    /// It is something else.
    #[error("read the backup: its first line does not say what it is")]
    Unknown(#[source] serde_json::Error),
    /// A newer program wrote it.
    #[error(
        "read the backup: it has format {0}, and this agent knows up to {FORMAT}; ask an agent of a newer release"
    )]
    Newer(u32),
    /// The end is missing.
    #[error("read the backup: it is cut off after {0} bytes; use another copy")]
    CutOff(usize),
    /// Something in it is another than was written.
    #[error(
        "read the backup: it is not as it was written: the checksum of its {part} is {sum}, and was {written}; use another copy"
    )]
    Changed {
        /// What of it.
        part: &'static str,
        /// The checksum of what is there.
        sum: String,
        /// The checksum of what was written.
        written: String,
    },
    /// The last line is another than was written.
    #[error("read the backup: its last line is not the checksum that it should end with; use another copy")]
    NoEnd,
    /// It was put together.
    #[error(
        "read the backup: its first line is of revision {about}, and the state below it of revision {state}: they are of two backups"
    )]
    OfTwo {
        /// What the first line says.
        about: Revision,
        /// What the state says.
        state: Revision,
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

/// Why a backup is not written.
#[derive(Debug, thiserror::Error)]
pub enum Unwritable {
    /// It would not be read again.
    #[error(
        "back up the cluster: that would take {bytes} bytes, and a backup of more than {limit} is not read again"
    )]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// What is read at most.
        limit: usize,
    },
    /// The state cannot be written as JSON, which no state does.
    #[error("back up the cluster: write down its state")]
    State(#[from] serde_json::Error),
}

/// The file. What `about` says of the state is filled in.
///
/// # Errors
/// It would be too large to be read again.
pub fn write(about: &About, fleet: &Fleet) -> Result<Vec<u8>, Unwritable> {
    write_within(api::BACKUP_LIMIT_BYTES, about, fleet)
}

fn write_within(limit: usize, about: &About, fleet: &Fleet) -> Result<Vec<u8>, Unwritable> {
    let state = serde_json::to_vec(fleet)?;
    let state_checksum = Checksum::of(&state).to_string();
    let about = About { format: FORMAT, state_bytes: state.len(), state_checksum, ..about.clone() };
    let mut file = serde_json::to_vec(&about)?;
    file.push(b'\n');
    file.extend(state);
    file.push(b'\n');
    let end = End { checksum: Checksum::of(&file).to_string() };
    serde_json::to_writer(&mut file, &end)?;
    file.push(b'\n');
    if limit < file.len() {
        return Err(Unwritable::TooLarge { bytes: file.len(), limit });
    }
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
    let (bytes, limit) = (file.len(), api::BACKUP_LIMIT_BYTES);
    if limit < bytes {
        return Err(Unusable::TooLarge { bytes, limit });
    }
    if file.trim_ascii().is_empty() {
        return Err(Unusable::Empty);
    }
    let (first, rest) = line(file);
    let (state, last) = line(rest);
    let end = serde_json::from_slice::<End>(last);
    // Before anything that it says is believed.
    if let Ok(End { checksum: written }) = &end {
        check("first two lines", &file[..bytes - last.len()], written)?;
    }
    let unknown = |error: serde_json::Error| {
        if error.is_eof() { Unusable::CutOff(bytes) } else { Unusable::Unknown(error) }
    };
    let Format { format } = serde_json::from_slice(first).map_err(unknown)?;
    if FORMAT < format {
        return Err(Unusable::Newer(format));
    }
    let about: About = serde_json::from_slice(first).map_err(unknown)?;
    let state = state.trim_ascii();
    if state.len() < about.state_bytes {
        return Err(Unusable::CutOff(bytes));
    }
    check("second line", state, &about.state_checksum)?;
    match end {
        Err(error) if WITH_END <= format && error.is_eof() => return Err(Unusable::CutOff(bytes)),
        Err(_) if WITH_END <= format || !last.trim_ascii().is_empty() => return Err(Unusable::NoEnd),
        Ok(_) | Err(_) => {}
    }
    let fleet: Fleet = serde_json::from_slice(state).map_err(Unusable::State)?;
    if about.revision != fleet.revision {
        return Err(Unusable::OfTwo { about: about.revision, state: fleet.revision });
    }
    if SUPPORTED_LEVEL < fleet.level {
        return Err(Unusable::Level(fleet.level));
    }
    Ok(Backup { about, fleet })
}

/// The first line, and what is after it.
fn line(file: &[u8]) -> (&[u8], &[u8]) {
    let end = file.iter().position(|&byte| byte == b'\n');
    end.map_or((file, &[]), |end| (&file[..end], &file[end + 1..]))
}

fn check(part: &'static str, bytes: &[u8], written: &str) -> Result<(), Unusable> {
    let sum = Checksum::of(bytes).to_string();
    if sum == written { Ok(()) } else { Err(Unusable::Changed { part, sum, written: written.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As it was written when there was the first backup.
    const FIRST: &str = include_str!("golden.backup");
    /// As it is written since its last line has a checksum.
    const GOLDEN: &str = include_str!("golden2.backup");

    #[test]
    fn every_backup_is_read_for_ever_and_written_as_it_was() {
        for golden in [FIRST, GOLDEN] {
            let Backup { about, fleet } = read(golden.as_bytes()).unwrap();
            assert_eq!(
                (about.cluster.as_str(), about.revision, about.voters.len()),
                ("c1-x", Revision(7), 1)
            );
            assert_eq!(write(&about, &fleet).unwrap(), GOLDEN.as_bytes());
        }
    }

    #[track_caller]
    fn refused(file: &[u8], words: &str) {
        let why = read(file).expect_err("it is no backup").to_string();
        assert!(why.contains(words), "{words:?} is not in {why:?}");
    }

    #[test]
    fn what_is_cut_off_anywhere_is_told_as_that() {
        refused(b"", "the file is empty");
        for length in 1..GOLDEN.len() - 1 {
            refused(&GOLDEN.as_bytes()[..length], &format!("cut off after {length} bytes"));
        }
        for length in 1..FIRST.len() - 1 {
            refused(&FIRST.as_bytes()[..length], &format!("cut off after {length} bytes"));
        }
    }

    #[test]
    fn a_bit_that_flipped_anywhere_is_found() {
        for (at, bit) in (0..GOLDEN.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut file = GOLDEN.as_bytes().to_vec();
            file[at] ^= 1 << bit;
            let read = read(&file);
            // White space at the very end says nothing.
            assert!(read.is_err() || at == GOLDEN.len() - 1, "bit {bit} of byte {at}");
        }
        refused(GOLDEN.replacen("\"h1\"", "\"h2\"", 1).as_bytes(), "the checksum of its first two lines is");
        refused(FIRST.replacen("\"services\":{}", "\"services\":[]", 1).as_bytes(), "of its second line is");
        refused(GOLDEN.replacen("checksum\":\"3", "checksum\";\"3", 1).as_bytes(), "its last line is not");
    }

    #[test]
    fn what_is_something_else_newer_or_of_two_backups_is_told_as_that() {
        refused(b"root:x:0:0::/root:/bin/sh\n", "its first line does not say what it is");
        refused(b"{\"format\":3,\"name\":\"demo\"}\n", "it has format 3");
        let Backup { about, fleet: mut later } = read(GOLDEN.as_bytes()).unwrap();
        later.revision = Revision(9);
        refused(&write(&about, &later).unwrap(), "of revision 7, and the state below it of revision 9");
        let later = write(&About { revision: Revision(9), ..about }, &later).unwrap();
        let later = String::from_utf8(later).unwrap();
        let [these, those] = [GOLDEN, &later].map(|file| file.lines().collect::<Vec<_>>());
        for mixed in
            [[these[0], those[1], those[2]], [these[0], those[1], these[2]], [those[0], those[1], these[2]]]
        {
            refused((mixed.join("\n") + "\n").as_bytes(), "it is not as it was written");
        }
    }

    #[test]
    fn what_would_not_be_read_again_is_not_written() {
        let Backup { about, fleet } = read(GOLDEN.as_bytes()).unwrap();
        let bytes = GOLDEN.len();
        assert!(write_within(bytes, &about, &fleet).is_ok());
        let why = write_within(bytes - 1, &about, &fleet).unwrap_err().to_string();
        assert!(
            why.contains(&format!("would take {bytes} bytes, and a backup of more than {}", bytes - 1)),
            "{why}"
        );
        let long = vec![b' '; api::BACKUP_LIMIT_BYTES + 1];
        refused(&long, "none is written with more than");
    }
}
