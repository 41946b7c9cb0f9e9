//! The arguments of `logs`.

use clap::Args;
use model::{HostId, ServiceName};

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The service.
    #[arg(long)]
    pub(crate) service: ServiceName,
    /// Stay, and print what is written next: by new attempts, new releases and new hosts too.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// This host only; may be given several times.
    #[arg(long = "host", value_name = "HOST")]
    pub(crate) hosts: Vec<HostId>,
    /// One release only, by its id or the beginning of it.
    #[arg(long)]
    pub(crate) release: Option<String>,
    /// One attempt only: the number behind the release. Each host counts its own.
    #[arg(long, value_name = "N")]
    pub(crate) attempt: Option<u64>,
    /// The output of bin/migrate only.
    #[arg(long)]
    pub(crate) migration: bool,
    /// So many lines of each host at the most (of each instance, where it runs several), the newest; 0 for none but what comes.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    pub(crate) tail: u32,
}
