//! How often each phase, hold, command, refusal and fault was met: a simulator that never comes somewhere proves nothing there.
//!
//! Promise: a name that was never met is named, but for those of which `names` says why they need not be.

mod names;

use std::collections::BTreeMap;

use model::{
    RolloutId,
    fleet::{Act, Fleet, Refusal, Reply, RolloutPhase},
};

use self::names::{
    ALL, UNMET, command_word, halt_word, outcome_word, refusal_word, report_word, request_word, rollout_word,
    step_word,
};
pub(crate) use self::names::{ELECTED, Group, effect_word, hold_word, phase_word};

/// From so many seeds on, what was never met is a failure.
pub(crate) const ENOUGH: u64 = 2000;

/// Makes a function that says the word for each variant, and the list of all its words: the compiler sees that no variant is missing.
macro_rules! words {
    ($(#[$doc:meta])* $vis:vis fn $word:ident($type:ty), $all:ident: $($pattern:pat => $name:literal,)+) => {
        $(#[$doc])*
        $vis fn $word(of: &$type) -> &'static str {
            match of {
                $($pattern => $name,)+
            }
        }

        /// Every word of it.
        $vis const $all: &[&str] = &[$($name),+];
    };
}
pub(crate) use words;

/// Counters by group and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Coverage {
    counts: BTreeMap<(Group, &'static str), u64>,
}

impl Coverage {
    /// One more.
    pub(crate) fn met(&mut self, group: Group, name: &'static str) {
        *self.counts.entry((group, name)).or_default() += 1;
    }

    /// An entry of the log, and what it changed.
    pub(crate) fn entry(&mut self, before: &Fleet, after: &Fleet, act: &Act, reply: &Reply) {
        self.met(Group::Command, command_word(act));
        match act {
            Act::Report { report, .. } => self.met(Group::Report, report_word(report)),
            Act::Ask { request, .. } => self.met(Group::Request, request_word(request)),
            _ => {}
        }
        if let Reply::Refused(refusal) = reply {
            self.refused(refusal);
        }
        if let (Act::Plan { steps, .. }, Reply::Planned(results)) = (act, reply) {
            for (step, result) in steps.iter().zip(results) {
                match result {
                    Ok(()) => self.met(Group::Step, step_word(step)),
                    Err(refusal) => self.refused(refusal),
                }
            }
        }
        let fresh = after.events.iter().rev().take_while(|event| before.revision < event.revision);
        let mut moved: Vec<_> = fresh.filter_map(|event| event.rollout).collect();
        moved.sort();
        moved.dedup();
        for id in moved {
            if let (was, Some(phase)) = (phase(before, id), phase(after, id))
                && was != Some(phase)
            {
                self.phase(phase);
            }
        }
    }

    fn refused(&mut self, refusal: &Refusal) {
        self.met(Group::Refusal, refusal_word(refusal));
    }

    fn phase(&mut self, phase: &RolloutPhase) {
        self.met(Group::Rollout, rollout_word(phase));
        match phase {
            RolloutPhase::Halted { why, .. } => self.met(Group::Halt, halt_word(why)),
            RolloutPhase::Ended { outcome } => self.met(Group::Outcome, outcome_word(outcome)),
            _ => {}
        }
    }

    /// Adds what another run met.
    pub(crate) fn add(&mut self, other: &Self) {
        for (key, count) in &other.counts {
            *self.counts.entry(*key).or_default() += count;
        }
    }

    /// How often each name was met that there is, by group.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line =
            |(group, name): (Group, &str), count: u64| format!("{:<12} {name:<34} {count}", group.word());
        let known = ALL.iter().flat_map(|(group, names)| names.iter().map(|name| (*group, *name)));
        known.map(|key| line(key, self.count(key))).collect()
    }

    fn count(&self, (group, name): (Group, &str)) -> u64 {
        self.counts.iter().find(|(key, _)| **key == (group, name)).map_or(0, |(_, count)| *count)
    }

    /// What is wrong with it: names that were never met, and names that nobody lists.
    pub(crate) fn gaps(&self) -> Vec<String> {
        let known: Vec<(Group, &str)> =
            ALL.iter().flat_map(|(group, names)| names.iter().map(|name| (*group, *name))).collect();
        let excused = |key: (Group, &str)| UNMET.iter().any(|(group, name, _)| (*group, *name) == key);
        let unmet = known.iter().filter(|key| self.count(**key) == 0 && !excused(**key));
        let unlisted = self.counts.keys().filter(|key| !known.contains(key));
        unmet
            .map(|(group, name)| format!("never met: {} {name:?}", group.word()))
            .chain(unlisted.map(|(group, name)| format!("met, and in no list: {} {name:?}", group.word())))
            .collect()
    }
}

fn phase(fleet: &Fleet, id: RolloutId) -> Option<&RolloutPhase> {
    fleet.services.values().find_map(|service| service.rollouts.get(&id)).map(|rollout| &rollout.phase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_met_is_named_and_so_is_what_nobody_lists() {
        let mut coverage = Coverage::default();
        for (group, names) in ALL {
            names.iter().for_each(|name| coverage.met(*group, name));
        }
        for (group, name, reason) in UNMET {
            assert!(
                coverage.counts.remove(&(*group, name)).is_some(),
                "an exception for what is not: {name}"
            );
            assert!(!reason.is_empty());
        }
        assert_eq!(coverage.gaps(), Vec::<String>::new());
        coverage.counts.remove(&(Group::Phase, "stuck"));
        coverage.met(Group::Hold, "no such hold");
        assert_eq!(
            coverage.gaps(),
            [r#"never met: phase "stuck""#, r#"met, and in no list: hold "no such hold""#]
        );
    }
}
