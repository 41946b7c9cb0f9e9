//! Reads what programs write, while they write it, and while the keeper cuts it and removes it.
//!
//! Promise: each line once and in order, from any place that an earlier reader was at; what is gone is a gap, and is said.
//! Absent on purpose: time, and waiting. Whoever follows asks again a little later; nothing is kept between two questions but the place.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

pub use super::lines::LINE_LIMIT_BYTES;
use super::{Attempt, LogFile, Place, Wanted, Writer, below, cut, files, lines};

/// Most that is read in one step, in bytes. More than a line.
const BATCH_BYTES: u64 = 32 << 10;
/// So many looks in a row find the beginning of a line and not its end, until the beginning is shown.
const LOOKS: u32 = 6;

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it begins, in bytes into its attempt's output.
    pub offset: u64,
    /// Where a reader goes on that has read it.
    pub next: u64,
    /// Without its end. What is no UTF-8 is replaced.
    pub text: String,
    /// It is longer: its rest is passed over.
    pub cut: bool,
    /// Its beginning was a line before, because its end was long in coming.
    pub continued: bool,
}

/// Output that is no longer there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Where it begins.
    pub from: Place,
    /// Where a reader goes on.
    pub to: Place,
    /// How many bytes are missing, where that can be known.
    pub lost_bytes: Option<u64>,
}

/// What a reader finds next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// Lines of one attempt, at least one.
    Lines {
        /// The attempt.
        of: Attempt,
        /// In order.
        lines: Vec<Line>,
    },
    /// Something is missing, before what comes next.
    Gap(Gap),
    /// Nothing, for now.
    AtEnd,
}

/// Reads what one writer writes for one keeper, attempt after attempt.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    writer: Writer,
    wanted: Wanted,
    place: Place,
    /// Where it ends; none for one that follows.
    until: Option<Place>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    of: Attempt,
    /// How much of the present line was shown already, in bytes.
    within: usize,
    /// A newer attempt has begun: this one writes no more.
    over: bool,
    /// How long the file was at the last look that found no end of a line, and how many such looks there were.
    waits: (u64, u32),
}

/// What one step came to.
enum Step {
    Found(Read),
    Again,
}

