//! Stands in for the crate of the same name, with which openraft measures itself.
//!
//! That one makes tables for sixteen scales at its first use, of which openraft takes one: 27 MB that every agent would carry for numbers
//! that nobody here asks for. This one has the same interface, as far as openraft uses it, and counts nothing.
//! Absent on purpose: everything else. Whoever wants openraft's statistics removes the patch in the workspace's `Cargo.toml`.

use std::{fmt, marker::PhantomData};

/// Would be a distribution of numbers, sliced by `T`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram<T = ()>(PhantomData<fn() -> T>);

impl<T> Histogram<T> {
    /// An empty one, as it stays.
    #[must_use]
    pub fn new() -> Self {
        Self(PhantomData)
    }

    /// Counts nothing.
    pub fn record(&mut self, _value: u64) {}

    /// Counts nothing, so many times.
    pub fn record_n(&mut self, _value: u64, _times: u64) {}

    /// What was counted: nothing.
    #[must_use]
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats::default()
    }
}

/// What is said of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PercentileStats {
    /// Numbers counted.
    pub samples: u64,
    /// The one that a thousandth is below.
    pub p0_1: u64,
    /// The one that a hundredth is below.
    pub p1: u64,
    /// The one that a twentieth is below.
    pub p5: u64,
    /// The one that a tenth is below.
    pub p10: u64,
    /// The one in the middle.
    pub p50: u64,
    /// The one that a tenth is above.
    pub p90: u64,
    /// The one that a hundredth is above.
    pub p99: u64,
    /// The one that a thousandth is above.
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not counted")
    }
}

/// Would be a drawing of several distributions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AsciiChart;

impl AsciiChart {
    /// An empty one, as it stays.
    #[must_use]
    pub fn new() -> Self {
        Self
    }

    /// Adds nothing.
    #[must_use]
    #[allow(clippy::should_implement_trait, reason = "the interface that it stands in for")]
    pub fn add<T>(self, _name: &str, _histogram: Histogram<T>) -> Self {
        self
    }

    /// The drawing.
    #[must_use]
    pub fn detailed(&self) -> PercentileStats {
        PercentileStats::default()
    }
}
