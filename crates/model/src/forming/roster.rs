//! The roster: exactly who forms the group.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use super::{Candidate, Listing, choose_voters};
use crate::{ClusterId, HostId};

/// Names one state directory, drawn when it is made. A host that lost its disk is another one to its peers,
/// because what it promised is lost too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StateUuid(pub u128);

/// Text that is no UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("state directory's UUID {0:?}: must be 32 hexadecimal digits, with or without hyphens")]
pub struct InvalidStateUuid(pub String);

impl fmt::Display for StateUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl FromStr for StateUuid {
    type Err = InvalidStateUuid;
    fn from_str(text: &str) -> Result<Self, InvalidStateUuid> {
        let invalid = || InvalidStateUuid(text.to_owned());
        let hex: String = text.chars().filter(|c| *c != '-').collect();
        if hex.len() != 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        u128::from_str_radix(&hex, 16).map(Self).map_err(|_| invalid())
    }
}

impl TryFrom<String> for StateUuid {
    type Error = InvalidStateUuid;
    fn try_from(text: String) -> Result<Self, InvalidStateUuid> {
        text.parse()
    }
}

impl From<StateUuid> for String {
    fn from(state: StateUuid) -> Self {
        state.to_string()
    }
}

/// A host together with the state directory that holds its promises.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The host.
    pub host: HostId,
    /// Its state directory.
    pub state: StateUuid,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (state {})", self.host, self.state)
    }
}

/// One host of a roster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Seat {
    /// The host and its state directory.
    pub identity: Identity,
    /// Where its agent listens.
    pub address: SocketAddr,
    /// Failure domain, when known.
    pub zone: Option<String>,
    /// Launch order: lower is older.
    pub launched: u64,
    /// Whether it votes in the new group.
    pub voter: bool,
}

/// Exactly who forms the group. A roster is never changed: another list is another roster, of a higher round.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Roster {
    /// The cluster that it forms, and what tells this roster from every other: round and proposer's state UUID.
    pub cluster: ClusterId,
    /// Grows with every proposal that its proposer knows of.
    pub round: u64,
    /// The hosts, oldest first.
    pub seats: Vec<Seat>,
    /// Hosts that an operator set aside for this roster, with the reason he gave.
    pub without: BTreeMap<HostId, String>,
}

/// Why a roster that was received is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Malformed {
    /// Nobody is in it.
    #[error("it has no hosts")]
    Empty,
    /// Its hosts are not in launch order, or one is in it twice.
    #[error("its hosts are not in launch order, each once")]
    Order,
    /// Two hosts share a state directory.
    #[error("two of its hosts have the same state directory")]
    SharedState,
    /// Its voters are not those that its hosts give.
    #[error("its voters do not follow from its hosts")]
    Voters,
    /// Its cluster is named for no host of it.
    #[error("its cluster id does not follow from its round and one of its hosts")]
    Cluster,
}

impl Roster {
    /// The roster that `proposer` proposes for these hosts, in this round. Gives nothing when it would be
    /// [`Malformed`].
    #[must_use]
    pub fn new(
        proposer: StateUuid,
        round: u64,
        hosts: &[(Listing, StateUuid)],
        without: BTreeMap<HostId, String>,
    ) -> Option<Self> {
        let mut seats: Vec<Seat> = hosts
            .iter()
            .map(|(listing, state)| Seat {
                identity: Identity { host: listing.host.clone(), state: *state },
                address: listing.address,
                zone: listing.zone.clone(),
                launched: listing.launched,
                voter: false,
            })
            .collect();
        seats.sort_by(|a, b| (a.launched, &a.identity.host).cmp(&(b.launched, &b.identity.host)));
        let voters = chosen(&seats);
        for seat in &mut seats {
            seat.voter = voters.contains(&seat.identity.host);
        }
        let roster = Self { cluster: name(round, proposer)?, round, seats, without };
        roster.check().is_ok().then_some(roster)
    }

    /// Whether it keeps its own rules; what a peer sent is checked before it is agreed to.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(&self) -> Result<(), Malformed> {
        let mut hosts = BTreeSet::new();
        let mut states = BTreeSet::new();
        let sorted =
            self.seats.is_sorted_by(|a, b| (a.launched, &a.identity.host) <= (b.launched, &b.identity.host));
        if self.seats.is_empty() {
            return Err(Malformed::Empty);
        }
        if !sorted || !self.seats.iter().all(|seat| hosts.insert(&seat.identity.host)) {
            return Err(Malformed::Order);
        }
        if !self.seats.iter().all(|seat| states.insert(seat.identity.state)) {
            return Err(Malformed::SharedState);
        }
        let voters = chosen(&self.seats);
        if self.seats.iter().any(|seat| seat.voter != voters.contains(&seat.identity.host)) {
            return Err(Malformed::Voters);
        }
        if !states.iter().any(|state| name(self.round, *state).as_ref() == Some(&self.cluster)) {
            return Err(Malformed::Cluster);
        }
        Ok(())
    }

    /// The seat of a host, if it has one.
    #[must_use]
    pub fn seat(&self, host: &HostId) -> Option<&Seat> {
        self.seats.iter().find(|seat| &seat.identity.host == host)
    }

    /// Its hosts, as a list would have them.
    pub(super) fn listings(&self) -> impl Iterator<Item = Listing> {
        self.seats.iter().map(|seat| Listing {
            host: seat.identity.host.clone(),
            address: seat.address,
            zone: seat.zone.clone(),
            launched: seat.launched,
            terminated: false,
        })
    }

    /// The voters, oldest first. The first of them starts the group; the others give it a head start.
    pub fn voters(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter().filter(|seat| seat.voter)
    }
}

fn chosen(seats: &[Seat]) -> BTreeSet<HostId> {
    let candidates: Vec<Candidate> = seats
        .iter()
        .map(|seat| Candidate {
            host: seat.identity.host.clone(),
            zone: seat.zone.clone(),
            launched: seat.launched,
        })
        .collect();
    choose_voters(&candidates, &BTreeSet::new(), &BTreeSet::new())
}

/// Names the cluster of a roster. A proposer writes down a round before it speaks of it and never uses it
/// again, and no two state directories share a UUID: so no two rosters share a name.
fn name(round: u64, proposer: StateUuid) -> Option<ClusterId> {
    format!("c{round}-{proposer}").parse().ok()
}
