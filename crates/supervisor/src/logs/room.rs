//! Room on the disk for what a running program is about to write: many a program ends when it cannot write to its output, and a disk that
//! something else has filled is no reason to end a service.

use std::{
    fs::{File, OpenOptions},
    io,
    ops::RangeInclusive,
    path::Path,
};

use rustix::{fs::FallocateFlags, io::Errno};

use super::cut;

/// So much of what is kept of a program's output is free for it behind the end of its file: within these limits, in bytes.
const PART: u64 = 16;
const ROOM_BYTES: RangeInclusive<u64> = (64 << 10)..=(1 << 20);
/// Least that a file is cut to when there is no room, in bytes.
const LEAST_BYTES: u64 = 64 << 10;

/// Reserves room behind the end of a file that may hold `limit_bytes`. Where there is none, the file gives up the older half of what it holds.
pub(super) fn keep(path: &Path, limit_bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let room = (limit_bytes / PART).clamp(*ROOM_BYTES.start(), *ROOM_BYTES.end());
    if reserve(&file, length, room)? {
        return Ok(());
    }
    let held = length - cut::first(&file, length)?;
    let left = cut::bound(path, held.max(2 * LEAST_BYTES) - 1)?;
    // Less than all is better than nothing, and what was given up is little by then.
    reserve(&file, length, held.saturating_sub(left).min(room))?;
    Ok(())
}

/// Gives up the room behind the end of a file that nobody writes to any more.
pub(super) fn give_up(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(file.metadata()?.len())
}

/// Whether there is so much room behind the end of a file now, or no way to reserve any.
fn reserve(file: &File, length: u64, bytes: u64) -> io::Result<bool> {
    if bytes == 0 {
        return Ok(true);
    }
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, length, bytes) {
        // A file system that cannot reserve anything.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(true),
        Err(Errno::NOSPC | Errno::DQUOT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt as _};

    use super::*;

    #[test]
    fn room_is_kept_behind_the_end_and_given_up_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "one\n").unwrap();
        keep(&path, 16 << 20).unwrap();
        let about = fs::metadata(&path).unwrap();
        assert_eq!((about.len(), 1 << 20 <= about.blocks() * 512), (4, true));
        give_up(&path).unwrap();
        let about = fs::metadata(&path).unwrap();
        assert_eq!((about.len(), about.blocks() * 512 < 64 << 10), (4, true));
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");
    }
}
