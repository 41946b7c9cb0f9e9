//! Probes a service once: over HTTP, TCP or gRPC, or with a program.
//!
//! A probe meets whoever listens now, and ends within its time-out. What went wrong is said in words for people.
//! Absent on purpose: retries, redirects and TLS; how many failures make a host unhealthy is decided elsewhere.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc};

use ports::{ProbeSpec, Prober, prober::ProbeFailure, supervisor::Account};

mod command;
mod grpc;
mod network;
mod words;

/// What a program that probes a service is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Its whole environment; nothing is inherited but what stands here.
    pub environment: BTreeMap<String, String>,
    /// As whom it runs; none: as this process.
    pub account: Option<Account>,
    /// Where it runs; none: at the root.
    pub working_directory: Option<PathBuf>,
}

/// Finds what a program is to be given, or says in words why it cannot be. May take its time.
type Find = dyn Fn() -> Result<Surroundings, String> + Send + Sync;

/// Probes one service, or one instance of it.
pub struct ServiceProber {
    command: command::Runner,
}

impl ServiceProber {
    /// A prober whose programs run in what `surroundings` finds, each time anew and where it may block.
    pub fn new(surroundings: impl Fn() -> Result<Surroundings, String> + Send + Sync + 'static) -> Self {
        Self { command: command::Runner::new(Arc::new(surroundings)) }
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
