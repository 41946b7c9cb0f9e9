//! `cargo xtask nix`: the tests that run Nix itself. They need neither root nor a network, and a machine without Nix is no reason to skip them.

use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::{
    setup,
    shell::Shell,
    verify::{Verdict, closing_lines},
};

const FEATURES: &str = "nixstore/real-nix,tests/real-nix";
/// The tests, by the names of their binaries: of the crate, and of agents with it.
const TESTS: [&str; 4] = ["--test", "real", "--test", "nix"];

/// Runs them.
pub(crate) fn nix(shell: &Shell) -> Result<ExitCode> {
    let missing = setup::missing(&["nix", "nix-store", "nix-build", "nix-daemon"]);
    if !missing.is_empty() {
        bail!(
            "{} not on the path: `cargo xtask setup nix` installs what these tests need",
            missing.join(", ")
        );
    }
    Ok(match check(shell)? {
        Verdict::Passed { .. } => ExitCode::SUCCESS,
        Verdict::Failed { .. } => ExitCode::FAILURE,
    })
}

/// The same as a check.
pub(crate) fn check(shell: &Shell) -> Result<Verdict> {
    let mut notes = Vec::new();
    for command in commands(shell) {
        let ran = shell.run(command)?;
        if !ran.succeeded {
            return Ok(Verdict::Failed { report: ran.unseen });
        }
        notes.extend(closing_lines(&ran.output));
    }
    Ok(Verdict::Passed { notes })
}

/// All of them build as `cargo verify` does, but for these features of two packages, so that nothing else is compiled again.
fn commands(shell: &Shell) -> [Command; 3] {
    let mut build = shell.cargo(["build", "--quiet", "--locked", "--workspace", "--bins"]);
    build.args(TESTS).args(["--features", FEATURES]);
    let mut clippy = shell.cargo(["clippy", "--quiet", "--locked", "-p", "nixstore", "-p", "tests"]);
    clippy.args(["--all-targets", "--features", FEATURES, "--", "-D", "warnings"]);
    let mut test = shell.cargo(["test", "--locked", "--workspace"]);
    test.args(TESTS).args(["--features", FEATURES]);
    // What this machine says about its own Nix is nothing to these tests.
    test.env("NIX_CONF_DIR", "/nonexistent").env_remove("NIX_REMOTE").env_remove("NIX_CONFIG");
    [build, clippy, test]
}
