//! A place in the order of events.

use std::{fmt, str::FromStr};

use model::Revision;

/// A place in the order of events. A client resumes after the last one it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cursor {
    /// The log entry.
    pub revision: Revision,
    /// The place among the events of that entry.
    pub index: u32,
}

impl Cursor {
    /// The place after every event of `revision`.
    #[must_use]
    pub fn end_of(revision: Revision) -> Self {
        Self { revision, index: u32::MAX }
    }
}

/// As `42.0`, or `42` for the place after every event of log entry 42.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            u32::MAX => write!(f, "{}", self.revision),
            index => write!(f, "{}.{index}", self.revision),
        }
    }
}

/// Text that is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cursor {0:?}: must be a revision such as 42, or a revision and an index such as 42.0")]
pub struct InvalidCursor(String);

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let invalid = |_| InvalidCursor(text.to_owned());
        match text.split_once('.') {
            Some((revision, index)) => Ok(Self {
                revision: Revision(revision.parse().map_err(invalid)?),
                index: index.parse().map_err(invalid)?,
            }),
            None => Ok(Self::end_of(Revision(text.parse().map_err(invalid)?))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_cursor_go_both_ways() {
        for text in ["42.0", "42.7", "42", "0"] {
            assert_eq!(text.parse::<Cursor>().unwrap().to_string(), text);
        }
        for bad in ["", "r1", "1.", ".1", "1.2.3", "-1"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_bare_revision_lies_after_all_its_events() {
        assert!("42.9".parse::<Cursor>().unwrap() < "42".parse().unwrap());
        assert!("42".parse::<Cursor>().unwrap() < "43.0".parse().unwrap());
    }
}
