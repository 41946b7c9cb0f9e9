//! What clients saw, and whether one machine that does one thing at a time could have shown it to them.
//!
//! A list that only grows makes this exact and cheap: where an append stands is its place in the one order that there can be, and a reading
//! of the first n commands stands right behind the n-th. What is left to ask is whether that order agrees with the clients' clocks:
//! whoever was answered before another one asked must stand before it.

use std::collections::{BTreeMap, BTreeSet};

/// One call of a client. Times count what clients did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) asked: u64,
    pub(super) answered: u64,
    pub(super) seen: Seen,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// The number was appended, as the so many-th.
    Appended { number: u64, place: usize },
    /// It may have been appended, or may be still.
    Open { number: u64 },
    /// It was not taken, and must never be.
    Refused { number: u64 },
    /// So many commands were there, of which this was the last.
    Read { length: usize, last: Option<u64> },
}

/// Checks a run's calls against the list as it is in the end.
pub(super) fn check(calls: &[Call], list: &[u64]) -> Result<(), String> {
    let places: BTreeMap<u64, usize> = list.iter().zip(1..).map(|(number, place)| (*number, place)).collect();
    if places.len() != list.len() {
        let mut seen = BTreeSet::new();
        let twice: Vec<_> = list.iter().filter(|number| !seen.insert(**number)).collect();
        return Err(format!("applied twice: {twice:?}"));
    }
    let mut ordered = Vec::new();
    for call in calls {
        if let Some(stands) = stands(call, list, &places)? {
            ordered.push((call, stands));
        }
    }
    in_time(&ordered)
}

/// Where in the one order a call stands: appends at twice their place, readings right behind.
fn stands(call: &Call, list: &[u64], places: &BTreeMap<u64, usize>) -> Result<Option<usize>, String> {
    match call.seen {
        Seen::Appended { number, place } => match places.get(&number) {
            Some(found) if *found == place => Ok(Some(2 * place)),
            Some(found) => Err(format!("{call:?} stands at place {found} in the end")),
            None => Err(format!("acknowledged, and lost: {call:?}")),
        },
        Seen::Open { number } => Ok(places.get(&number).map(|place| 2 * place)),
        Seen::Refused { number } if places.contains_key(&number) => {
            Err(format!("refused for good, and applied: {call:?}"))
        }
        Seen::Refused { .. } => Ok(None),
        Seen::Read { length, last }
            if length.checked_sub(1).map(|at| list.get(at)) != last.as_ref().map(Some) =>
        {
            Err(format!("nobody else saw such a list: {call:?}"))
        }
        Seen::Read { length, .. } => Ok(Some(2 * length + 1)),
    }
}

/// Whether nobody stands behind one who asked after he was answered.
fn in_time(ordered: &[(&Call, usize)]) -> Result<(), String> {
    let mut asked: Vec<_> = ordered.iter().collect();
    asked.sort_by_key(|(call, _)| call.asked);
    // Those who do not know their end bind nobody.
    let mut answered: Vec<_> =
        ordered.iter().filter(|(call, _)| !matches!(call.seen, Seen::Open { .. })).collect();
    answered.sort_by_key(|(call, _)| call.answered);
    let (mut ended, mut furthest) = (answered.into_iter().peekable(), None);
    for (call, place) in asked {
        while let Some(earlier) = ended.next_if(|(earlier, _)| earlier.answered < call.asked) {
            furthest = furthest.filter(|(_, place)| earlier.1 <= *place).or(Some(*earlier));
        }
        if let Some((earlier, _)) = furthest.filter(|(_, furthest)| place < furthest) {
            return Err(format!(
                "not linearizable: {earlier:?} had ended, and then {call:?} began and was before it"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(asked: u64, answered: u64, seen: Seen) -> Call {
        Call { asked, answered, seen }
    }

    fn appended(number: u64, place: usize) -> Seen {
        Seen::Appended { number, place }
    }

    fn read(length: usize, last: u64) -> Seen {
        Seen::Read { length, last: Some(last) }
    }

    #[test]
    fn what_one_machine_could_have_shown_is_fine() {
        let calls = [
            call(1, 9, appended(7, 2)),
            call(2, 3, appended(5, 1)),
            call(4, 5, read(1, 5)),
            // While 7 is under way, it may be there already.
            call(6, 8, read(2, 7)),
            call(10, 11, Seen::Open { number: 6 }),
            call(10, 12, Seen::Refused { number: 4 }),
            // What was left open takes effect whenever it likes.
            call(20, 21, read(2, 7)),
            call(22, 23, read(3, 6)),
            call(0, 1, Seen::Read { length: 0, last: None }),
        ];
        assert_eq!(check(&calls, &[5, 7, 6]), Ok(()));
    }

    #[test]
    fn what_no_single_machine_could_have_shown_is_found() {
        for (calls, list, why) in [
            (vec![call(1, 2, appended(5, 1))], vec![], "lost"),
            (vec![call(1, 2, appended(5, 1))], vec![6, 5], "place 2"),
            (vec![], vec![5, 6, 5], "twice: [5]"),
            (vec![call(1, 2, Seen::Refused { number: 5 })], vec![5], "refused"),
            (vec![call(1, 2, read(1, 6))], vec![5], "nobody else"),
            (vec![call(1, 2, read(2, 6))], vec![5], "nobody else"),
            (vec![call(1, 2, Seen::Read { length: 1, last: None })], vec![5], "nobody else"),
            // A reading that misses what was acknowledged before it began.
            (
                vec![call(1, 2, appended(5, 1)), call(3, 4, Seen::Read { length: 0, last: None })],
                vec![5],
                "not lin",
            ),
            // A reading that takes back what another one had shown.
            (
                vec![call(1, 9, appended(6, 2)), call(2, 3, read(2, 6)), call(4, 5, read(1, 5))],
                vec![5, 6],
                "not lin",
            ),
            // Two appends in the other order.
            (vec![call(1, 2, appended(6, 2)), call(3, 4, appended(5, 1))], vec![5, 6], "not lin"),
            // It took effect before it was asked for.
            (vec![call(1, 2, read(1, 5)), call(3, 4, Seen::Open { number: 5 })], vec![5], "not lin"),
        ] {
            let found = check(&calls, &list);
            assert!(found.as_ref().is_err_and(|found| found.contains(why)), "{why}: {calls:?} {found:?}");
        }
    }
}
