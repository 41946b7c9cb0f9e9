//! The steps of `cargo verify`, cheap ones first. None writes to the tree: every cargo is told `--locked`.

use std::{env, num::NonZeroUsize, process::Command, thread};

use anyhow::Result;

use super::report::Verdict;
use crate::{
    aws, conformance, dependencies, house, lab, layers, mutants, nix, setup, shell::Shell, sim, survivors,
};

/// So many tests for each processor at the same time: those of clusters wait now and then, for timers and for each other. More than two
/// find no processor free.
const TESTS_A_PROCESSOR: usize = 2;

/// One check.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) run: fn(&Shell) -> Result<Verdict>,
}

/// All checks, in the order in which they are run.
pub(super) const STEPS: [Step; 10] = [
    Step { name: "fmt", about: "the formatting is rustfmt's", run: fmt },
    Step { name: "layers", about: "crates depend on each other only as the design says", run: layers::check },
    Step { name: "house", about: "lengths, docs, words, links, decisions, protos", run: house::check },
    Step {
        name: "dependencies",
        about: "licences and sources of everything we build from",
        run: dependencies::check,
    },
    Step { name: "clippy", about: "no warning in any target", run: clippy },
    Step {
        name: "sim",
        about: "no promise is broken in 2000 simulated fleets, and never two groups form",
        run: sim::check,
    },
    Step { name: "mutants", about: "the simulator finds every planted bug", run: mutants::check },
    Step { name: "test", about: "all tests, with nextest where there is one", run: test },
    Step {
        name: "survivors",
        about: "no place of what has changed in `model` can be changed unnoticed",
        run: survivors::check,
    },
    Step { name: "doc", about: "the documentation builds without a warning", run: doc },
];

/// Checks that need more than Rust, or compile the clients of AWS: only `--all` runs them, or their names.
pub(super) const MORE: [Step; 5] = [
    Step { name: "nix", about: "stores, keys and caches of Nix itself; installs Nix", run: nix::check },
    Step {
        name: "conformance",
        about: "fakeaws says what moto says, or is right about it; needs Python",
        run: conformance::check,
    },
    Step { name: "clippy-aws", about: "no warning in what is built with AWS's clients", run: aws::clippy },
    Step { name: "aws", about: "AWS's clients, and agents with them, on fakeaws", run: aws::check },
    Step {
        name: "lab",
        about: "fleets of separate hosts under load; needs root, installs tools",
        run: lab::check,
    },
];

impl Step {
    /// Sees to what it needs besides Rust, so that it is not found out after an hour that it cannot be run.
    pub(super) fn prepare(&self, shell: &Shell) -> Result<()> {
        match self.name {
            "nix" => setup::ensure(self.name),
            "conformance" => conformance::prepare(shell),
            "lab" => lab::prepare(),
            _ => Ok(()),
        }
    }
}

fn fmt(shell: &Shell) -> Result<Verdict> {
    quiet(shell, shell.cargo(["fmt", "--all", "--check", "--", "--color", "never"]))
}

fn clippy(shell: &Shell) -> Result<Verdict> {
    quiet(shell, shell.cargo(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn doc(shell: &Shell) -> Result<Verdict> {
    let mut command = shell.cargo(["doc", "--locked", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    quiet(shell, command)
}

/// The cluster tests start our binaries, which no test depends on: they are built first, and in one go with
/// the tests, because two builds would choose two sets of features and compile many crates twice. Before them the agent that knows one
/// fleet level more, for the tests of upgrades; one test is built with it, so that it has the features of the tests' dependencies too.
fn test(shell: &Shell) -> Result<Verdict> {
    let next = ["--features", "agent/next-level", "--bin", "deployinatord-next", "--test", "kill"];
    for wanted in [&next[..], &["--bins", "--tests"]] {
        let mut command = shell.cargo(["build", "--locked", "--workspace"]);
        command.args(wanted);
        let built = shell.run(command)?;
        if !built.succeeded {
            return Ok(Verdict::Failed { report: built.unseen });
        }
    }
    let with_nextest = shell.run(shell.cargo(["nextest", "--version"])).is_ok_and(|ran| ran.succeeded);
    let runs: &[&[&str]] = if with_nextest {
        // nextest leaves out the examples in documentation.
        &[&["nextest", "run", "--no-fail-fast"], &["test", "--doc", "--no-fail-fast"]]
    } else {
        &[&["test", "--no-fail-fast"]]
    };
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get) * TESTS_A_PROCESSOR;
    let mut notes = Vec::new();
    for args in runs {
        let mut command = shell.cargo(*args);
        command.args(["--locked", "--workspace"]);
        for name in ["NEXTEST_TEST_THREADS", "RUST_TEST_THREADS"] {
            if env::var_os(name).is_none() {
                command.env(name, threads.to_string());
            }
        }
        let ran = shell.run(command)?;
        if !ran.succeeded {
            return Ok(Verdict::Failed { report: ran.unseen });
        }
        notes.extend(closing_lines(&ran.output));
    }
    Ok(Verdict::Passed { notes })
}

/// The lines in which test runners sum up, word for word; those about no test at all are left out.
pub(crate) fn closing_lines(output: &str) -> impl Iterator<Item = String> {
    let lines = output.lines().map(str::trim);
    let lines = lines.filter(|line| line.starts_with("Summary [") || line.starts_with("test result: "));
    lines.filter(|line| !line.contains(" 0 passed; 0 failed; 0 ignored;")).map(str::to_owned)
}

fn quiet(shell: &Shell, command: Command) -> Result<Verdict> {
    let ran = shell.run(command)?;
    Ok(if ran.succeeded {
        Verdict::Passed { notes: Vec::new() }
    } else {
        Verdict::Failed { report: ran.unseen }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_lines_of_both_runners_are_kept() {
        let output = "
   Compiling model v0.1.0
test ids::tests::names ... ok
test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
     Summary [   0.021s] 12 tests run: 12 passed, 0 skipped
";
        assert_eq!(
            closing_lines(output).collect::<Vec<_>>(),
            [
                "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
                "Summary [   0.021s] 12 tests run: 12 passed, 0 skipped",
            ]
        );
    }
}
