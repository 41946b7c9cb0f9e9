//! What the service itself says of when it did what: one line a moment, in a file that all its processes share.
//!
//! Promise: no account but the service's own. Whoever measures a rollout from outside subtracts these times.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    str::FromStr,
    time::{Duration, SystemTime},
};

/// Something that the service did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Its program began.
    Began,
    /// It answers its health checks.
    Listens,
    /// It was told to stop.
    Told,
    /// It has stopped: nothing but the end of the process is left.
    Stopped,
}

const WORDS: [(Moment, &str); 4] = [
    (Moment::Began, "began"),
    (Moment::Listens, "listens"),
    (Moment::Told, "told"),
    (Moment::Stopped, "stopped"),
];

/// One moment of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: SystemTime,
    /// The host it runs on.
    pub host: String,
    /// What happened.
    pub moment: Moment,
}

impl Mark {
    /// Adds `moment` of the process on `host` to `file`, with the time of now.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(file: &Path, host: &str, moment: Moment) -> io::Result<()> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let word = WORDS.iter().find_map(|(known, word)| (*known == moment).then_some(*word));
        let line = format!("{} {host} {}\n", now.as_micros(), word.unwrap_or_default());
        // One write, so that lines of different processes do not mix.
        File::options().create(true).append(true).open(file)?.write_all(line.as_bytes())
    }

    /// All that was written to `file`, in the order of writing; nothing when there is none.
    ///
    /// # Errors
    /// It cannot be read, or holds something else.
    pub fn read(file: &Path) -> io::Result<Vec<Self>> {
        match fs::read_to_string(file) {
            Ok(text) => text.lines().map(str::parse).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

impl FromStr for Mark {
    type Err = io::Error;

    fn from_str(line: &str) -> io::Result<Self> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, format!("{line:?} is no moment"));
        let mut words = line.split(' ');
        let micros = words.next().and_then(|word| word.parse().ok()).ok_or_else(malformed)?;
        let host = words.next().ok_or_else(malformed)?.to_owned();
        let word = words.next().ok_or_else(malformed)?;
        let moment = WORDS.iter().find_map(|(moment, known)| (*known == word).then_some(*moment));
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
        Ok(Self { at, host, moment: moment.ok_or_else(malformed)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_in_order_and_something_else_is_refused() {
        let dir = tempfile::TempDir::new().unwrap();
        let file = dir.path().join("timeline");
        assert_eq!(Mark::read(&file).unwrap(), []);
        for (moment, _) in WORDS {
            Mark::write(&file, "h1", moment).unwrap();
        }
        let marks = Mark::read(&file).unwrap();
        assert!(marks.iter().map(|mark| mark.moment).eq(WORDS.map(|(moment, _)| moment)));
        assert!(marks.is_sorted_by_key(|mark| mark.at));
        fs::write(&file, "1 h1 sleeps\n").unwrap();
        assert!(Mark::read(&file).is_err());
    }
}
