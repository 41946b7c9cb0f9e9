//! How often each phase, hold, command, refusal and fault was met: a simulator that never comes somewhere proves nothing there.

use std::collections::BTreeMap;

/// Counters by group and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Coverage {
    counts: BTreeMap<(&'static str, &'static str), u64>,
}

impl Coverage {
    /// One more.
    pub(crate) fn met(&mut self, group: &'static str, name: &'static str) {
        *self.counts.entry((group, name)).or_default() += 1;
    }

    /// Adds what another run met.
    pub(crate) fn add(&mut self, other: &Self) {
        for (key, count) in &other.counts {
            *self.counts.entry(*key).or_default() += count;
        }
    }

    /// Everything that was met, by group and name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        self.counts.iter().map(|((group, name), count)| (*group, *name, *count))
    }
}
