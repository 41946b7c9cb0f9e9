//! `cargo xtask sim`: builds the simulator, optimised, and becomes it.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};

use crate::{build, shell::Shell, verify::Verdict};

/// The simulator's binary.
pub(crate) const SIM: &str = "deployinator-sim";
/// How many seeds `cargo verify` plays.
const SEEDS: &str = "2000";

/// Builds the simulator and becomes it; returns only when that does not work.
pub(crate) fn sim(shell: &Shell, args: &[OsString]) -> Result<ExitCode> {
    let Some(binary) = executable(shell)? else { return Ok(ExitCode::FAILURE) };
    let error = Command::new(&binary).args(args).current_dir(shell.root()).exec();
    Err(error).with_context(|| format!("run {}", binary.display()))
}

/// Plays as many seeds as every change has to pass, and looks at how a cluster forms.
pub(crate) fn check(shell: &Shell) -> Result<Verdict> {
    let Some(binary) = executable(shell)? else {
        return Ok(Verdict::Failed { report: "the simulator was not built".to_owned() });
    };
    let mut notes = Vec::new();
    for args in [&["--seeds", SEEDS, "--coverage"][..], &["--forming"]] {
        let mut command = Command::new(&binary);
        command.args(args).current_dir(shell.root());
        let ran = shell.run(command)?;
        if !ran.succeeded {
            return Ok(Verdict::Failed { report: ran.unseen });
        }
        notes.extend(ran.output.lines().rfind(|line| line.starts_with("sim: ")).map(str::to_owned));
    }
    Ok(Verdict::Passed { notes })
}

fn executable(shell: &Shell) -> Result<Option<PathBuf>> {
    let command = shell.cargo(["build", "--locked", "--quiet", "--profile", "sim", "-p", "sim"]);
    build::built(command, SIM)
}
