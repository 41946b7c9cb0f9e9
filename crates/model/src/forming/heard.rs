//! What a host learns: from the inventory, and from the answers to its questions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Answer, Former, Gone, Listing, Refusal, Refused, Said, Standing, StateUuid};
use crate::{ClusterId, HostId, Timestamp};

/// What counts now of what a host said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Heard {
    /// It has no group.
    NoGroup { state: StateUuid, round: u64, agreed: Option<ClusterId> },
    /// It has this group.
    Group { cluster: ClusterId },
    /// It agrees to the roster that this host agreed to.
    Agreed,
    /// It does not.
    Refused(Refusal),
    /// It will never take part in the roster that this host is withdrawing from.
    Withdrawn,
    /// It speaks for another state directory than before.
    Stranger { was: StateUuid, now: StateUuid },
    /// Another host answered at its address.
    Misnamed { answered: HostId },
}

impl Former {
    /// Learns of hosts; never that one is not there.
    pub(super) fn listed(&mut self, listings: Vec<Listing>, now: Timestamp) {
        if self.cluster().is_some() {
            return;
        }
        let (terminated, present): (Vec<_>, Vec<_>) = listings.into_iter().partition(|l| l.terminated);
        self.set_gone(terminated.into_iter().map(|l| (l.host, Gone::Terminated)).collect(), now);
        let mut seen: BTreeMap<HostId, Listing> = BTreeMap::new();
        if !present.is_empty() {
            self.doubled.clear();
        }
        for listing in present {
            if let Some(other) = seen.get(&listing.host).filter(|other| other.address != listing.address) {
                self.doubled.insert(listing.host.clone(), [other.address, listing.address]);
            } else {
                seen.insert(listing.host.clone(), listing);
            }
        }
        self.learn(seen.into_values(), now);
    }

    /// Adds hosts to those known, unless they are gone. A new one is asked at once.
    pub(super) fn learn(&mut self, listings: impl Iterator<Item = Listing>, now: Timestamp) {
        for listing in listings {
            if self.record.gone.contains_key(&listing.host) {
                continue;
            }
            if self.known.insert(listing.host.clone(), listing).is_none() {
                self.ready = None;
                self.due = now;
            }
        }
    }

    /// Takes hosts out of forming for good. What was heard of withdrawals no longer counts: whoever said so may
    /// not have known, and may have listened to a gone host since.
    pub(super) fn set_gone(&mut self, gone: BTreeMap<HostId, Gone>, now: Timestamp) {
        for (host, why) in gone {
            if self.record.gone.contains_key(&host) {
                continue;
            }
            self.known.remove(&host);
            self.silent.remove(&host);
            self.heard.remove(&host);
            self.heard.retain(|_, heard| *heard != Heard::Withdrawn);
            self.record.gone.insert(host, why);
            self.ready = None;
            self.due = now;
        }
    }

    pub(super) fn answered(&mut self, to: &HostId, answer: Answer, now: Timestamp) -> Result<(), Refused> {
        if self.cluster().is_some() {
            return Ok(());
        }
        self.hears(to)?;
        self.set_gone(answer.gone.clone(), now);
        self.hears(to)?;
        self.silent.remove(to);
        if answer.from.host != *to {
            self.heard.insert(to.clone(), Heard::Misnamed { answered: answer.from.host });
            return Ok(());
        }
        if self.is_stranger(to, answer.from.state) {
            return Ok(());
        }
        self.weigh(to, answer, now);
        Ok(())
    }

    /// Whether the word of a host counts.
    pub(super) fn hears(&self, host: &HostId) -> Result<(), Refused> {
        match self.record.gone.get(host) {
            Some(why) => Err(Refused::IsGone { host: host.clone(), why: why.clone() }),
            None => Ok(()),
        }
    }

    /// Notes when a host speaks for another state directory than the one that the roster names, or than before.
    pub(super) fn is_stranger(&mut self, host: &HostId, now: StateUuid) -> bool {
        let seated = self.record.bound().and_then(|roster| roster.seat(host)).map(|seat| seat.identity.state);
        let was = match (seated, self.heard.get(host)) {
            (Some(state), _) => Some(state),
            (None, Some(Heard::NoGroup { state, .. } | Heard::Stranger { now: state, .. })) => Some(*state),
            (None, _) => None,
        };
        let Some(was) = was.filter(|was| *was != now) else { return false };
        self.heard.insert(host.clone(), Heard::Stranger { was, now });
        true
    }

    /// Keeps an answer that speaks to what this host asks now; others are late, and dropped.
    fn weigh(&mut self, from: &HostId, answer: Answer, now: Timestamp) {
        let knows_gone = self.record.bound().is_none_or(|roster| {
            self.record.gone_from(roster).iter().all(|host| answer.gone.contains_key(*host))
        });
        let heard = match (&self.record.standing, answer.said) {
            (_, Said::Group { cluster }) => {
                let heard = Heard::Group { cluster };
                if self.heard.get(from) != Some(&heard) {
                    self.due = now;
                }
                heard
            }
            (Standing::Free, Said::NoGroup { round, agreed }) => {
                Heard::NoGroup { state: answer.from.state, round, agreed }
            }
            (Standing::Agreed(mine), Said::Agreed { cluster }) if mine.cluster == cluster => Heard::Agreed,
            (Standing::Agreed(mine), Said::Refused { cluster, why }) if mine.cluster == cluster => {
                if let Refusal::LeavesOut(hosts) = &why {
                    self.learn(hosts.clone().into_iter(), now);
                }
                self.disagreed = Some((from.clone(), why.clone()));
                Heard::Refused(why)
            }
            (Standing::Withdrawn(mine), Said::Withdrawn { cluster })
                if mine.cluster == cluster && knows_gone =>
            {
                Heard::Withdrawn
            }
            _ => return,
        };
        self.heard.insert(from.clone(), heard);
    }

    /// The groups that hosts said they have.
    pub(super) fn groups(&self) -> impl Iterator<Item = (&HostId, &ClusterId)> {
        self.heard.iter().filter_map(|(host, heard)| match heard {
            Heard::Group { cluster } => Some((host, cluster)),
            _ => None,
        })
    }
}
