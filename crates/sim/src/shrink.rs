//! Makes the list of what happens in a failure small: what remains is needed for it.

use crate::{
    scenario::Scenario,
    world::{Ended, run},
};

/// The numbers of items without which the same promise is not broken, and what becomes of a run with only them.
pub(crate) fn shrink(scenario: &Scenario, promise: &'static str) -> (Vec<usize>, Ended) {
    let breaks = |items: &[usize]| {
        let ended = run(&scenario.only(items), false);
        ended.broken.as_ref().is_some_and(|broken| broken.promise == promise).then_some(ended)
    };
    let mut items: Vec<usize> = (0..scenario.items.len()).collect();
    let mut last = run(scenario, false);
    let mut size = items.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let mut smaller = false;
        while at < items.len() {
            let mut fewer = items.clone();
            fewer.drain(at..(at + size).min(items.len()));
            if let Some(ended) = breaks(&fewer) {
                (items, last, smaller) = (fewer, ended, true);
            } else {
                at += size;
            }
        }
        if size == 1 && !smaller {
            return (items, last);
        }
        size = (size / 2).max(1);
    }
}
