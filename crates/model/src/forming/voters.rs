//! Which hosts vote.

use std::collections::{BTreeMap, BTreeSet};

use crate::HostId;

/// A host that could be a voter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Candidate {
    /// The host.
    pub host: HostId,
    /// Failure domain, when known. Hosts without one share one.
    pub zone: Option<String>,
    /// Launch order: lower is older.
    pub launched: u64,
}

/// How many voters a fleet of `hosts` hosts wants: one for 1 or 2, three for 3 or 4, five from 5 on.
#[must_use]
pub fn voters_wanted(hosts: usize) -> usize {
    match hosts {
        0 => 0,
        1 | 2 => 1,
        3 | 4 => 3,
        _ => 5,
    }
}

/// Chooses the voters among `hosts`, given the `current` ones and the hosts that are `gone` for good.
///
/// Only hosts that are gone stop voting: a current voter stays even if it is not among `hosts` (a list may be
/// partial) and even if the fleet has shrunk below what its voters were chosen for. Free places go to the zones
/// with the fewest voters, and there to the oldest host.
#[must_use]
pub fn choose_voters(
    hosts: &[Candidate],
    current: &BTreeSet<HostId>,
    gone: &BTreeSet<HostId>,
) -> BTreeSet<HostId> {
    let mut voters: BTreeSet<HostId> = current.difference(gone).cloned().collect();
    let mut free: BTreeMap<&HostId, &Candidate> =
        hosts.iter().filter(|c| !gone.contains(&c.host)).map(|c| (&c.host, c)).collect();
    let all = free.keys().copied().chain(&voters).collect::<BTreeSet<_>>().len();

    let mut crowd: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for voter in &voters {
        if let Some(candidate) = free.remove(voter) {
            *crowd.entry(candidate.zone.as_deref()).or_default() += 1;
        }
    }
    while voters.len() < voters_wanted(all) {
        let beside = |c: &Candidate| crowd.get(&c.zone.as_deref()).copied().unwrap_or(0);
        let Some(next) = free.values().copied().min_by_key(|c| (beside(c), c.launched, &c.host)) else {
            break;
        };
        free.remove(&next.host);
        *crowd.entry(next.zone.as_deref()).or_default() += 1;
        voters.insert(next.host.clone());
    }
    voters
}

/// Chooses the voters as [`choose_voters`] does, but so that hosts which are about to leave pass their vote on where another host can take
/// it. Without another one they keep it: fewer voters would make the group weaker, not safer.
#[must_use]
pub fn relieve_voters(
    hosts: &[Candidate],
    current: &BTreeSet<HostId>,
    leaving: &BTreeSet<HostId>,
) -> BTreeSet<HostId> {
    let (going, staying): (Vec<_>, Vec<_>) =
        hosts.iter().cloned().partition(|candidate| leaving.contains(&candidate.host));
    let mut voters = choose_voters(hosts, current, &BTreeSet::new());
    for candidate in &going {
        let (seated, free): (Vec<&Candidate>, Vec<&Candidate>) =
            staying.iter().partition(|other| voters.contains(&other.host));
        if voters.contains(&candidate.host)
            && let Some(best) = best(&seated, &free)
        {
            voters.remove(&candidate.host);
            voters.insert(best);
        }
    }
    voters
}

