//! `cargo verify`: every check in order, one line each. What failed shows its output, what passed does not.

mod report;
mod steps;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Args;

use self::steps::{MORE, STEPS, Step};
pub(crate) use self::{
    report::{Problem, Verdict},
    steps::closing_lines,
};
use crate::shell::Shell;

/// Which steps are run, and how.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run only this step; can be given more than once.
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Run also what needs more than Rust: root, Nix, Python, and minutes for the clients of AWS. Says what it installs.
    #[arg(long)]
    all: bool,
    /// List the steps and run none.
    #[arg(long)]
    list: bool,
    /// Go on after a step that failed.
    #[arg(long)]
    keep_going: bool,
    /// Show the output of every command while it runs.
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// Runs the steps asked for and says how each went.
pub(crate) fn verify(shell: &Shell, options: &Options) -> Result<ExitCode> {
    if options.list {
        for (of, steps) in [("", &STEPS[..]), (" (--all)", &MORE)] {
            steps.iter().for_each(|step| println!("{:<14}{}{of}", step.name, step.about));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let steps = select(&options.only, options.all)?;
    for step in &steps {
        step.prepare(shell).with_context(|| format!("prepare the step {}", step.name))?;
    }
    let started = Instant::now();
    let mut failed = Vec::new();
    let mut ran = 0;
    for step in &steps {
        ran += 1;
        if !run(shell, step)? {
            failed.push(step.name);
            if !options.keep_going {
                break;
            }
        }
    }
    let total = seconds(started.elapsed());
    if failed.is_empty() {
        println!("verify: ok, {ran} of {} steps in {total}", STEPS.len() + MORE.len());
        return Ok(ExitCode::SUCCESS);
    }
    let left = steps.len() - ran;
    println!("verify: FAILED in {}, {left} steps not run, {total}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

fn select(only: &[String], all: bool) -> Result<Vec<&'static Step>> {
    let every = || STEPS.iter().chain(&MORE);
    for name in only {
        if !every().any(|step| step.name == name) {
            let names: Vec<_> = every().map(|step| step.name).collect();
            bail!("no step named {name:?}; there are {}", names.join(", "));
        }
    }
    let more: &[Step] = if all { &MORE } else { &[] };
    Ok(match only.is_empty() {
        true => STEPS.iter().chain(more).collect(),
        false => every().filter(|step| only.iter().any(|name| name == step.name)).collect(),
    })
}

fn run(shell: &Shell, step: &Step) -> Result<bool> {
    print!("{} … ", step.name);
    if shell.verbose() {
        println!();
    }
    io::stdout().flush()?;
    let started = Instant::now();
    let verdict = (step.run)(shell);
    let took = seconds(started.elapsed());
    if shell.verbose() {
        print!("{} … ", step.name);
    }
    match verdict {
        Ok(Verdict::Passed { notes }) => {
            println!("ok ({took})");
            notes.iter().for_each(|note| println!("{note}"));
            Ok(true)
        }
        Ok(Verdict::Failed { report }) => {
            println!("FAILED ({took})");
            println!("{}", report.trim_end());
            Ok(false)
        }
        Err(error) => {
            println!("FAILED ({took})");
            println!("{error:#}");
            Ok(false)
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(only: &[&str]) -> Vec<&'static str> {
        let only: Vec<_> = only.iter().map(|&name| name.to_owned()).collect();
        select(&only, false).unwrap().iter().map(|step| step.name).collect()
    }

    #[test]
    fn steps_are_run_in_their_own_order_whatever_the_order_asked_for() {
        assert_eq!(names(&["test", "fmt"]), ["fmt", "test"]);
        assert_eq!(names(&["lab", "nix"]), ["nix", "lab"]);
    }

    #[test]
    fn what_needs_more_than_rust_is_run_only_when_all_is_asked_for() {
        assert_eq!(names(&[]).len(), STEPS.len());
        assert_eq!(select(&[], true).unwrap().len(), STEPS.len() + MORE.len());
    }

    #[test]
    fn a_step_that_is_not_there_is_refused_with_those_that_are() {
        let error = select(&["tests".to_owned()], false).err().expect("it was found").to_string();
        assert!(
            error.contains("\"tests\"") && error.contains("clippy, sim, mutants, test, survivors, doc"),
            "{error}"
        );
    }
}
