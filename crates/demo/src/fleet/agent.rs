//! One agent of a fleet.

use std::{net::SocketAddr, path::PathBuf, process::Child};

/// One agent.
#[derive(Debug)]
pub struct Agent {
    /// Its host.
    pub host: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where the others reach it: its own address, or a proxy in front of it.
    pub advertised: SocketAddr,
    /// What its program is run under, such as `unshare` with its arguments; nothing as a rule.
    pub under: Vec<String>,
    /// Its program, where that is another build than the other agents'.
    pub program: Option<PathBuf>,
    /// What is added to its environment.
    pub environment: Vec<(String, String)>,
    /// Its configuration file.
    pub config: PathBuf,
    /// What it logged, in all its runs.
    pub log: PathBuf,
    /// Its state directory.
    pub state: PathBuf,
    pub(super) child: Option<Child>,
}

impl Agent {
    /// Whether it was started, and not stopped by us since.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
}
