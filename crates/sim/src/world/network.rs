//! Who hears whom.

use std::collections::BTreeMap;

use super::{Happening, World};
use crate::HostNo;

/// What cuts hosts off from each other. Cuts are counted, as several may be on the same way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Network {
    deaf: BTreeMap<HostNo, u32>,
    mute: BTreeMap<HostNo, u32>,
    apart: BTreeMap<(HostNo, HostNo), u32>,
    split: BTreeMap<u16, u32>,
}

fn count<K: Ord>(map: &mut BTreeMap<K, u32>, key: K, more: bool) {
    let times = map.entry(key).or_default();
    *times = if more { *times + 1 } else { times.saturating_sub(1) };
}

impl Network {
    pub(crate) fn deaf(&mut self, host: HostNo, begins: bool) {
        count(&mut self.deaf, host, begins);
    }

    pub(crate) fn mute(&mut self, host: HostNo, begins: bool) {
        count(&mut self.mute, host, begins);
    }

    pub(crate) fn apart(&mut self, one: HostNo, other: HostNo, begins: bool) {
        count(&mut self.apart, (one.min(other), one.max(other)), begins);
    }

    pub(crate) fn split(&mut self, side: u16, begins: bool) {
        count(&mut self.split, side, begins);
    }

    pub(crate) fn heal(&mut self) {
        *self = Self::default();
    }

    /// Whether what `from` sends comes to `to`, if both are up.
    pub(crate) fn carries(&self, from: HostNo, to: HostNo) -> bool {
        let zero = |times: Option<&u32>| times.copied().unwrap_or_default() == 0;
        let on = |side: u16, host: HostNo| side >> (host % 16) & 1;
        let apart = |(side, times): (&u16, &u32)| 0 < *times && on(*side, from) != on(*side, to);
        from == to
            || zero(self.mute.get(&from))
                && zero(self.deaf.get(&to))
                && zero(self.apart.get(&(from.min(to), from.max(to))))
                && !self.split.iter().any(apart)
    }
}

impl World {
    /// Whether the agent of a host runs and is not frozen.
    pub(crate) fn is_awake(&self, host: HostNo) -> bool {
        let host = &self.hosts[host];
        host.agent.is_some() && host.frozen == 0
    }

    /// Whether two agents can ask and answer each other now.
    pub(crate) fn hear_each_other(&self, one: HostNo, other: HostNo) -> bool {
        self.is_awake(one)
            && self.is_awake(other)
            && self.network.carries(one, other)
            && self.network.carries(other, one)
    }

    /// The hosts that vote: the oldest that have not departed.
    pub(crate) fn voters(&self) -> Vec<HostNo> {
        let there: Vec<HostNo> = (0..self.hosts.len())
            .filter(|host| {
                let here = &self.hosts[*host];
                match self.fleet.hosts.get(&here.name) {
                    Some(record) => record.departed.is_none() && record.state == here.state,
                    None => *host < self.scenario.hosts,
                }
            })
            .collect();
        let votes = match there.len() {
            0..=2 => 1,
            3 | 4 => 3,
            _ => 5,
        };
        there.into_iter().take(votes).collect()
    }

    /// Whether this host hears, and is heard by, a majority of the voters.
    pub(crate) fn has_majority(&self, host: HostNo) -> bool {
        let voters = self.voters();
        let with = voters.iter().filter(|voter| self.hear_each_other(host, **voter)).count();
        voters.len() < 2 * with
    }

    /// Something has changed about who hears whom.
    pub(crate) fn reconsider(&mut self) {
        if self.leader().is_none_or(|leader| !self.has_majority(leader)) {
            let after = self.chance.between(150, 1500);
            self.later(after, Happening::Elect);
        }
    }
}
