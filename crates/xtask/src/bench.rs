//! `cargo xtask bench`: builds the agent, the command line, the demo's service and the benchmarks, and becomes the last.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};

use crate::{build, shell::Shell};

/// The benchmarks' binary. It expects the others beside it.
const BENCH: &str = "deployinator-bench";
/// The packages whose binaries are needed.
const PACKAGES: [&str; 5] = ["agent", "bench", "cli", "demo", "supervisor"];

/// Builds what is measured, as it is released, and becomes the measurement; returns only when that does not work.
pub(crate) fn bench(shell: &Shell, debug: bool, args: &[OsString]) -> Result<ExitCode> {
    eprintln!("cargo xtask bench: building; the first time takes minutes");
    let Some(binary) = build::executable(shell, &PACKAGES, !debug, BENCH)? else {
        return Ok(ExitCode::FAILURE);
    };
    // The result is written below the root of the repository.
    let error = Command::new(&binary).args(args).current_dir(shell.root()).exec();
    Err(error).with_context(|| format!("run {}", binary.display()))
}
