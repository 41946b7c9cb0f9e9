//! What a host promised: all that outlives a crash.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use super::Roster;
use crate::{ClusterId, HostId};

/// What a host has written down about forming. It is stored before anything that follows from it is said or done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Record {
    /// The highest round of a roster that this host agreed to, or said it would never take part in. It agrees
    /// only to later ones.
    pub round: u64,
    /// How far it is.
    pub standing: Standing,
    /// Hosts that are gone for good, whose word counts no more. Kept because a cloud forgets them.
    pub gone: BTreeMap<HostId, Gone>,
    /// The clusters that the one it is in was rebuilt from, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub predecessors: Vec<ClusterId>,
}

/// How far a host is with forming.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It has no group, and is bound to no roster.
    #[default]
    Free,
    /// It agreed to this roster, and to no other.
    Agreed(Roster),
    /// It will not start this roster; it is bound until every other host of it said the same.
    Withdrawn(Roster),
    /// It starts the group of this roster, or has started it. There is no way back.
    Initialising(Roster),
    /// It is in a group. There is no way back.
    Member {
        /// The group's cluster.
        cluster: ClusterId,
    },
}

/// Why a host is out of forming for good.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gone {
    /// The inventory said that it is terminated.
    Terminated,
    /// An operator set it aside.
    Excluded {
        /// Why he did.
        reason: String,
    },
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terminated => f.write_str("the inventory says that it is terminated"),
            Self::Excluded { reason } => write!(f, "an operator set it aside: {reason}"),
        }
    }
}

impl Record {
    /// The group that this host is in, or is starting.
    #[must_use]
    pub fn cluster(&self) -> Option<&ClusterId> {
        match &self.standing {
            Standing::Member { cluster } => Some(cluster),
            Standing::Initialising(roster) => Some(&roster.cluster),
            Standing::Free | Standing::Agreed(_) | Standing::Withdrawn(_) => None,
        }
    }

    /// The roster that this host is bound to while it has no group.
    #[must_use]
    pub fn bound(&self) -> Option<&Roster> {
        match &self.standing {
            Standing::Agreed(roster) | Standing::Withdrawn(roster) => Some(roster),
            Standing::Free | Standing::Initialising(_) | Standing::Member { .. } => None,
        }
    }

    /// The hosts that an operator set aside.
    pub(super) fn excluded(&self) -> BTreeMap<HostId, String> {
        let reason = |gone: &Gone| match gone {
            Gone::Excluded { reason } => Some(reason.clone()),
            Gone::Terminated => None,
        };
        self.gone.iter().filter_map(|(host, gone)| Some((host.clone(), reason(gone)?))).collect()
    }

    /// The hosts of a roster that are gone.
    pub(super) fn gone_from<'a>(&'a self, roster: &'a Roster) -> BTreeSet<&'a HostId> {
        roster.seats.iter().map(|s| &s.identity.host).filter(|h| self.gone.contains_key(*h)).collect()
    }
}
