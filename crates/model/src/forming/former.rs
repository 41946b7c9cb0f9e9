//! The machine's state, its inputs and its outputs.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    num::NonZeroUsize,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{Answer, Ask, Gone, Heard, Identity, Listing, Question, Record, Refusal, Roster, Standing};
use crate::{ClusterId, HostId, Timestamp};

/// What a host is configured with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Options {
    /// A group forms from at least so many hosts. It must be more than half of the fleet, so that no two lists
    /// can both suffice and have no host in common.
    pub expected: NonZeroUsize,
    /// Time between two questions to a host that has not said what is needed.
    pub retry: Duration,
    /// How long younger hosts wait for each older one to propose, and for the oldest voter to initialise.
    pub head_start: Duration,
}

/// All that can happen to a host that is forming.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The inventory answered. A host that it leaves out is not gone.
    Listed(Vec<Listing>),
    /// A host asked; one [`Effect::Reply`] follows.
    Asked(Ask),
    /// An answer came for a question to `to`.
    Answered {
        /// The host that was asked.
        to: HostId,
        /// What came back.
        answer: Answer,
    },
    /// A message of a group's Raft came. It may be handed on only if [`Former::cluster`] names that cluster once
    /// the effects are carried out.
    Contacted {
        /// The group's cluster.
        cluster: ClusterId,
        /// Who sent it.
        from: HostId,
    },
    /// The moment of [`Former::deadline`] has come.
    DeadlinePassed,
    /// [`Effect::Initialise`] was carried out, or had been before: the group exists on this host's disk.
    Initialised {
        /// The group's cluster.
        cluster: ClusterId,
    },
    /// [`Effect::Initialise`] failed.
    InitialiseFailed {
        /// What went wrong, for people.
        problem: String,
    },
    /// The group took this host in.
    Joined {
        /// The group's cluster.
        cluster: ClusterId,
    },
    /// An operator asks to go on without some hosts. It is his word that they hold no group and never will.
    Bootstrap {
        /// The hosts to go on without.
        without: BTreeSet<HostId>,
        /// Why.
        reason: String,
    },
}

/// What is to be done, in the order given. A [`Effect::Persist`] must be on disk before what comes after it is
/// begun; if it fails, the agent stops.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Store the record, in place of the one before.
    Persist(Record),
    /// Answer the question that this event brought.
    Reply(Answer),
    /// Ask a host. No answer, or an error, is no event.
    Ask {
        /// Whom.
        to: HostId,
        /// Where its agent listens.
        address: SocketAddr,
        /// What.
        ask: Ask,
    },
    /// Start the group: exactly this roster's voters. Doing it again, here or on other voters, does no harm; that
    /// it is there already is [`Event::Initialised`] too.
    Initialise(Roster),
    /// Ask a group to take this host in.
    Join {
        /// The group's cluster.
        cluster: ClusterId,
        /// Members that can be asked.
        via: BTreeMap<HostId, SocketAddr>,
    },
    /// The event was refused and changed nothing.
    Refuse(Refused),
}

/// Why an event changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// Forming is over here.
    #[error("this host is in the group {cluster} already")]
    InGroup {
        /// The group's cluster.
        cluster: ClusterId,
    },
    /// A host cannot be set aside by itself.
    #[error("{host} cannot form a group without itself: ask another host")]
    ExcludesItself {
        /// The host.
        host: HostId,
    },
    /// The operator named a host that nobody knows; leaving it out would only lower the number expected.
    #[error("{host} is not known here: it was never listed")]
    UnknownHost {
        /// The host.
        host: HostId,
    },
    /// An operator's decision needs a reason.
    #[error("a reason is needed to form a group without a host")]
    NoReason,
    /// Nothing of that cluster was begun here.
    #[error("nothing of the group {cluster} was begun here")]
    NotBegun {
        /// The group's cluster.
        cluster: ClusterId,
    },
    /// Nothing was being initialised.
    #[error("no group was being initialised here")]
    NotInitialising,
    /// The word of a host that is gone does not count.
    #[error("{host} counts no more: {why}")]
    IsGone {
        /// The host.
        host: HostId,
        /// Why it is out.
        why: Gone,
    },
}

/// One host's part in forming a group. Made anew from its [`Record`] after a crash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Former {
    pub(super) me: Identity,
    pub(super) options: Options,
    pub(super) record: Record,
    /// Every host that the inventory or a roster has listed since the agent started, and that is not gone; all
    /// of the roster that this host is bound to.
    pub(super) known: BTreeMap<HostId, Listing>,
    /// Hosts that the last list has twice, with two of their addresses.
    pub(super) doubled: BTreeMap<HostId, [SocketAddr; 2]>,
    /// What counts now of what hosts said.
    pub(super) heard: BTreeMap<HostId, Heard>,
    /// Since when hosts have not answered.
    pub(super) silent: BTreeMap<HostId, Timestamp>,
    /// When this host last asked others, while it has no roster to ask about.
    pub(super) asked: BTreeMap<HostId, Timestamp>,
    /// What ended the last roster, for the holds.
    pub(super) disagreed: Option<(HostId, Refusal)>,
    /// Since when this host could propose, or initialise, but for the head start of others.
    pub(super) ready: Option<Timestamp>,
    /// When to ask, or to initialise, next.
    pub(super) due: Timestamp,
    pub(super) attempt: Attempt,
}