impl Reader {
    /// Reads from `place` on. Without `follows` it ends where the output ends now.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn new(
        keeper: &Path,
        writer: Writer,
        wanted: Wanted,
        place: Place,
        follows: bool,
    ) -> io::Result<Self> {
        let mut reader = Self { dir: below(keeper), writer, wanted, place, until: None, open: None };
        if !follows {
            let newest = reader.files()?.pop();
            reader.until = Some(match newest {
                Some(file) => {
                    let offset = std::fs::metadata(&file.path).map_or(0, |about| about.len());
                    Place { attempt: file.number, offset }
                }
                None => Place::START,
            });
        }
        Ok(reader)
    }

    /// Whose output it reads.
    #[must_use]
    pub fn writer(&self) -> Writer {
        self.writer
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// What comes next. Blocks on nothing but the disk.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(&mut self) -> io::Result<Read> {
        loop {
            if let Step::Found(read) = self.step()? {
                return Ok(read);
            }
        }
    }

    fn step(&mut self) -> io::Result<Step> {
        let Some(open) = &mut self.open else { return self.go_on() };
        let length = open.file.metadata()?.len();
        if length < self.place.offset {
            // Somebody emptied it.
            let from = std::mem::replace(&mut self.place.offset, 0);
            open.within = 0;
            let gap = Gap { from: Place { offset: from, ..self.place }, to: self.place, lost_bytes: None };
            return Ok(Step::Found(Read::Gap(gap)));
        }
        let length = match self.until {
            Some(until) if until.attempt == self.place.attempt => until.offset.min(length),
            _ => length,
        };
        if length <= self.place.offset {
            return self.at_end();
        }
        let data = cut::data(&open.file, self.place.offset)?.unwrap_or(length).min(length);
        if self.place.offset < data {
            let from = self.place;
            self.place.offset = data;
            // What begins here is the end of a line.
            open.within = LINE_LIMIT_BYTES;
            let lost_bytes = Some(data - from.offset);
            return Ok(Step::Found(Read::Gap(Gap { from, to: self.place, lost_bytes })));
        }
        let end = cut::hole(&open.file, data, length)?.min(data + BATCH_BYTES);
        self.take(end, length)
    }

    /// Reads lines up to `end`, in a file of this length.
    fn take(&mut self, end: u64, length: u64) -> io::Result<Step> {
        let Some(open) = &mut self.open else { return Ok(Step::Again) };
        let from = self.place.offset;
        let mut bytes = vec![0; usize::try_from(end - from).unwrap_or_default()];
        let read = open.file.read_at(&mut bytes, from)?;
        bytes.truncate(read);
        if read == 0 || cut::data(&open.file, from)? != Some(from) {
            // It was cut while it was read: the next step says what is missing.
            return Ok(Step::Again);
        }
        let mut found = Vec::new();
        let mut done = lines::take(&bytes, &mut open.within, |line| {
            found.push(Line {
                offset: from + line.from as u64,
                next: from + line.next as u64,
                text: String::from_utf8_lossy(line.text).into_owned(),
                cut: line.cut,
                continued: line.continued,
            });
        });
        if done == 0 {
            open.waits = if open.waits.0 == length { (length, open.waits.1 + 1) } else { (length, 1) };
            let follows = self.until.is_none();
            if follows && !open.over && end == length && open.waits.1 < LOOKS {
                return self.at_end();
            }
            // Its end will not come, or not soon.
            done = bytes.len();
            found.push(Line {
                offset: from,
                next: from + done as u64,
                text: String::from_utf8_lossy(&bytes).into_owned(),
                cut: false,
                continued: open.within > 0,
            });
            open.within += done;
        }
        self.place.offset += done as u64;
        if found.is_empty() {
            return Ok(Step::Again);
        }
        Ok(Step::Found(Read::Lines { of: open.of.clone(), lines: found }))
    }

    /// Nothing more in this attempt: either it writes on, or a newer one has begun.
    fn at_end(&mut self) -> io::Result<Step> {
        let newer = self.next()?;
        let Some(open) = &mut self.open else { return Ok(Step::Again) };
        if newer.is_none() {
            return Ok(Step::Found(Read::AtEnd));
        }
        if !open.over {
            // What it wrote before the newer one began may have come since the last look.
            open.over = true;
            return Ok(Step::Again);
        }
        let removed = open.file.metadata()?.nlink() == 0;
        self.open = None;
        if !removed {
            self.place = Place::behind(self.place.attempt);
        }
        // One that was removed may have taken others with it, and `go_on` says so.
        Ok(Step::Again)
    }

    /// Opens the attempt in which the place lies, or else the next one.
    fn go_on(&mut self) -> io::Result<Step> {
        let Some(next) = self.next()? else { return Ok(Step::Found(Read::AtEnd)) };
        let file = match File::open(&next.path) {
            Ok(file) => file,
            // It was removed just now; the next step finds the one after it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Step::Again),
            Err(e) => return Err(e),
        };
        let from = self.place;
        let mut open = Open { file, of: next.attempt(), within: 0, over: false, waits: (0, 0) };
        if from.attempt == next.number {
            open.within = within(&open.file, from.offset)?;
        } else {
            self.place = Place { attempt: next.number, offset: 0 };
        }
        self.open = Some(open);
        if from.is_inside() && from.attempt != next.number {
            return Ok(Step::Found(Read::Gap(Gap { from, to: self.place, lost_bytes: None })));
        }
        Ok(Step::Again)
    }

    /// The attempt in which the place lies, when it is not open already; else the next one.
    fn next(&self) -> io::Result<Option<LogFile>> {
        let here = self.open.is_none() && self.place.is_inside();
        let is_next =
            |file: &LogFile| self.place.attempt < file.number || here && file.number == self.place.attempt;
        Ok(self.files()?.into_iter().find(is_next))
    }

    /// What is to be read, the oldest first.
    fn files(&self) -> io::Result<Vec<LogFile>> {
        let mut files = files(&self.dir)?;
        let ends = |file: &LogFile| self.until.is_none_or(|until| file.number <= until.attempt);
        files.retain(|file| file.writer == self.writer && ends(file) && self.wanted.takes(file));
        Ok(files)
    }
}

/// How much of the line at this place stands before it.
fn within(file: &File, offset: u64) -> io::Result<usize> {
    let from = offset.saturating_sub(LINE_LIMIT_BYTES as u64);
    let mut before = vec![0; usize::try_from(offset - from).unwrap_or_default()];
    let read = file.read_at(&mut before, from)?;
    before.truncate(read);
    Ok(lines::within(&before))
}

#[cfg(test)]
mod tests;
