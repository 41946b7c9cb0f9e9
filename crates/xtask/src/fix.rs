//! `cargo xtask fix`: the writing twin of `cargo verify`.

use std::process::ExitCode;

use anyhow::Result;

use crate::shell::{Shell, describe};

/// Formats the tree and lets clippy mend what it can; changes that are not committed yet are no hindrance.
pub(crate) fn fix(shell: &Shell) -> Result<ExitCode> {
    let format = ["fmt", "--all"].as_slice();
    let mend =
        ["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty", "--allow-staged"].as_slice();
    // Formatted again at the end: what clippy writes is not.
    for args in [format, mend, format] {
        let command = shell.cargo(args);
        println!("{}", describe(&command));
        if !shell.run(command)?.succeeded {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
