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
/// The packages whose binaries are needed.
const PACKAGES: [&str; 4] = ["agent", "cli", "demo", "supervisor"];

/// Builds what the demo needs and becomes it; returns only when that does not work.
pub(crate) fn demo(shell: &Shell, release: bool, args: &[OsString]) -> Result<ExitCode> {
    eprintln!("cargo demo: building; the first time takes minutes");
    let Some(binary) = build::executable(shell, &PACKAGES, release, DEMO)? else {
        return Ok(ExitCode::FAILURE);
    };
    // The working directory stays the caller's, so that paths among the arguments mean what they say.
    let error = Command::new(&binary).args(args).exec();
    Err(error).with_context(|| format!("run {}", binary.display()))
}
