//! `cargo verify`: every check in order, one line each. What failed shows its output, what passed does not.

mod report;
mod steps;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::Args;

pub(crate) use self::report::{Problem, Verdict};
use self::steps::{STEPS, Step};
use crate::shell::Shell;

/// Which steps are run, and how.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run only this step; can be given more than once.
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
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
        for step in &STEPS {
            println!("{:<14}{}", step.name, step.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let steps = select(&options.only)?;
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
        println!("verify: ok, {ran} of {} steps in {total}", STEPS.len());
        return Ok(ExitCode::SUCCESS);
    }
    let left = steps.len() - ran;
    println!("verify: FAILED in {}, {left} steps not run, {total}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

fn select(only: &[String]) -> Result<Vec<&'static Step>> {
    for name in only {
        if !STEPS.iter().any(|step| step.name == name) {
            let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
            bail!("no step named {name:?}; there are {}", names.join(", "));
        }
    }
    Ok(STEPS.iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name)).collect())
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
        select(&only).unwrap().iter().map(|step| step.name).collect()
    }

    #[test]
    fn steps_are_run_in_their_own_order_whatever_the_order_asked_for() {
        assert_eq!(names(&["test", "fmt"]), ["fmt", "test"]);
        assert_eq!(names(&[]).len(), STEPS.len());
    }

    #[test]
    fn a_step_that_is_not_there_is_refused_with_those_that_are() {
        let error = select(&["tests".to_owned()]).err().expect("it was found").to_string();
        assert!(
            error.contains("\"tests\"") && error.contains("clippy, sim, mutants, test, survivors, doc"),
            "{error}"
        );
    }
}
