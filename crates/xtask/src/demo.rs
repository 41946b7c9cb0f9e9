//! `cargo demo`: builds the agent, the command line and the demo, and becomes the demo.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};

use crate::{build, shell::Shell};

/// The demo's binary. It expects the agent and the command line beside it.
const DEMO: &str = "deployinator-demo";
/// What the demo is given where its agents are to have AWS in them.
const AWS: &str = "--aws";
/// The packages whose binaries are needed.
const PACKAGES: [&str; 4] = ["agent", "cli", "demo", "supervisor"];

/// Builds what the demo needs and becomes it; returns only when that does not work.
pub(crate) fn demo(shell: &Shell, release: bool, args: &[OsString]) -> Result<ExitCode> {
    let binary = if args.iter().any(|arg| arg == AWS) {
        eprintln!(
            "cargo demo: building with AWS in it; the first time takes many minutes, and 9 GB of memory"
        );
        build::executable_with_aws(shell, release, DEMO)?
    } else {
        eprintln!("cargo demo: building; the first time takes minutes");
        build::executable(shell, &PACKAGES, release, DEMO)?
    };
    let Some(binary) = binary else {
        return Ok(ExitCode::FAILURE);
    };
    // The working directory stays the caller's, so that paths among the arguments mean what they say.
    let error = Command::new(&binary).args(args).exec();
    Err(error).with_context(|| format!("run {}", binary.display()))
}
