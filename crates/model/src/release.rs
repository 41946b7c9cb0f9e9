//! What is run: an immutable, content-addressed release.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::ids::InvalidId;

/// Name of a release, derived from its content: two with the same id are the same bytes.
/// It names a file in the state directory, so it holds no separator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReleaseId(Arc<str>);

impl ReleaseId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ReleaseId {
    type Error = InvalidId;
    fn try_from(value: String) -> Result<Self, InvalidId> {
        let fits = !value.is_empty()
            && value.len() <= 255
            && !value.starts_with('.')
            && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+?=".contains(&b));
        if fits {
            return Ok(Self(value.into()));
        }
        Err(InvalidId {
            kind: "release",
            value,
            problem: "must be 1 to 255 letters, digits or -_.+?=, no leading dot",
        })
    }
}

impl std::str::FromStr for ReleaseId {
    type Err = InvalidId;
    fn from_str(value: &str) -> Result<Self, InvalidId> {
        Self::try_from(value.to_owned())
    }
}

impl From<ReleaseId> for String {
    fn from(id: ReleaseId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How far the staging of a release is. What is not known is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StageProgress {
    /// Parts of it, such as store paths, that are here.
    pub paths_done: u64,
    /// Of so many that were missing.
    pub paths: u64,
    /// Bytes that are here.
    pub bytes_done: u64,
    /// Of so many that were missing.
    pub bytes: u64,
}

/// A release as a push names it and as every host stages it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Release {
    /// What it is.
    pub id: ReleaseId,
    /// Where a host fetches it from: a directory, or a store path.
    pub source: String,
    /// Whether it brings `bin/migrate`.
    pub migrates: bool,
}
