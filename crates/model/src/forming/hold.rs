//! Why forming waits, and what would end it.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};

use super::{Former, Gone, Heard, Refusal, Roster, Standing, StateUuid, former::Attempt};
use crate::{ClusterId, HostId, Timestamp};

/// One reason why a group has not formed yet. Its text says what is waited for; [`FormingHold::ends_when`] says
/// what would end it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum FormingHold {
    /// No list has this host.
    #[error("the inventory has not listed this host")]
    NotListed,
    /// Fewer hosts are listed than are needed.
    #[error("{listed} of {needed} hosts are listed")]
    WaitingForHosts {
        /// How many are listed.
        listed: usize,
        /// How many are needed.
        needed: usize,
    },
    /// A host has not answered.
    #[error("{host} has not answered")]
    NoAnswer {
        /// The host.
        host: HostId,
        /// When it was first asked in vain.
        since: Timestamp,
    },
    /// The inventory lists one host at two addresses.
    #[error("{host} is listed twice, at {} and at {}", .addresses[0], .addresses[1])]
    ListedTwice {
        /// The host.
        host: HostId,
        /// Two of its addresses.
        addresses: [SocketAddr; 2],
    },
    /// Two hosts say they are the same one, or one has lost its state directory.
    #[error("{host} has answered from two state directories, {was} and {now}")]
    DuplicateHost {
        /// The host.
        host: HostId,
        /// The state directory known before, or agreed to.
        was: StateUuid,
        /// The one that it spoke for last.
        now: StateUuid,
    },
    /// Another host than the listed one answers at its address.
    #[error("{answered} answers where {listed} is listed")]
    Misnamed {
        /// The host as listed.
        listed: HostId,
        /// The host that answers.
        answered: HostId,
    },
    /// Two hosts run on copies of one state directory.
    #[error("{} and {} have the same state directory, {state}", .hosts[0], .hosts[1])]
    SharedState {
        /// The hosts.
        hosts: [HostId; 2],
        /// Their state directory.
        state: StateUuid,
    },
    /// A host is bound to another roster.
    #[error("{host} is bound to the roster of {cluster}")]
    Bound {
        /// The host.
        host: HostId,
        /// The roster's cluster.
        cluster: ClusterId,
    },
    /// A host refused the last roster.
    #[error("{host} did not agree to the last roster: {why}")]
    Disagrees {
        /// The host.
        host: HostId,
        /// Why it did not.
        why: Refusal,
    },
    /// An older host is to propose the roster.
    #[error("older hosts propose first")]
    WaitingForProposal {
        /// When this host does it.
        until: Timestamp,
    },
    /// All agree; the oldest voter is to start the group.
    #[error("{oldest} starts the group of {cluster} first")]
    HeadStart {
        /// The oldest voter.
        oldest: HostId,
        /// The roster's cluster.
        cluster: ClusterId,
        /// When this host does it.
        until: Timestamp,
    },
    /// This host does not vote in the roster that it agreed to.
    #[error("the voters of {cluster} have not started it")]
    WaitingForVoters {
        /// The roster's cluster.
        cluster: ClusterId,
    },
    /// A roster has failed, and not all its hosts have withdrawn from it.
    #[error("withdrawing from the roster of {cluster}")]
    Withdrawing {
        /// The roster's cluster.
        cluster: ClusterId,
    },
    /// The group is being started.
    #[error("starting the group of {cluster}{}", problem.as_ref().map(|p| format!(": {p}")).unwrap_or_default())]
    Initialising {
        /// The roster's cluster.
        cluster: ClusterId,
        /// Why the last try failed.
        problem: Option<String>,
    },
    /// A group is asked to take this host in.
    #[error("joining the group {cluster}")]
    Joining {
        /// The group's cluster.
        cluster: ClusterId,
    },
    /// Hosts have different groups.
    #[error("{} has the group {}, but {} has {}", .0[0].0, .0[0].1, .0[1].0, .0[1].1)]
    TwoGroups([(HostId, ClusterId); 2]),
    /// This host was set aside.
    #[error("this host takes no part: {why}")]
    SetAside {
        /// Why.
        why: Gone,
    },
}

impl FormingHold {
    /// What would end it, for people.
    #[must_use]
    pub fn ends_when(&self) -> String {
        let without =
            |host: &HostId| format!("`deployinator cluster bootstrap --without {host} --reason WHY`");
        match self {
            Self::NotListed => "the inventory lists this host".into(),
            Self::WaitingForHosts { needed, .. } => {
                format!("{needed} hosts are listed, or bootstrap_expect is lowered on all hosts")
            }
            Self::NoAnswer { host, .. } => {
                format!("{host} answers, the inventory says that it is terminated, or {}", without(host))
            }
            Self::ListedTwice { host, .. } => format!("the inventory lists {host} once"),
            Self::DuplicateHost { host, .. } => {
                format!("only the first of the two answers as {host}, or {}", without(host))
            }
            Self::Misnamed { listed, .. } => {
                format!("{listed} answers at its address, or {}", without(listed))
            }
            Self::SharedState { hosts, .. } => format!("the state directory of {} is emptied", hosts[1]),
            Self::Bound { host, .. } => format!("{host} has a group, or withdraws"),
            Self::Disagrees { host, .. } => format!("{host} agrees to the next roster"),
            Self::WaitingForProposal { .. } => "one of them proposes, or its head start is over".into(),
            Self::HeadStart { oldest, .. } => format!("{oldest} starts it, or its head start is over"),
            Self::WaitingForVoters { .. } => {
                "a voter starts the group, or a host of the roster is gone".into()
            }
            Self::Withdrawing { .. } => "all its hosts that are not gone withdraw, or one has a group".into(),
            Self::Initialising { .. } => "the group is on this host's disk".into(),
            Self::Joining { .. } => "the group's leader takes this host in".into(),
            Self::TwoGroups([(_, _), (host, _)]) => {
                format!("the state directories of one group are emptied, or {}", without(host))
            }
            Self::SetAside { .. } => "the others have formed a group, which this host then joins".into(),
        }
    }
}

