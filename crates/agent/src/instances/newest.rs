//! The newest word of each keeper, so that answers that overtake each other make no picture of two moments.
//!
//! Several calls ask all keepers at once. Without this, two of them could put together sums of changes that are equal, of pictures that are
//! not, or a smaller sum after a larger one. With it, what all keepers said as one only ever goes on; it goes back where a keeper itself
//! does, as its record was lost. That is no answer that was overtaken, and is believed: the host machine asks again when it sees it.

use std::sync::{Mutex, PoisonError};

use ports::supervisor::Observation;

/// Counts calls and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

/// The newest word of each keeper.
#[derive(Debug)]
pub(super) struct Newest {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    now: u64,
    /// What each said, and when that was heard.
    said: Vec<Option<(Observation, Moment)>>,
}

impl Newest {
    /// Of so many keepers, none of which has said anything.
    pub(super) fn new(keepers: usize) -> Self {
        Self { state: Mutex::new(State { now: 0, said: vec![None; keepers] }) }
    }

    /// Before a keeper is asked.
    pub(super) fn asks(&self) -> Moment {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now += 1;
        Moment(state.now)
    }

    /// A keeper that was asked at `asked` has answered. Returns that, or what is newer.
    pub(super) fn hear(&self, number: usize, asked: Moment, answer: Observation) -> Observation {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now += 1;
        let now = Moment(state.now);
        let Some(said) = state.said.get_mut(number) else { return answer };
        if let Some((newer, heard)) = said.as_ref().filter(|(last, _)| answer.change < last.change)
            && asked < *heard
        {
            return newer.clone();
        }
        *said = Some((answer.clone(), now));
        answer
    }
}

#[cfg(test)]
mod tests {
    use ports::supervisor::Process;

    use super::*;

    fn answer(change: u64) -> Observation {
        Observation { change, process: Process::Stopped, migration: None, fence: None, instances: Vec::new() }
    }

    #[test]
    fn what_was_overtaken_is_replaced_by_what_is_newer() {
        let newest = Newest::new(2);
        let (first, second) = (newest.asks(), newest.asks());
        assert_eq!(newest.hear(0, second, answer(11)).change, 11);
        assert_eq!(newest.hear(1, first, answer(3)).change, 3, "of another keeper");
        assert_eq!(newest.hear(0, first, answer(10)).change, 11, "it was asked before that was heard");
    }

    #[test]
    fn a_keeper_that_counts_anew_is_believed() {
        let newest = Newest::new(1);
        let first = newest.asks();
        newest.hear(0, first, answer(11));
        let second = newest.asks();
        assert_eq!(newest.hear(0, second, answer(1)).change, 1);
    }
}
