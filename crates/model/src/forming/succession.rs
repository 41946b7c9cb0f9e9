//! Clusters that were rebuilt: which one took the place of which, and when a host goes over.

use serde::{Deserialize, Serialize};

use super::{Record, Standing};
use crate::ClusterId;

/// A cluster, and those that it was rebuilt from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Succession {
    /// The cluster.
    pub cluster: ClusterId,
    /// Those whose place it took, oldest first.
    pub predecessors: Vec<ClusterId>,
}

/// What a cluster that a host hears of is to the one that the host is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kinship {
    /// It is the same.
    Same,
    /// It took the place of the host's own.
    Successor,
    /// The host's own took its place.
    Predecessor,
    /// Both took the place of one cluster: it was rebuilt twice, and only an operator can say which one is to go on.
    Rival,
    /// They have nothing to do with each other.
    Stranger,
}

impl Succession {
    /// What this one is to `mine`.
    #[must_use]
    pub fn kinship(&self, mine: &Self) -> Kinship {
        if self.cluster == mine.cluster {
            Kinship::Same
        } else if self.predecessors.contains(&mine.cluster) {
            Kinship::Successor
        } else if mine.predecessors.contains(&self.cluster) {
            Kinship::Predecessor
        } else if self.predecessors.iter().any(|cluster| mine.predecessors.contains(cluster)) {
            Kinship::Rival
        } else {
            Kinship::Stranger
        }
    }
}

impl Record {
    /// The cluster that this host is in, is starting, or has agreed to form, and those that it was rebuilt from.
    #[must_use]
    pub fn succession(&self) -> Option<Succession> {
        let agreed = self.bound().map(|roster| &roster.cluster);
        let cluster = self.cluster().or(agreed)?.clone();
        Some(Succession { cluster, predecessors: self.predecessors.clone() })
    }

    /// What this host has written down once it has gone over to a cluster that was rebuilt. Whoever it was in, it never goes back.
    #[must_use]
    pub fn gone_over(&self, to: Succession) -> Self {
        let Succession { cluster, predecessors } = to;
        Self { standing: Standing::Member { cluster }, predecessors, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn succession(cluster: &str, predecessors: &str) -> Succession {
        let id = |name: &str| name.parse().unwrap();
        Succession { cluster: id(cluster), predecessors: predecessors.split_whitespace().map(id).collect() }
    }

    #[test]
    fn who_slept_through_two_recoveries_still_finds_the_last_one_and_a_cluster_rebuilt_twice_is_noticed() {
        for (theirs, mine, expected) in [
            (("c1", ""), ("c1", ""), Kinship::Same),
            (("r2", "c1"), ("c1", ""), Kinship::Successor),
            (("r3", "c1 r2"), ("c1", ""), Kinship::Successor),
            (("c1", ""), ("r3", "c1 r2"), Kinship::Predecessor),
            (("r2", "c1"), ("r2x", "c1"), Kinship::Rival),
            (("r3", "c1 r2"), ("r2x", "c1"), Kinship::Rival),
            (("c9", ""), ("r2", "c1"), Kinship::Stranger),
        ] {
            let (theirs, mine) = (succession(theirs.0, theirs.1), succession(mine.0, mine.1));
            assert_eq!(theirs.kinship(&mine), expected, "{theirs:?} to {mine:?}");
        }
    }

    #[test]
    fn a_host_that_went_over_is_in_the_new_cluster_and_can_tell_of_the_old_one() {
        let record = Record {
            round: 4,
            standing: Standing::Member { cluster: "c1".parse().unwrap() },
            ..Record::default()
        };
        let to = succession("r2", "c1");
        let record = record.gone_over(to.clone());
        assert_eq!((record.round, record.succession()), (4, Some(to)));
        let written = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&written).unwrap(), record);
    }

    #[test]
    fn what_was_written_before_there_were_recoveries_is_still_read() {
        let old = r#"{"round":1,"standing":{"member":{"cluster":"c1"}},"gone":{}}"#;
        let record: Record = serde_json::from_str(old).unwrap();
        assert_eq!(record.succession(), Some(succession("c1", "")));
        assert_eq!(serde_json::to_string(&record).unwrap(), old);
    }
}
