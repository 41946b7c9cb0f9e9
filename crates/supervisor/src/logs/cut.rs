//! Cuts what is too long. A file loses its front and keeps its length: the front becomes a hole, which takes no room, and no
//! byte that stays gets another offset. So whoever reads knows where it was, and what it has missed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use rustix::{
    fs::{FallocateFlags, SeekFrom},
    io::Errno,
};

/// Files are cut at multiples of this, in bytes: a block of nearly every file system. One with larger blocks frees those
/// that are cut off whole.
const BLOCK_BYTES: u64 = 4 << 10;
/// Most that is kept where it has to pass through the keeper's memory, in bytes.
const COPIED_LIMIT_BYTES: u64 = 4 << 20;
/// A file that became so long, in bytes, begins anew, holes and all: ext4 ends at sixteen times that.
const LENGTH_LIMIT_BYTES: u64 = 1 << 40;

/// Where data is at or after `from`; none, when nothing follows.
pub(super) fn data(file: &File, from: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(at) => Ok(Some(at)),
        Err(Errno::NXIO) => Ok(None),
        // A file system that does not know of holes has none.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(from)),
        Err(e) => Err(e.into()),
    }
}

/// Where the data at `from` ends, at a hole or at the end of the file.
pub(super) fn hole(file: &File, from: u64, length: u64) -> io::Result<u64> {
    match rustix::fs::seek(file, SeekFrom::Hole(from)) {
        Ok(at) => Ok(at.min(length)),
        Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP) => Ok(length),
        Err(e) => Err(e.into()),
    }
}

/// Where a file's data begins: its length, when it holds none.
pub(super) fn first(file: &File, length: u64) -> io::Result<u64> {
    Ok(data(file, 0)?.unwrap_or(length).min(length))
}

/// Cuts a file with more than `limit_bytes` to its last half of that. Returns how many bytes there are now.
pub(crate) fn bound(path: &Path, limit_bytes: u64) -> io::Result<u64> {
    let length = match fs::metadata(path) {
        Ok(about) => about.len(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(e),
    };
    if length <= limit_bytes {
        return Ok(length);
    }
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let begins = first(&file, length)?;
    if length - begins <= limit_bytes {
        return Ok(length - begins);
    }
    let until = (length - limit_bytes / 2) / BLOCK_BYTES * BLOCK_BYTES;
    // In one step, and nothing that is written meanwhile is lost.
    let punched = length < LENGTH_LIMIT_BYTES
        && begins < until
        && rustix::fs::fallocate(
            &file,
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            begins,
            until - begins,
        )
        .is_ok();
    if punched {
        return Ok(length - until);
    }
    copy_tail(path, &file, (limit_bytes / 2).min(COPIED_LIMIT_BYTES))?;
    Ok(file.metadata()?.len())
}

/// Empties a file and appends its tail again, where the file system knows no holes. What is written between the two steps stands
/// before the tail, what was written while the tail was read is lost, and offsets begin anew.
pub(super) fn copy_tail(path: &Path, file: &File, keep_bytes: u64) -> io::Result<()> {
    let mut tail = super::end_of(path, usize::try_from(keep_bytes).unwrap_or(usize::MAX))?;
    let line = tail.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    tail.drain(..line);
    file.set_len(0)?;
    OpenOptions::new().append(true).open(path)?.write_all(&tail)
}
