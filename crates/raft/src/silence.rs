//! When a leader must say nothing: it has not heard from its quorum for so long that it may be deaf.
//!
//! Whoever hears a leader elects no other, for a lease. A leader that is heard and does not hear would lead for ever, and commit nothing.
//! So it falls silent for long enough that the others elect another one, if they hear of each other, and then shows itself for a
//! while, in case the silence was all that had been wrong.
//!
//! openraft has a silence of its own, of heartbeats only: entries that nobody acknowledges are sent again and again, and each of them
//! holds an election off. It is switched off, and this one is about all that a leader says.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{NodeId, Role, Standing, Timers};

/// Of a leader's quorum, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct Silence(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Who leads and who votes, and since when that is so: nobody can have answered before.
    era: Option<(u64, BTreeSet<NodeId>, Instant)>,
    /// When a quorum last confirmed this leader. `None` where no other is needed.
    confirmed: Option<Instant>,
}

impl Silence {
    /// Takes note of what this node is now.
    pub(crate) fn follow(&self, standing: &Standing, now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if standing.role != Role::Leader {
            *known = Known::default();
            return;
        }
        let same = |(term, voters, _): &(u64, BTreeSet<NodeId>, Instant)| {
            *term == standing.term && voters.iter().eq(standing.voters.keys())
        };
        if !known.era.as_ref().is_some_and(same) {
            known.era = Some((standing.term, standing.voters.keys().cloned().collect(), now));
        }
        let alone = standing.voters.keys().eq([&standing.node]);
        let since = known.era.as_ref().map(|(_, _, since)| *since);
        known.confirmed = if alone { None } else { since.max(standing.quorum_contact) };
    }

    /// Whether nothing must be said now to whoever would take it for a leader's word.
    pub(crate) fn is_due(&self, timers: &Timers, now: Instant) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.confirmed.is_some_and(|at| is_due(now.saturating_duration_since(at), timers))
    }
}

/// Whether a leader is to be silent whose quorum confirmed it so long ago.
///
/// In the silence the others' lease ends, then comes an election, and, if two of them began at once or one was still bound, another one.
fn is_due(unconfirmed: Duration, timers: &Timers) -> bool {
    let (silent, shown) = (timers.election_max * 3, timers.election_max);
    match unconfirmed.checked_sub(timers.election_max) {
        Some(over) => over.as_nanos() % (silent + shown).as_nanos().max(1) < silent.as_nanos(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In units of `election_max`, so long ago was the quorum heard.
    fn due(eighths: u32) -> bool {
        let timers = Timers::default();
        is_due(timers.election_max * eighths / 8, &timers)
    }

    #[test]
    fn a_leader_is_silent_for_three_election_timeouts_out_of_four_once_its_lease_is_over() {
        for (eighths, silent) in [
            (0, false),
            (7, false),
            (8, true),
            (31, true),
            (32, false),
            (39, false),
            (40, true),
            (63, true),
            (64, false),
        ] {
            assert_eq!(due(eighths), silent, "{eighths} eighths after its quorum was heard");
        }
    }

    fn standing(role: Role, term: u64, voters: &[&str], contact: Option<Instant>) -> Standing {
        let id = |name: &&str| name.parse::<NodeId>().unwrap();
        let address = "127.0.0.1:9".parse().unwrap();
        Standing {
            node: id(&"a"),
            role,
            term,
            leader: None,
            voters: voters.iter().map(|name| (id(name), address)).collect(),
            leaving: [].into(),
            quorums: Vec::new(),
            learners: [].into(),
            changing: false,
            last_log: None,
            last_applied: None,
            snapshot: None,
            purged: None,
            peers: [].into(),
            quorum_contact: contact,
            failure: None,
        }
    }

    #[test]
    fn only_a_leader_of_others_falls_silent_and_a_new_one_has_time_to_be_heard() {
        let timers = Timers::default();
        let (silence, start) = (Silence::default(), Instant::now());
        let later = start + timers.election_max;
        assert!(!silence.is_due(&timers, later), "nothing is known yet");

        silence.follow(&standing(Role::Leader, 1, &["a", "b"], None), start);
        assert!(!silence.is_due(&timers, start), "it was elected a moment ago");
        silence.follow(&standing(Role::Leader, 1, &["a", "b"], None), later);
        assert!(silence.is_due(&timers, later), "nobody has answered since");
        silence.follow(&standing(Role::Leader, 1, &["a", "b"], Some(later)), later);
        assert!(!silence.is_due(&timers, later), "a quorum has answered");

        let end = later + timers.election_max;
        silence.follow(&standing(Role::Leader, 1, &["a", "b", "c"], None), end);
        assert!(!silence.is_due(&timers, end), "of these voters none can have answered yet");
        silence.follow(&standing(Role::Leader, 1, &["a"], None), end);
        assert!(!silence.is_due(&timers, end + timers.election_max), "it needs nobody");
        silence.follow(&standing(Role::Follower, 2, &["a", "b"], None), end);
        assert!(!silence.is_due(&timers, end + timers.election_max), "it does not lead");
    }
}
