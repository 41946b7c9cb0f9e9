//! Who and what: one type for each kind of identity, so that the compiler tells them apart. Names are shared, as the state is full of them
//! and is copied often.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// A name that cannot be used, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {value:?}: {problem}")]
pub struct InvalidId {
    /// What the name was meant for.
    pub kind: &'static str,
    /// The name as given.
    pub value: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Longest name of a host, service or cluster, in bytes.
pub const NAME_LIMIT_BYTES: usize = 63;

fn check(kind: &'static str, value: &str) -> Result<(), InvalidId> {
    let problem = if value.is_empty() {
        "must not be empty"
    } else if value.len() > NAME_LIMIT_BYTES {
        "must be at most 63 bytes long"
    } else if !value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        "may hold only letters, digits, `-`, `_` and `.`"
    } else if !value.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        "must start with a letter or a digit"
    } else {
        return Ok(());
    };
    Err(InvalidId { kind, value: value.to_owned(), problem })
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidId;
            fn try_from(value: String) -> Result<Self, InvalidId> {
                value.parse()
            }
        }

        impl FromStr for $type {
            type Err = InvalidId;
            fn from_str(value: &str) -> Result<Self, InvalidId> {
                check($kind, value)?;
                Ok(Self(value.into()))
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name! {
    /// One machine of the fleet: its instance id on EC2, a chosen name in a static inventory.
    HostId, "host"
}
name! {
    /// What a host runs one release of at a time.
    ServiceName, "service"
}
name! {
    /// A cluster, made once when it forms. Peers of another one are refused.
    ClusterId, "cluster"
}

/// Number of an applied log entry. Grows by one with each, and orders everything that is replicated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How often this cluster was rebuilt from a minority; raised by `cluster recover`, so that fences of the
/// lost majority are always older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation(pub u64);

impl Default for Incarnation {
    fn default() -> Self {
        Self(1)
    }
}

/// One attempt to move a service to a release, named by the revision that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RolloutId(pub u64);

impl fmt::Display for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

impl FromStr for RolloutId {
    type Err = InvalidId;
    fn from_str(value: &str) -> Result<Self, InvalidId> {
        value.strip_prefix('r').unwrap_or(value).parse().map(Self).map_err(|_| InvalidId {
            kind: "rollout",
            value: value.to_owned(),
            problem: "must be a number, such as r12",
        })
    }
}

/// Number of a grant. It only grows; whatever carries an older one is refused by the resource itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fence {
    /// The cluster's incarnation at the grant.
    pub incarnation: Incarnation,
    /// The revision of the grant.
    pub revision: Revision,
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.incarnation.0, self.revision.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_where_they_enter() {
        for bad in ["", "-a", "a b", "a/b", "ü", &"x".repeat(64)] {
            assert!(bad.parse::<HostId>().is_err(), "{bad:?} was accepted");
            assert!(serde_check(bad), "{bad:?} was read");
        }
        assert_eq!("i-0abc.eu_1".parse::<HostId>().unwrap().as_str(), "i-0abc.eu_1");
    }

    fn serde_check(bad: &str) -> bool {
        use serde::de::{IntoDeserializer, value::Error};
        HostId::deserialize(IntoDeserializer::<Error>::into_deserializer(bad.to_owned())).is_err()
    }

    #[test]
    fn a_fence_of_a_later_incarnation_is_newer_whatever_its_revision() {
        let old = Fence { incarnation: Incarnation(1), revision: Revision(900) };
        let new = Fence { incarnation: Incarnation(2), revision: Revision(3) };
        assert!(old < new);
    }
}
