//! `cargo xtask survivors`: has cargo-mutants change `model` in one place at a time, and says which changes its own tests do not notice.
//!
//! Not the planted bugs (`mutants`): those break a promise each, and the simulator has to find them. This looks at every operator there is,
//! which costs a build each. So `cargo verify` looks at what the last change touched, and at a few of its places.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{metadata::Metadata, shell::Shell, verify::Verdict};

/// Which cargo-mutants. It is built below the target directory where there is none.
const VERSION: &str = "27.1.0";
/// What is looked at.
const SOURCES: &str = "crates/model/src";
/// What is not: who changes tests alone need not have cargo-mutants.
const TESTS: &str = ":(exclude,glob)crates/model/src/**/tests/**";
/// How many places of a change `cargo verify` looks at: each costs a build and a test run, some ten seconds.
const PLACES: usize = 12;
/// After how long a change has made the tests run in circles, in seconds.
const TIMEOUT: &str = "120";

/// What is looked at, and how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Look at all that has changed since this commit.
    #[arg(long, value_name = "REV", conflicts_with = "file")]
    since: Option<String>,
    /// Look at these files only; all of `model` without.
    #[arg(long, value_name = "GLOB")]
    file: Vec<String>,
    /// Go on where the last run was stopped: what it has caught is not looked at again.
    #[arg(long)]
    iterate: bool,
    /// How many at once.
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: u8,
}

