//! The identity of a node.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest node id, in bytes: a host's name and a UUID fit.
const LIMIT_BYTES: usize = 128;

/// One agent as Raft sees it. An id is used once, ever: a node that lost its directory must come back under a
/// new one, because its votes and its log are gone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(String);

/// A node id that cannot be used, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("node id {value:?}: {problem}")]
pub struct InvalidNodeId {
    /// The id as given.
    pub value: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl NodeId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NodeId {
    type Error = InvalidNodeId;
    fn try_from(value: String) -> Result<Self, InvalidNodeId> {
        let problem = if value.is_empty() {
            "must not be empty"
        } else if value.len() > LIMIT_BYTES {
            "must be at most 128 bytes long"
        } else if !value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        {
            "may hold only letters, digits, `-`, `_` and `.`"
        } else {
            return Ok(Self(value));
        };
        Err(InvalidNodeId { value, problem })
    }
}

impl FromStr for NodeId {
    type Err = InvalidNodeId;
    fn from_str(value: &str) -> Result<Self, InvalidNodeId> {
        Self::try_from(value.to_owned())
    }
}

impl From<NodeId> for String {
    fn from(node: NodeId) -> Self {
        node.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Only openraft's own test suite makes node ids from numbers.
#[cfg(test)]
impl From<u64> for NodeId {
    fn from(number: u64) -> Self {
        Self(number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked_where_they_enter() {
        for bad in ["", "a b", "a/b", "ü", &"x".repeat(129)] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad:?} was accepted");
            assert!(serde_json::from_value::<NodeId>(bad.into()).is_err(), "{bad:?} was read");
        }
        assert_eq!("i-0abc_6fb1.x".parse::<NodeId>().unwrap().as_str(), "i-0abc_6fb1.x");
    }
}
