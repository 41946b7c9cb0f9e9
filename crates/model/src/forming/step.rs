//! What a host does by itself: one table of standings, walked until nothing moves.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use super::{Effect, Former, Heard, Listing, Question, Roster, Seat, Standing, StateUuid, former::Attempt};
use crate::{ClusterId, HostId, Timestamp};

/// Hosts that a host asks at once, at least.
const AT_ONCE: usize = 8;
/// A host that said that it has no group is asked again after at most so many retries.
const SELDOM: usize = 10;

impl Former {
    /// Moves as far as it can, then asks whom it has to.
    pub(super) fn settle(&mut self, now: Timestamp) -> Vec<Effect> {
        while self.step(now) {}
        match &self.record.standing {
            Standing::Member { .. } => Vec::new(),
            Standing::Initialising(roster) => {
                if self.attempt == Attempt::Running || now < self.due {
                    return Vec::new();
                }
                let effect = Effect::Initialise(roster.clone());
                self.attempt = Attempt::Running;
                vec![effect]
            }
            _ if now < self.due => Vec::new(),
            _ => {
                self.due = now + self.options.retry;
                let mut effects = self.questions(now);
                effects.extend(self.joinable().map(|(cluster, via)| Effect::Join { cluster, via }));
                effects
            }
        }
    }

    /// Moves on by one, if what was heard allows it.
    fn step(&mut self, now: Timestamp) -> bool {
        match self.record.standing.clone() {
            Standing::Member { .. } | Standing::Initialising(_) => false,
            Standing::Agreed(roster) | Standing::Withdrawn(roster) if self.group_started(&roster) => {
                self.initialise(roster, now)
            }
            Standing::Agreed(roster) if self.is_doomed(&roster) => self.withdraw(roster, now),
            Standing::Agreed(roster) => {
                self.note_ready(self.is_unanimous(&roster), now);
                self.head_start_over(now) && self.initialise(roster, now)
            }
            Standing::Withdrawn(roster) => self.all_withdrew(&roster) && self.release(now),
            Standing::Free => {
                let roster = self.proposal();
                self.note_ready(roster.is_some(), now);
                let due = self.head_start_over(now);
                roster.filter(|_| due).is_some_and(|roster| self.agree(roster, now))
            }
        }
    }

    fn note_ready(&mut self, is_ready: bool, now: Timestamp) {
        self.ready = is_ready.then_some(self.ready.unwrap_or(now));
    }

    fn head_start_over(&self, now: Timestamp) -> bool {
        self.head_start_ends().is_some_and(|ends| ends <= now)
    }

    /// When this host may do what it is ready for: the oldest at once, each younger one later, so that they do
    /// not get in each other's way.
    pub(super) fn head_start_ends(&self) -> Option<Timestamp> {
        let ready = self.ready?;
        let before = match &self.record.standing {
            Standing::Agreed(roster) => {
                usize::from(roster.voters().next().is_some_and(|v| v.identity.host != self.me.host))
            }
            _ => self.older(),
        };
        Some(ready + self.options.head_start.saturating_mul(u32::try_from(before).unwrap_or(u32::MAX)))
    }

    /// How many of the hosts known are older than this one.
    fn older(&self) -> usize {
        let mine = self.known.get(&self.me.host).map(|me| (me.launched, &me.host));
        self.known.values().filter(|other| Some((other.launched, &other.host)) < mine).count()
    }

    /// Whether the group of a roster that this host votes in exists: then whoever started it had all
    /// agreements, this host's too, and starting it here as well is what was agreed.
    fn group_started(&self, roster: &Roster) -> bool {
        self.votes() && self.groups().any(|(_, cluster)| *cluster == roster.cluster)
    }

    /// Whether a roster can no longer be started: a host of it is gone, refuses, or has another group.
    fn is_doomed(&self, roster: &Roster) -> bool {
        !self.record.gone_from(roster).is_empty()
            || self.groups().any(|(_, cluster)| *cluster != roster.cluster)
            || self.heard.values().any(|heard| matches!(heard, Heard::Refused(_)))
    }

    fn is_unanimous(&self, roster: &Roster) -> bool {
        let agrees = |seat: &Seat| self.heard.get(&seat.identity.host) == Some(&Heard::Agreed);
        self.votes() && self.others(roster).all(agrees)
    }

    /// Whether nobody can start a roster any more. A host that has another group never will.
    fn all_withdrew(&self, roster: &Roster) -> bool {
        self.others(roster).all(|seat| match self.heard.get(&seat.identity.host) {
            Some(Heard::Withdrawn) => true,
            Some(Heard::Group { cluster }) => *cluster != roster.cluster,
            _ => self.record.gone.contains_key(&seat.identity.host),
        })
    }

    /// The roster that this host would propose, once all that are known have answered that they have no group
    /// and are not bound to a roster.
    fn proposal(&self) -> Option<Roster> {
        let mut hosts: Vec<(Listing, StateUuid)> = Vec::new();
        let mut last = self.record.round;
        for listing in self.known.values() {
            match self.heard.get(&listing.host) {
                _ if listing.host == self.me.host => hosts.push((listing.clone(), self.me.state)),
                Some(Heard::NoGroup { state, round, agreed: None }) => {
                    last = last.max(*round);
                    hosts.push((listing.clone(), *state));
                }
                _ => return None,
            }
        }
        let is_listed = self.known.contains_key(&self.me.host);
        let is_sound = is_listed && self.doubled.is_empty() && self.groups().next().is_none();
        if !is_sound || hosts.len() < self.needed() {
            return None;
        }
        Roster::new(self.me.state, last.checked_add(1)?, &hosts, self.record.excluded())
    }

