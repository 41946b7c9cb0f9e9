//! What hosts that have no group yet say to each other.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};

use super::{Gone, Identity, Malformed, Roster};
use crate::{ClusterId, HostId};

/// A host as the inventory lists it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Listing {
    /// The host.
    pub host: HostId,
    /// Where its agent listens.
    pub address: SocketAddr,
    /// Failure domain, when known.
    pub zone: Option<String>,
    /// Launch order: lower is older.
    pub launched: u64,
    /// The inventory says that it is gone for good.
    pub terminated: bool,
}

/// A question from one host to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ask {
    /// Who asks.
    pub from: Identity,
    /// The hosts it knows to be gone. Whoever is asked writes them down before it answers.
    pub gone: BTreeMap<HostId, Gone>,
    /// What it asks.
    pub question: Question,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Do you have a group?
    Group,
    /// Do you agree to this roster?
    Agree(Roster),
    /// Will you never take part in this roster?
    Withdraw {
        /// The roster's cluster.
        cluster: ClusterId,
        /// The roster's round.
        round: u64,
    },
}

/// The answer to a question. All that it promises was written down before it was sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Answer {
    /// Who answers.
    pub from: Identity,
    /// The hosts it knows to be gone; from now on it takes no word of theirs.
    pub gone: BTreeMap<HostId, Gone>,
    /// What it says.
    pub said: Said,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// It has no group.
    NoGroup {
        /// The highest round that it has agreed to or refused for good.
        round: u64,
        /// The roster that it has agreed to, or is withdrawing from.
        agreed: Option<ClusterId>,
    },
    /// It has a group, and the asker can join it here.
    Group {
        /// The group's cluster.
        cluster: ClusterId,
    },
    /// It agrees, and keeps to it.
    Agreed {
        /// The roster's cluster.
        cluster: ClusterId,
    },
    /// It does not agree.
    Refused {
        /// The roster's cluster.
        cluster: ClusterId,
        /// Why not.
        why: Refusal,
    },
    /// It has no group, and will never take part in that roster.
    Withdrawn {
        /// The roster's cluster.
        cluster: ClusterId,
    },
}

/// Why a host does not agree to a roster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It has agreed to another one, or is withdrawing from one.
    #[error("it is bound to the roster of {cluster}")]
    Bound {
        /// That roster's cluster.
        cluster: ClusterId,
    },
    /// It has agreed to, or withdrawn from, a roster of this round or a later one.
    #[error("it takes only rosters of rounds after {round}")]
    Outdated {
        /// The highest round it has dealt with.
        round: u64,
    },
    /// The roster names another state directory, or leaves the asked host out.
    #[error("it is {identity}, whom the roster does not name")]
    NotNamed {
        /// Who it is.
        identity: Identity,
    },
    /// It knows of hosts that are not in the roster.
    #[error("the roster leaves out {}", names(.0))]
    LeavesOut(Vec<Listing>),
    /// The roster has a host that is gone.
    #[error("the roster has {host}, which is gone")]
    HasGone {
        /// The host.
        host: HostId,
    },
    /// The roster has fewer hosts than it expects.
    #[error("it expects at least {expected} hosts")]
    TooFew {
        /// How many it expects.
        expected: usize,
    },
    /// It knows a group already.
    #[error("it joins the group {cluster}, which {host} has")]
    KnowsGroup {
        /// Who has the group.
        host: HostId,
        /// The group's cluster.
        cluster: ClusterId,
    },
    /// The roster is none.
    #[error("the roster is malformed: {0}")]
    Malformed(Malformed),
}

fn names(listings: &[Listing]) -> String {
    listings.iter().map(|l| l.host.as_str()).collect::<Vec<_>>().join(", ")
}