/// Looks, shows the progress, and fails where something survived.
pub(crate) fn survivors(shell: &Shell, options: &Options) -> Result<ExitCode> {
    let run = Run::new(shell)?;
    let mut args = vec!["--jobs".to_owned(), options.jobs.to_string()];
    let alone = options.jobs == 1;
    if let Some(since) = &options.since {
        args.extend(run.in_diff(shell, since)?);
    }
    args.extend(options.file.iter().flat_map(|glob| ["--file".to_owned(), glob.clone()]));
    if options.iterate {
        args.push("--iterate".to_owned());
    }
    let status = run.command(shell, &args, alone).status().context("start cargo mutants")?;
    println!("survivors: what was missed is in {}", run.output.join("mutants.out/missed.txt").display());
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Looks at a few places of the last change. A note says when there was nothing to look at.
pub(crate) fn check(shell: &Shell) -> Result<Verdict> {
    let note = |note: String| Ok(Verdict::Passed { notes: vec![note] });
    let Some(since) = before_the_change(shell)? else {
        return note("there is no commit before this one".to_owned());
    };
    if diff(shell, &since)?.trim().is_empty() {
        return note(format!("no line of {SOURCES} has changed since {since}"));
    }
    let run = Run::new(shell)?;
    let mut args = run.in_diff(shell, &since)?;
    let listed = shell.run(run.command(shell, &[args.clone(), vec!["--list".to_owned()]].concat(), true))?;
    ensure!(listed.succeeded, "list what could be changed: {}", listed.unseen);
    let places = listed.output.lines().filter(|line| line.starts_with(SOURCES)).count();
    if places == 0 {
        return note(format!("nothing that could be changed has changed since {since}"));
    }
    args.extend(some(places, &since));
    let ran = shell.run(run.command(shell, &args, true))?;
    if !ran.succeeded {
        return Ok(Verdict::Failed { report: ran.unseen });
    }
    note(format!("of {places} places changed since {since} at most {PLACES} were looked at: none survived"))
}

/// A part of so many places that is small enough, and another one after the next commit.
fn some(places: usize, since: &str) -> Vec<String> {
    let parts = places.div_ceil(PLACES);
    let drawn = since.bytes().fold(0_usize, |all, byte| all.wrapping_mul(31).wrapping_add(byte.into()));
    vec!["--sharding".into(), "round-robin".into(), "--shard".into(), format!("{}/{parts}", drawn % parts)]
}

/// The commit that what is here is a change of: where a branch left main, or the last but one of main.
fn before_the_change(shell: &Shell) -> Result<Option<String>> {
    let ask = |args: &[&str]| -> Result<Option<String>> {
        let ran = shell.run(git(shell, args))?;
        Ok(ran.succeeded.then(|| ran.output.trim().to_owned()))
    };
    let head = ask(&["rev-parse", "HEAD"])?;
    let forked = ask(&["merge-base", "HEAD", "origin/main"])?.filter(|forked| Some(forked) != head.as_ref());
    match forked {
        Some(forked) => Ok(Some(forked)),
        None => ask(&["rev-parse", "--verify", "--quiet", "HEAD~1"]),
    }
}

fn diff(shell: &Shell, since: &str) -> Result<String> {
    let ran = shell.run(git(shell, &["diff", since, "--", SOURCES, TESTS]))?;
    ensure!(ran.succeeded, "compare with {since}: {}", ran.output);
    Ok(ran.output)
}

fn git(shell: &Shell, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.args(args).current_dir(shell.root());
    command
}

/// A cargo-mutants, and where it writes.
struct Run {
    program: PathBuf,
    output: PathBuf,
    /// It stops at the first test that fails.
    nextest: bool,
}

impl Run {
    /// Finds cargo-mutants, or builds it.
    fn new(shell: &Shell) -> Result<Self> {
        let output = Metadata::of_workspace(shell)?.target_directory.join("survivors");
        fs::create_dir_all(&output).with_context(|| format!("make {}", output.display()))?;
        let built = output.join("tools/bin/cargo-mutants");
        let program = if is_it(shell, Path::new("cargo-mutants")) { "cargo-mutants".into() } else { built };
        if !is_it(shell, &program) {
            let mut command =
                shell.cargo(["install", "cargo-mutants", "--locked", "--force", "--version", VERSION]);
            command.arg("--root").arg(output.join("tools"));
            let ran = shell.run(command)?;
            ensure!(ran.succeeded, "install cargo-mutants {VERSION}: {}", ran.output);
        }
        let nextest = shell.run(shell.cargo(["nextest", "--version"])).is_ok_and(|ran| ran.succeeded);
        Ok(Self { program, output, nextest })
    }

    fn in_diff(&self, shell: &Shell, since: &str) -> Result<Vec<String>> {
        let path = self.output.join("change.diff");
        fs::write(&path, diff(shell, since)?).with_context(|| format!("write {}", path.display()))?;
        Ok(vec!["--in-diff".to_owned(), path.display().to_string()])
    }

    /// The tests pass as they are: other steps see to that. It copies the tree and builds there, several of them in as many folders; one
    /// alone finds in its folder what was built from crates of others the last time.
    fn command(&self, shell: &Shell, args: &[String], alone: bool) -> Command {
        let mut command = Command::new(&self.program);
        command.args([
            "mutants",
            "-p",
            "model",
            "--baseline",
            "skip",
            "--timeout",
            TIMEOUT,
            "--colors",
            "never",
        ]);
        command.args(["--cargo-test-arg", "--lib"]);
        if self.nextest {
            command.args(["--test-tool", "nextest"]);
        }
        command.arg("--output").arg(&self.output).args(args).current_dir(shell.root());
        if alone {
            command.env("CARGO_TARGET_DIR", self.output.join("target"));
        } else {
            command.env_remove("CARGO_TARGET_DIR");
        }
        command
    }
}

fn is_it(shell: &Shell, program: &Path) -> bool {
    let mut command = Command::new(program);
    command.args(["mutants", "--version"]);
    shell.run(command).is_ok_and(|ran| ran.succeeded && ran.output.contains(VERSION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_change_is_looked_at_in_parts() {
        assert_eq!(some(PLACES, "abc").last().map(String::as_str), Some("0/1"));
        let parts: Vec<String> =
            ["a", "b", "c"].iter().filter_map(|since| some(5 * PLACES, since).pop()).collect();
        assert!(parts.iter().all(|part| part.ends_with("/5")), "{parts:?}");
        assert!(
            parts.windows(2).any(|pair| pair[0] != pair[1]),
            "the next change is another part: {parts:?}"
        );
    }
}
