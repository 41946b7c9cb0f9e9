//! Where a reader is, and where one begins who wants the last lines.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use super::{LogFile, Writer, below, cut, files};

/// Bytes that are looked at in one step backwards.
const STEP_BYTES: u64 = 64 << 10;

/// A place in what one writer wrote on one host: whatever comes before it is behind the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Number of the attempt.
    pub attempt: u64,
    /// Bytes into its output; `u64::MAX` lies behind all of it.
    pub offset: u64,
}

impl Place {
    /// Before everything.
    pub const START: Self = Self::behind(0);

    /// Behind all that this attempt has written.
    #[must_use]
    pub const fn behind(attempt: u64) -> Self {
        Self { attempt, offset: u64::MAX }
    }

    /// Whether it lies in an attempt's output, not behind it.
    pub(super) fn is_inside(self) -> bool {
        self.offset != u64::MAX
    }
}

/// What a reader wants of it all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Releases whose id begins like this; every one when absent.
    pub release: Option<String>,
    /// This attempt only.
    pub attempt: Option<u64>,
}

impl Wanted {
    pub(super) fn takes(&self, file: &LogFile) -> bool {
        let begins = |prefix: &String| {
            file.label().is_some_and(|label| label.release.as_str().starts_with(prefix.as_str()))
        };
        self.attempt.is_none_or(|attempt| attempt == file.number) && self.release.as_ref().is_none_or(begins)
    }
}

/// Where each writer's reader begins, so that together they read the last `lines` lines of a keeper's directory, the newest
/// attempts first.
///
/// # Errors
/// A file cannot be read.
pub fn last_lines(
    keeper: &Path,
    writers: &[Writer],
    wanted: &Wanted,
    lines: u64,
) -> io::Result<Vec<(Writer, Place)>> {
    let mut files = files(&below(keeper))?;
    files.retain(|file| writers.contains(&file.writer) && wanted.takes(file));
    let mut places = Vec::new();
    for &writer in writers {
        let newest = files.iter().rev().find(|file| file.writer == writer);
        let place = match newest {
            Some(file) => Place { attempt: file.number, offset: length(file)? },
            None => Place::START,
        };
        places.push((writer, place));
    }
    let mut left = lines;
    for file in files.iter().rev() {
        if left == 0 {
            break;
        }
        let Some((offset, found)) = from_end(file, left)? else { continue };
        left -= found;
        if let Some((_, place)) = places.iter_mut().find(|(writer, _)| *writer == file.writer) {
            *place = Place { attempt: file.number, offset };
        }
    }
    Ok(places)
}

/// How long a file is; one that has just been removed is as good as empty.
fn length(file: &LogFile) -> io::Result<u64> {
    match std::fs::metadata(&file.path) {
        Ok(about) => Ok(about.len()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(e),
    }
}

/// Where the last `lines` lines of a file begin, and how many of them there are. What was cut off its front makes no line: a reader from
/// there says what is missing. None when the file has just been removed.
fn from_end(file: &LogFile, lines: u64) -> io::Result<Option<(u64, u64)>> {
    let open = match File::open(&file.path) {
        Ok(open) => open,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let length = open.metadata()?.len();
    let first = cut::first(&open, length)?;
    let mut found = 0;
    let mut end = length;
    let mut bytes = Vec::new();
    while first < end {
        let from = end.saturating_sub(STEP_BYTES).max(first);
        bytes.resize(usize::try_from(end - from).unwrap_or_default(), 0);
        let read = open.read_at(&mut bytes, from)?;
        bytes.truncate(read);
        for (at, byte) in (from..).zip(&bytes).collect::<Vec<_>>().into_iter().rev() {
            // The last byte ends the last line, or is of one that has not ended.
            let ends_line = *byte == b'\n' && at + 1 < length;
            if ends_line {
                found += 1;
                if found == lines {
                    return Ok(Some((at + 1, found)));
                }
            }
        }
        end = from;
    }
    // The first line has no end before it.
    Ok(Some((0, found + u64::from(first < length))))
}