    /// Fewest hosts of a roster. A host that an operator set aside is not waited for.
    pub(super) fn needed(&self) -> usize {
        self.options.expected.get().saturating_sub(self.record.excluded().len()).max(1)
    }

    pub(super) fn agree(&mut self, roster: Roster, now: Timestamp) -> bool {
        self.record.round = self.record.round.max(roster.round);
        self.disagreed = None;
        self.enter(Standing::Agreed(roster), now)
    }

    pub(super) fn withdraw(&mut self, roster: Roster, now: Timestamp) -> bool {
        self.enter(Standing::Withdrawn(roster), now)
    }

    fn initialise(&mut self, roster: Roster, now: Timestamp) -> bool {
        self.attempt = Attempt::NotBegun;
        self.enter(Standing::Initialising(roster), now)
    }

    fn release(&mut self, now: Timestamp) -> bool {
        self.enter(Standing::Free, now);
        if self.disagreed.is_some() {
            // Whoever refused may refuse again: not at the speed of the network.
            self.due = now + self.options.retry;
        }
        true
    }

    /// What was heard was about the standing before; only a group is a group for ever.
    fn enter(&mut self, standing: Standing, now: Timestamp) -> bool {
        self.record.standing = standing;
        self.heard.retain(|_, heard| matches!(heard, Heard::Group { .. }));
        self.asked.clear();
        self.ready = None;
        self.due = now;
        true
    }

    pub(super) fn become_member(&mut self, cluster: ClusterId) {
        self.record.standing = Standing::Member { cluster };
        self.heard.clear();
        self.silent.clear();
        self.asked.clear();
        self.disagreed = None;
        self.ready = None;
    }

    /// The group to join, and where. Only one that does not break what this host is bound to.
    pub(super) fn joinable(&self) -> Option<(ClusterId, BTreeMap<HostId, SocketAddr>)> {
        let clusters: BTreeSet<&ClusterId> = self.groups().map(|(_, cluster)| cluster).collect();
        let (Some(cluster), 1) = (clusters.first(), clusters.len()) else { return None };
        let is_open = self.record.bound().is_none_or(|roster| roster.cluster == **cluster);
        let at = |host: &HostId| Some((host.clone(), self.known.get(host)?.address));
        let via: BTreeMap<_, _> = self.groups().filter_map(|(host, _)| at(host)).collect();
        (is_open && !via.is_empty()).then(|| ((*cluster).clone(), via))
    }

    /// Whether this host votes in the roster that it is bound to.
    pub(super) fn votes(&self) -> bool {
        let seat = self.record.bound().and_then(|roster| roster.seat(&self.me.host));
        seat.is_some_and(|seat| seat.voter)
    }

    fn others<'a>(&'a self, roster: &'a Roster) -> impl Iterator<Item = &'a Seat> {
        roster.seats.iter().filter(|seat| seat.identity.host != self.me.host)
    }

    /// What to ask whom: about the roster those who are in it, for a group all others.
    fn questions(&mut self, now: Timestamp) -> Vec<Effect> {
        let others = match self.record.standing {
            Standing::Free => self.turn(now),
            _ => self.known.values().filter(|other| other.host != self.me.host).collect(),
        };
        let effects: Vec<Effect> = others
            .into_iter()
            .filter_map(|other| {
                let ask = self.question(self.question_for(&other.host)?);
                Some(Effect::Ask { to: other.host.clone(), address: other.address, ask })
            })
            .collect();
        for effect in &effects {
            if let Effect::Ask { to, .. } = effect {
                self.silent.entry(to.clone()).or_insert(now);
                self.asked.insert(to.clone(), now);
            }
        }
        effects
    }

    /// Whose turn it is to be asked for a group, so that many hosts that form do not all ask all the time. The oldest host, which will
    /// propose, asks everybody; a younger one asks some at once, and again only seldom those that have answered: it is asked itself.
    fn turn(&self, now: Timestamp) -> Vec<&Listing> {
        let place = self.older() + 1;
        let pause = self.options.retry.saturating_mul(u32::try_from(place.min(SELDOM)).unwrap_or(u32::MAX));
        let is_due = |other: &Listing| match self.heard.get(&other.host) {
            Some(Heard::NoGroup { agreed: None, .. }) => {
                self.asked.get(&other.host).is_none_or(|asked| *asked + pause <= now)
            }
            _ => true,
        };
        let others = self.known.values().filter(|other| other.host != self.me.host && is_due(other));
        let mut others: Vec<&Listing> = others.collect();
        others.sort_by_key(|other| (self.asked.get(&other.host), other.launched, &other.host));
        others.truncate(AT_ONCE.max(self.known.len() / place));
        others.sort_by_key(|other| &other.host);
        others
    }

    fn question_for(&self, host: &HostId) -> Option<Question> {
        let heard = self.heard.get(host);
        match &self.record.standing {
            Standing::Agreed(roster) => match roster.seat(host) {
                None => Some(Question::Group),
                // Who does not vote waits for the voters to start the group, and asks them only.
                Some(seat) if !self.votes() => seat.voter.then(|| Question::Agree(roster.clone())),
                Some(_) if heard == Some(&Heard::Agreed) => None,
                Some(_) => Some(Question::Agree(roster.clone())),
            },
            Standing::Withdrawn(roster) => match roster.seat(host) {
                None => Some(Question::Group),
                Some(_) if heard == Some(&Heard::Withdrawn) => None,
                Some(_) => Some(Question::Withdraw { cluster: roster.cluster.clone(), round: roster.round }),
            },
            Standing::Free => Some(Question::Group),
            Standing::Initialising(_) | Standing::Member { .. } => None,
        }
    }
}
