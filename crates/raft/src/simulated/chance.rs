//! Chance that follows from a seed. Whoever shares it draws in the order of the run, which is the same each time.

use std::{
    ops::RangeInclusive,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// A stream of numbers. Clones share it.
#[derive(Clone)]
pub(super) struct Chance(Arc<Mutex<StdRng>>);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    pub(super) fn number(&self, range: RangeInclusive<u64>) -> u64 {
        self.0.lock().unwrap().random_range(range)
    }

    /// Whether it comes, so many times of a hundred.
    pub(super) fn percent(&self, number: u64) -> bool {
        self.number(0..=99) < number
    }

    pub(super) fn millis(&self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }

    pub(super) fn pick<T: Clone>(&self, items: &[T]) -> T {
        items[usize::try_from(self.number(0..=items.len() as u64 - 1)).unwrap()].clone()
    }

    /// So many of the items, or all.
    pub(super) fn some<T: Clone>(&self, items: &[T], count: usize) -> Vec<T> {
        let mut left = items.to_vec();
        while count < left.len() {
            left.remove(usize::try_from(self.number(0..=left.len() as u64 - 1)).unwrap());
        }
        left
    }
}