impl Former {
    /// Why this host waits, most telling first; nothing once it is a member.
    #[must_use]
    pub fn holds(&self) -> Vec<FormingHold> {
        let mut holds = match &self.record.standing {
            Standing::Member { .. } => return Vec::new(),
            Standing::Initialising(roster) => {
                let problem = match &self.attempt {
                    Attempt::Failed { problem } => Some(problem.clone()),
                    Attempt::NotBegun | Attempt::Running => None,
                };
                return vec![FormingHold::Initialising { cluster: roster.cluster.clone(), problem }];
            }
            Standing::Agreed(roster) => self.agreed_holds(roster),
            Standing::Withdrawn(roster) => {
                vec![FormingHold::Withdrawing { cluster: roster.cluster.clone() }]
            }
            Standing::Free => self.free_holds(),
        };
        holds.extend(self.joinable().map(|(cluster, _)| FormingHold::Joining { cluster }));
        let own = |(host, cluster): (&HostId, &ClusterId)| (host.clone(), cluster.clone());
        if let Some(first) = self.groups().next()
            && let Some(other) = self.groups().find(|(_, cluster)| *cluster != first.1)
        {
            holds.push(FormingHold::TwoGroups([own(first), own(other)]));
        }
        holds.extend(self.heard.iter().filter_map(|(host, heard)| heard.hold(host)));
        holds.extend(
            self.silent
                .iter()
                .map(|(host, since)| FormingHold::NoAnswer { host: host.clone(), since: *since }),
        );
        if let Some((host, why)) = &self.disagreed {
            holds.push(FormingHold::Disagrees { host: host.clone(), why: why.clone() });
        }
        holds
    }

    fn agreed_holds(&self, roster: &Roster) -> Vec<FormingHold> {
        let cluster = roster.cluster.clone();
        if !self.votes() {
            return vec![FormingHold::WaitingForVoters { cluster }];
        }
        let oldest = roster.voters().next().map(|seat| seat.identity.host.clone());
        let head_start = |(until, oldest)| FormingHold::HeadStart { oldest, cluster, until };
        self.head_start_ends().zip(oldest).map(head_start).into_iter().collect()
    }

    fn free_holds(&self) -> Vec<FormingHold> {
        if let Some(why) = self.record.gone.get(&self.me.host) {
            return vec![FormingHold::SetAside { why: why.clone() }];
        }
        let mut holds = Vec::new();
        if !self.known.contains_key(&self.me.host) {
            holds.push(FormingHold::NotListed);
        }
        if self.known.len() < self.needed() {
            holds.push(FormingHold::WaitingForHosts { listed: self.known.len(), needed: self.needed() });
        }
        let twice = |(host, at): (&HostId, &[SocketAddr; 2])| FormingHold::ListedTwice {
            host: host.clone(),
            addresses: *at,
        };
        holds.extend(self.doubled.iter().map(twice));
        holds.extend(self.shared_states());
        holds.extend(self.head_start_ends().map(|until| FormingHold::WaitingForProposal { until }));
        holds
    }

    fn shared_states(&self) -> Vec<FormingHold> {
        let mut owners = BTreeMap::from([(self.me.state, &self.me.host)]);
        let mut holds = Vec::new();
        for (host, heard) in &self.heard {
            let Heard::NoGroup { state, .. } = heard else { continue };
            if let Some(other) = owners.insert(*state, host).filter(|other| *other != host) {
                holds.push(FormingHold::SharedState { hosts: [other.clone(), host.clone()], state: *state });
            }
        }
        holds
    }
}

impl Heard {
    fn hold(&self, host: &HostId) -> Option<FormingHold> {
        let host = host.clone();
        match self {
            Self::NoGroup { agreed: Some(cluster), .. } => {
                Some(FormingHold::Bound { host, cluster: cluster.clone() })
            }
            Self::Stranger { was, now } => Some(FormingHold::DuplicateHost { host, was: *was, now: *now }),
            Self::Misnamed { answered } => {
                Some(FormingHold::Misnamed { listed: host, answered: answered.clone() })
            }
            Self::NoGroup { .. } | Self::Group { .. } | Self::Agreed | Self::Refused(_) | Self::Withdrawn => {
                None
            }
        }
    }
}