/// The one of `free` for the next place: of the zone with the fewest voters, and there the oldest.
fn best(seated: &[&Candidate], free: &[&Candidate]) -> Option<HostId> {
    let beside = |c: &Candidate| seated.iter().filter(|seated| seated.zone == c.zone).count();
    free.iter().min_by_key(|c| (beside(c), c.launched, &c.host)).map(|c| c.host.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_leave_pass_their_vote_on_where_another_can_take_it() {
        #[rustfmt::skip]
        let table = [
            // hosts in launch order        current             leaving   voters
            ("h1 h2",                       "h1",               "h1",     "h2"),
            ("h1 h2",                       "h1",               "h1 h2",  "h1"),
            ("h1 h2 h3",                    "h1 h2 h3",         "h1",     "h1 h2 h3"),
            ("h1 h2 h3 h4",                 "h1 h2 h3",         "h2",     "h1 h3 h4"),
            ("h1 h2 h3 h4",                 "h1 h2 h3",         "h1 h2",  "h2 h3 h4"),
            ("h1/a h2/b h3/c h4/a h5/b h6/b h7/c", "h1 h2 h3 h4 h5", "h2", "h1 h3 h4 h5 h6"),
            ("h1/a h2/b h3/c h4/a h5/b h6/b h7/c", "h1 h2 h3 h4 h5", "h3", "h1 h2 h4 h5 h7"),
            // Who leaves is not chosen as long as another can be.
            ("h1 h2 h3 h4",                 "h2 h3",            "h1",     "h2 h3 h4"),
            ("h1 h2 h3",                    "h2 h3",            "h1",     "h1 h2 h3"),
        ];
        for (listed, current, leaving, expected) in table {
            let chosen = relieve_voters(&hosts(listed), &set(current), &set(leaving));
            assert_eq!(chosen, set(expected), "hosts {listed}, current {current}, leaving {leaving}");
            let again = relieve_voters(&hosts(listed), &chosen, &set(leaving));
            assert_eq!(again, chosen, "choosing twice changed the voters of {listed}");
        }
    }

    fn id(name: &str) -> HostId {
        name.parse().unwrap()
    }

    fn set(names: &str) -> BTreeSet<HostId> {
        names.split_whitespace().map(id).collect()
    }

    /// `"h1/a h2/b h3"`: hosts in launch order, with zones.
    fn hosts(text: &str) -> Vec<Candidate> {
        let one = |(launched, word): (usize, &str)| {
            let (name, zone) = word.split_once('/').map_or((word, None), |(n, z)| (n, Some(z.to_owned())));
            Candidate { host: id(name), zone, launched: launched as u64 }
        };
        text.split_whitespace().enumerate().map(one).collect()
    }

    #[test]
    fn so_many_hosts_want_so_many_voters() {
        for (hosts, voters) in [(0, 0), (1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (100, 5)] {
            assert_eq!(voters_wanted(hosts), voters, "{hosts} hosts");
        }
    }

    #[test]
    fn voters_by_table() {
        #[rustfmt::skip]
        let table = [
            // hosts in launch order        current             gone      voters
            ("",                            "",                 "",       ""),
            ("h1",                          "",                 "",       "h1"),
            ("h2 h1",                       "",                 "",       "h2"),
            ("h1 h2 h3",                    "",                 "",       "h1 h2 h3"),
            ("h1 h2 h3 h4",                 "",                 "",       "h1 h2 h3"),
            ("h1 h2 h3 h4 h5 h6",           "",                 "",       "h1 h2 h3 h4 h5"),
            // Zones before age.
            ("h1/a h2/a h3/a h4/b",         "",                 "",       "h1 h2 h4"),
            ("h1/a h2/a h3/a h4/b h5/b h6/c h7/c", "",          "",       "h1 h2 h4 h5 h6"),
            // Current voters stay, though others would be chosen today.
            ("h1/a h2/b h3/c h4/a",         "h4 h2 h3",         "",       "h2 h3 h4"),
            // One and two hosts grow to three: the first voter stays.
            ("h1 h2 h3",                    "h2",               "",       "h1 h2 h3"),
            // A voter that is gone is replaced, in its own zone for balance.
            ("h1/a h2/b h3/c h4/a h5/c",    "h1 h2 h3",         "h3",     "h1 h2 h5"),
            // Only gone hosts are removed: not the unlisted, not the too many.
            ("h1 h2",                       "h1 h2 h3",         "",       "h1 h2 h3"),
            ("h1 h2 h3",                    "h1 h2 h3 h4 h5",   "h4",     "h1 h2 h3 h5"),
            ("h1 h2",                       "h1 h2 h3",         "h3",     "h1 h2"),
            // What is gone is not chosen, even while it is still listed.
            ("h1 h2 h3 h4",                 "",                 "h1",     "h2 h3 h4"),
        ];
        for (listed, current, gone, expected) in table {
            let chosen = choose_voters(&hosts(listed), &set(current), &set(gone));
            assert_eq!(chosen, set(expected), "hosts {listed}, current {current}, gone {gone}");
            let again = choose_voters(&hosts(listed), &chosen, &set(gone));
            assert_eq!(again, chosen, "choosing twice changed the voters of {listed}");
        }
    }

    #[test]
    fn the_order_of_the_list_does_not_matter() {
        let mut listed = hosts("h1/a h2/a h3/b h4/b h5/c h6/c h7/a");
        let first = choose_voters(&listed, &BTreeSet::new(), &BTreeSet::new());
        listed.reverse();
        assert_eq!(choose_voters(&listed, &BTreeSet::new(), &BTreeSet::new()), first);
    }
}
