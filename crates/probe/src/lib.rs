//! Probes a service once: over HTTP, TCP or gRPC, or with a program.
//!
//! A probe meets whoever listens now, and ends within its time-out. What went wrong is said in words for people.
//! Absent on purpose: retries, redirects and TLS; how many failures make a host unhealthy is decided elsewhere.

use std::{collections::BTreeMap, net::SocketAddr};

use ports::{ProbeSpec, Prober, prober::ProbeFailure};

mod command;
mod grpc;
mod network;
mod words;

/// What a program that probes a service is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Its whole environment; nothing is inherited but what stands here.
    pub environment: BTreeMap<String, String>,
}

/// Probes one service, or one instance of it.
#[derive(Debug, Default)]
pub struct ServiceProber {
    command: command::Runner,
}

impl ServiceProber {
    /// A prober whose programs run in these surroundings.
    #[must_use]
    pub fn new(surroundings: Surroundings) -> Self {
        Self { command: command::Runner::new(surroundings) }
    }
}

impl Prober for ServiceProber {
    async fn probe(&self, spec: &ProbeSpec, address: SocketAddr) -> Result<(), ProbeFailure> {
        match spec {
            ProbeSpec::Tcp { timeout } => network::tcp(*timeout, address).await,
            ProbeSpec::Http { path, status, headers, timeout } => {
                network::http(path, *status, headers, *timeout, address).await
            }
            ProbeSpec::Grpc { service, timeout } => grpc::check(service.as_deref(), *timeout, address).await,
            ProbeSpec::Command { argv, timeout } => self.command.run(argv, *timeout).await,
        }
    }
}

#[cfg(test)]
mod tests;
