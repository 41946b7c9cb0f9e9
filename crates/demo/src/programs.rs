//! The programs of a fleet on loopback.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// `deployinatord`.
    pub agent: PathBuf,
    /// `deployinator`.
    pub cli: PathBuf,
    /// The demo's service.
    pub service: PathBuf,
}

impl Programs {
    /// Those beside the running program, or one folder up, where cargo puts tests below binaries.
    ///
    /// # Errors
    /// One is missing: build them first.
    pub fn find() -> Result<Self> {
        Ok(Self {
            agent: built("deployinatord")?,
            cli: built("deployinator")?,
            service: built("demo-service")?,
        })
    }
}

/// The agent as its next release might be: it supports one fleet level more. For tests of upgrades.
///
/// # Errors
/// It was not built.
pub fn next_agent() -> Result<PathBuf> {
    built_by(
        "deployinatord-next",
        "cargo build --workspace --features agent/next-level --bin deployinatord-next",
    )
}

fn built(name: &str) -> Result<PathBuf> {
    built_by(name, "cargo build --workspace --bins")
}

/// The program of this name beside the running one, or one folder up.
fn built_by(name: &str, command: &str) -> Result<PathBuf> {
    let me = std::env::current_exe().context("find this program")?;
    let found = me.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("find {name} beside {}: build it first with `{command}`", me.display()))
}
