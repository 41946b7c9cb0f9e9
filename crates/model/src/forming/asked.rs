//! What a host answers, and what it lets a group's messages do.

use super::{Answer, Ask, Former, Heard, Listing, Question, Refusal, Refused, Roster, Said, Standing};
use crate::{ClusterId, HostId, Timestamp};

impl Former {
    pub(super) fn asked(&mut self, ask: Ask, now: Timestamp) -> Answer {
        if self.cluster().is_none() {
            self.set_gone(ask.gone, now);
            self.is_stranger(&ask.from.host, ask.from.state);
        }
        let group = self.cluster().cloned();
        let said = match (group, ask.question) {
            (Some(cluster), _) => Said::Group { cluster },
            (None, Question::Group) => Said::NoGroup {
                round: self.record.round,
                agreed: self.record.bound().map(|roster| roster.cluster.clone()),
            },
            (None, Question::Agree(roster)) => self.asked_to_agree(roster, now),
            (None, Question::Withdraw { cluster, round }) => self.asked_to_withdraw(cluster, round, now),
        };
        Answer { from: self.me.clone(), gone: self.record.gone.clone(), said }
    }

    fn asked_to_agree(&mut self, roster: Roster, now: Timestamp) -> Said {
        let cluster = roster.cluster.clone();
        self.learn(roster.listings(), now);
        if matches!(&self.record.standing, Standing::Agreed(mine) if *mine == roster) {
            return Said::Agreed { cluster };
        }
        if let Some(why) = self.objection(&roster) {
            return Said::Refused { cluster, why };
        }
        self.agree(roster, now);
        Said::Agreed { cluster }
    }

    /// What speaks against agreeing to a roster.
    fn objection(&self, roster: &Roster) -> Option<Refusal> {
        if let Some(bound) = self.record.bound() {
            return Some(Refusal::Bound { cluster: bound.cluster.clone() });
        }
        if roster.round <= self.record.round {
            return Some(Refusal::Outdated { round: self.record.round });
        }
        if let Err(malformed) = roster.check() {
            return Some(Refusal::Malformed(malformed));
        }
        if !self.is_named_by(roster) {
            return Some(Refusal::NotNamed { identity: self.me.clone() });
        }
        if let Some(host) = self.record.gone_from(roster).first() {
            return Some(Refusal::HasGone { host: (*host).clone() });
        }
        if roster.seats.len() < self.needed() {
            return Some(Refusal::TooFew { expected: self.needed() });
        }
        if let Some((host, cluster)) = self.groups().next() {
            return Some(Refusal::KnowsGroup { host: host.clone(), cluster: cluster.clone() });
        }
        let missing: Vec<Listing> =
            self.known.values().filter(|known| roster.seat(&known.host).is_none()).cloned().collect();
        (!missing.is_empty()).then_some(Refusal::LeavesOut(missing))
    }

    fn is_named_by(&self, roster: &Roster) -> bool {
        roster.seat(&self.me.host).is_some_and(|seat| seat.identity.state == self.me.state)
    }

    /// Promises never to take part in a roster: by withdrawing, or by the round alone when not bound to it.
    fn asked_to_withdraw(&mut self, cluster: ClusterId, round: u64, now: Timestamp) -> Said {
        match &self.record.standing {
            Standing::Agreed(mine) if mine.cluster == cluster => {
                let mine = mine.clone();
                self.withdraw(mine, now);
            }
            _ => self.record.round = self.record.round.max(round),
        }
        Said::Withdrawn { cluster }
    }

    /// A message of a group came. It binds this host to the group if this host agreed to form it, or was joining
    /// it; even while it is withdrawing, for then the withdrawal cannot succeed any more.
    pub(super) fn contacted(
        &mut self,
        cluster: &ClusterId,
        from: &HostId,
        now: Timestamp,
    ) -> Result<(), Refused> {
        if self.cluster() == Some(cluster) {
            return Ok(());
        }
        if let Some(cluster) = self.cluster() {
            return Err(Refused::InGroup { cluster: cluster.clone() });
        }
        self.hears(from)?;
        if self.record.bound().is_some_and(|roster| roster.cluster == *cluster) {
            // Its address is in the roster. A voter starts the same group, any other host becomes a member.
            self.heard.insert(from.clone(), Heard::Group { cluster: cluster.clone() });
            self.due = now;
            if !self.votes() {
                self.become_member(cluster.clone());
            }
            return Ok(());
        }
        match self.joinable() {
            Some((known, _)) if known == *cluster => {
                self.become_member(known);
                Ok(())
            }
            _ => Err(Refused::NotBegun { cluster: cluster.clone() }),
        }
    }
}
