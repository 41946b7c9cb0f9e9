//! Probes of all instances, as one.

use std::{net::SocketAddr, sync::Arc};

use futures_util::future::join_all;
use ports::{ProbeSpec, Prober, prober::ProbeFailure};

use super::{Count, address_of};

/// Probes every instance with a prober of its own. The address that it is asked about is the first's.
#[derive(Debug)]
pub struct Probers<P> {
    probers: Vec<P>,
    count: Arc<Count>,
}

impl<P: Prober> Probers<P> {
    /// One for each that there may be.
    pub fn new(make: impl FnMut(usize) -> P, count: Arc<Count>) -> Self {
        Self { probers: (0..count.reach()).map(make).collect(), count }
    }
}

impl<P: Prober> Prober for Probers<P> {
    /// Passes where all pass; otherwise the first that does not has the word.
    async fn probe(&self, spec: &ProbeSpec, address: SocketAddr) -> Result<(), ProbeFailure> {
        let present = self.count.present();
        let probes = self.probers.iter().take(present).enumerate();
        let probes = probes.map(|(number, prober)| prober.probe(spec, address_of(address, number)));
        let named = |number: usize, words: String| match present {
            1 => words,
            _ => format!("instance {number}: {words}"),
        };
        let probed = join_all(probes).await.into_iter().enumerate();
        let failed: Vec<_> = probed.filter_map(|(number, probed)| Some((number, probed.err()?))).collect();
        // What one was found to be says more than that another could not be asked.
        let missed = |(_, failure): &&(usize, ProbeFailure)| matches!(failure, ProbeFailure::Missed(_));
        match failed.iter().find(missed).or(failed.first()).cloned() {
            None => Ok(()),
            Some((number, ProbeFailure::Missed(words))) => Err(ProbeFailure::Missed(named(number, words))),
            Some((number, ProbeFailure::Unasked(words))) => Err(ProbeFailure::Unasked(named(number, words))),
        }
    }
}