/// How far the initialising is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Attempt {
    /// Not begun since the agent started.
    NotBegun,
    /// Asked for, not ended.
    Running,
    /// Ended badly, to be tried again.
    Failed { problem: String },
}

impl Former {
    /// A host that starts, or starts again, with what it stored last ([`Record::default`] if nothing).
    #[must_use]
    pub fn new(me: Identity, options: Options, record: Record, now: Timestamp) -> Self {
        let seats = record.bound().into_iter().flat_map(Roster::listings);
        let known = seats.filter(|seat| !record.gone.contains_key(&seat.host));
        Self {
            known: known.map(|seat| (seat.host.clone(), seat)).collect(),
            me,
            options,
            record,
            doubled: BTreeMap::new(),
            heard: BTreeMap::new(),
            silent: BTreeMap::new(),
            asked: BTreeMap::new(),
            disagreed: None,
            ready: None,
            due: now,
            attempt: Attempt::NotBegun,
        }
    }

    /// The same at the beginning of its clock, one retry before it asks again, without what only tells whom to ask
    /// when, and people why: for a checker that lets any time pass between two events, and takes hosts that can do
    /// the same for equal.
    #[must_use]
    pub fn timeless(mut self) -> Self {
        self.due = Timestamp(0) + self.options.retry;
        self.ready = self.ready.map(|_| Timestamp(0));
        self.asked.clear();
        self.silent.clear();
        self.disagreed = None;
        self
    }

    /// The group that this host is in, or is starting. Messages of this group's Raft, and of no other, may be
    /// handed on. Final once it is there.
    #[must_use]
    pub fn cluster(&self) -> Option<&ClusterId> {
        self.record.cluster()
    }

    /// What this host has promised.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// When [`Event::DeadlinePassed`] is due; never again once the host is a member.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        match (&self.record.standing, &self.attempt) {
            (Standing::Member { .. }, _) | (Standing::Initialising(_), Attempt::Running) => None,
            (Standing::Initialising(_), _) => Some(self.due),
            _ => Some(self.head_start_ends().map_or(self.due, |ends| ends.min(self.due))),
        }
    }

    /// Takes one event. Whatever is unexpected is refused or has no effect.
    #[must_use]
    pub fn handle(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let before = self.record.clone();
        let mut effects = self.take(event, now);
        effects.extend(self.settle(now));
        if self.record != before {
            effects.insert(0, Effect::Persist(self.record.clone()));
        }
        effects
    }

    fn take(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let taken = match event {
            Event::Listed(listings) => {
                self.listed(listings, now);
                Ok(())
            }
            Event::Asked(ask) => return vec![Effect::Reply(self.asked(ask, now))],
            Event::Answered { to, answer } => self.answered(&to, answer, now),
            Event::Contacted { cluster, from } => self.contacted(&cluster, &from, now),
            Event::DeadlinePassed => Ok(()),
            Event::Initialised { cluster } => self.initialised(cluster),
            Event::InitialiseFailed { problem } => self.initialise_failed(problem, now),
            Event::Joined { cluster } => self.joined(cluster),
            Event::Bootstrap { without, reason } => self.bootstrap(&without, &reason, now),
        };
        taken.err().map(Effect::Refuse).into_iter().collect()
    }

    fn initialised(&mut self, cluster: ClusterId) -> Result<(), Refused> {
        match &self.record.standing {
            Standing::Member { cluster: mine } if *mine == cluster => Ok(()),
            Standing::Initialising(roster) if roster.cluster == cluster => {
                self.become_member(cluster);
                Ok(())
            }
            _ => Err(Refused::NotBegun { cluster }),
        }
    }

    fn initialise_failed(&mut self, problem: String, now: Timestamp) -> Result<(), Refused> {
        if !matches!(self.record.standing, Standing::Initialising(_)) {
            return Err(Refused::NotInitialising);
        }
        self.attempt = Attempt::Failed { problem };
        self.due = now + self.options.retry;
        Ok(())
    }

    fn joined(&mut self, cluster: ClusterId) -> Result<(), Refused> {
        if self.cluster() == Some(&cluster) {
            return Ok(());
        }
        match self.joinable() {
            Some((known, _)) if known == cluster => {
                self.become_member(cluster);
                Ok(())
            }
            _ => Err(Refused::NotBegun { cluster }),
        }
    }

    fn bootstrap(&mut self, without: &BTreeSet<HostId>, reason: &str, now: Timestamp) -> Result<(), Refused> {
        if let Some(cluster) = self.cluster() {
            return Err(Refused::InGroup { cluster: cluster.clone() });
        }
        if without.contains(&self.me.host) {
            return Err(Refused::ExcludesItself { host: self.me.host.clone() });
        }
        if !without.is_empty() && reason.trim().is_empty() {
            return Err(Refused::NoReason);
        }
        let knows = |host: &HostId| self.known.contains_key(host) || self.record.gone.contains_key(host);
        if let Some(host) = without.iter().find(|host| !knows(host)) {
            return Err(Refused::UnknownHost { host: host.clone() });
        }
        let excluded = Gone::Excluded { reason: reason.to_owned() };
        self.set_gone(without.iter().map(|host| (host.clone(), excluded.clone())).collect(), now);
        self.due = now;
        Ok(())
    }

    /// A question as this host asks it.
    pub(super) fn question(&self, question: Question) -> Ask {
        Ask { from: self.me.clone(), gone: self.record.gone.clone(), question }
    }
}
