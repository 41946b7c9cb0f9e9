//! The checks of `cargo verify --all` that compile the clients of AWS: minutes and 9 GB of memory, once.

use anyhow::Result;

use crate::{
    build::WITH_AWS,
    shell::Shell,
    verify::{Verdict, closing_lines},
};

/// The tests: of the clients against fakeaws, and of agents with them.
const TESTS: [&str; 6] = ["--test", "sdk", "--test", "aws", "--test", "tls"];

/// No warning in what is compiled only with them, the lab included.
pub(crate) fn clippy(shell: &Shell) -> Result<Verdict> {
    let mut command = shell.cargo(["clippy", "--locked", "--workspace", "--all-targets"]);
    command.args(["--features", WITH_AWS, "--", "-D", "warnings"]);
    let ran = shell.run(command)?;
    Ok(match ran.succeeded {
        true => Verdict::Passed { notes: Vec::new() },
        false => Verdict::Failed { report: ran.unseen },
    })
}

/// All tests pass.
pub(crate) fn check(shell: &Shell) -> Result<Verdict> {
    // Our binaries first, which the tests start; with the lab, so that it finds all of this built.
    let mut build = shell.cargo(["build", "--quiet", "--locked", "--workspace", "--bins", "--test", "lab"]);
    build.args(TESTS).args(["--features", WITH_AWS]);
    let mut test = shell.cargo(["test", "--locked", "--workspace"]);
    test.args(TESTS).args(["--features", WITH_AWS]);
    let mut notes = Vec::new();
    for command in [build, test] {
        let ran = shell.run(command)?;
        if !ran.succeeded {
            return Ok(Verdict::Failed { report: ran.unseen });
        }
        notes.extend(closing_lines(&ran.output));
    }
    Ok(Verdict::Passed { notes })
}
