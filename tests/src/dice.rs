//! Numbers that only look like chance: the same seed gives the same ones, for ever.

use std::{future::Future, ops::RangeInclusive, time::Duration};

use anyhow::{Context, Result};

/// Names the one seed that is to be played.
const SEED: &str = "DEPLOYINATOR_SEED";

/// A source of numbers, by SplitMix64.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The source of this seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of this range.
    pub fn number(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (first, last) = range.into_inner();
        first + self.next() % (last - first + 1)
    }

    /// A number below `count`.
    pub fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.number(0..=u64::try_from(count).unwrap_or(u64::MAX) - 1)).unwrap_or_default()
    }

    /// True in `one` of `of` cases.
    pub fn once_in(&mut self, of: u64) -> bool {
        self.number(1..=of) == 1
    }

    /// A time of this range, in milliseconds.
    pub fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, these: &[T]) -> T {
        these[self.index(these.len())].clone()
    }
}

/// Plays a scenario with each of these seeds, or with the one that `cargo xtask soak` asks for. A failure names its seed, and what repeats
/// it: the same plan, on processes whose own timing is as it happens to be.
///
/// # Errors
/// The scenario's, at the first seed that fails.
pub async fn seeded<F: Future<Output = Result<()>>>(
    name: &str,
    seeds: RangeInclusive<u64>,
    scenario: impl Fn(Dice) -> F,
) -> Result<()> {
    let asked = std::env::var(SEED).ok().map(|seed| seed.parse().with_context(|| format!("{SEED}={seed}")));
    let seeds = asked.transpose()?.map_or(seeds, |seed| seed..=seed);
    for seed in seeds {
        eprintln!("seed {seed} of {name}");
        let played = scenario(Dice::of(seed)).await;
        played.with_context(|| {
            format!("seed {seed}; `cargo xtask soak --only {name} --from {seed} --seeds 1` plays it again")
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_for_ever() {
        let mut dice = Dice::of(7);
        let numbers: Vec<u64> = (0..4).map(|_| dice.number(1..=100)).collect();
        assert_eq!(numbers, [88, 5, 47, 4]);
        assert!((0..1000).all(|_| (3..=5).contains(&dice.number(3..=5)) && dice.index(2) < 2));
    }
}
