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

/// Which life of a cluster this is; raised by `cluster recover`, so that fences of the lost majority are always older. The upper half counts
/// the lives. The lower half is drawn for each recovery: two halves of one cluster that are rebuilt apart never give the same fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation(pub u64);

/// Bits of an incarnation that are drawn.
const DRAWN_BITS: u32 = 32;

impl Incarnation {
    /// How many lives it counts. One that was never rebuilt is the first.
    #[must_use]
    pub fn lives(self) -> u64 {
        let counted = self.0 >> DRAWN_BITS;
        if counted == 0 { self.0 } else { counted }
    }

    /// The next life, told apart by `drawn` from every other one that follows on the same.
    #[must_use]
    pub fn next(self, drawn: u32) -> Self {
        let lives = self.lives().saturating_add(1).min(u64::MAX >> DRAWN_BITS);
        Self(lives << DRAWN_BITS | u64::from(drawn))
    }

    /// What tells it apart from others of as many lives.
    #[must_use]
    pub fn drawn(self) -> u32 {
        u32::try_from(self.0 & u64::from(u32::MAX)).unwrap_or(u32::MAX)
    }
}

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

    #[test]
    fn every_next_life_is_newer_than_all_that_it_follows_whatever_is_drawn() {
        let first = Incarnation::default();
        let [a, b] = [first.next(7), first.next(u32::MAX)];
        assert!(first < a && a != b && a.lives() == 2 && b.drawn() == u32::MAX);
        assert!(b < a.next(0) && a.next(0).lives() == 3);
        // Numbers that were given before any was drawn.
        assert!(Incarnation(9) < Incarnation(9).next(0) && Incarnation(9).next(0).lives() == 10);
        let last = Incarnation(u64::MAX);
        assert_eq!(last.next(3).lives(), last.lives(), "it ends without starting again");
    }
}
