//! `cargo xtask nix`: the tests that run Nix itself. They need neither root nor a network, and a machine without Nix is no reason to skip them.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::{setup, shell::Shell};

/// The packages with such tests, and the binaries that they start.
const CARGO: [&[&str]; 4] = [
    &["build", "--quiet", "--bins", "-p", "agent", "-p", "cli", "-p", "demo", "-p", "supervisor"],
    &[
        "clippy",
        "--quiet",
        "-p",
        "nixstore",
        "-p",
        "tests",
        "--all-targets",
        "--features",
        FEATURES,
        "--",
        "-D",
        "warnings",
    ],
    &["test", "-p", "nixstore", "--features", "real-nix", "--test", "real"],
    &["test", "-p", "tests", "--features", "real-nix", "--test", "nix"],
];
const FEATURES: &str = "nixstore/real-nix,tests/real-nix";

/// Runs them.
pub(crate) fn nix(shell: &Shell) -> Result<ExitCode> {
    let missing = setup::missing(&["nix", "nix-store", "nix-build", "nix-daemon"]);
    if !missing.is_empty() {
        bail!(
            "{} not on the path: `cargo xtask setup nix` installs what these tests need",
            missing.join(", ")
        );
    }
    for args in CARGO {
        let mut command = shell.cargo(args);
        // What this machine says about its own Nix is nothing to these tests.
        command.env("NIX_CONF_DIR", "/nonexistent").env_remove("NIX_REMOTE").env_remove("NIX_CONFIG");
        if !shell.run(command)?.succeeded {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
