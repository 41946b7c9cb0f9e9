//! `cargo xtask soak`: plays the seeded scenarios of the cluster tests with many seeds, and stops at the first that fails.
//!
//! A scenario is a test of the binary `faults_seeded`, which plays the seed that its environment names.

use std::{
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{build, shell::Shell};

/// The test binary with the scenarios.
const SCENARIOS: &str = "faults_seeded";
/// What it reads the seed from.
const SEED: &str = "DEPLOYINATOR_SEED";
/// So many lines of what a scenario said are shown when it failed.
const TAIL_LINES: usize = 200;

/// What is played, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// With how many seeds each scenario is played.
    #[arg(long, value_name = "N", default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, value_name = "S", default_value_t = 1)]
    from: u64,
    /// Begin nothing more after so many minutes.
    #[arg(long, value_name = "M")]
    minutes: Option<u64>,
    /// Play only the scenarios with this in their name; can be given more than once.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// How many are played at a time.
    #[arg(long, value_name = "J", default_value_t = 1)]
    jobs: usize,
}

/// Plays the scenarios asked for, and says how each went.
pub(crate) fn soak(shell: &Shell, options: &Options) -> Result<ExitCode> {
    eprintln!("soak: building; the first time takes minutes");
    let Some(binary) = build(shell)? else { return Ok(ExitCode::FAILURE) };
    let names = scenarios(&binary)?;
    let names: Vec<String> = names.into_iter().filter(|name| is_asked_for(name, &options.only)).collect();
    ensure!(!names.is_empty(), "no scenario has {} in its name", options.only.join(" or "));
    let seeds = options.from..options.from.saturating_add(options.seeds);
    let rounds: Vec<(u64, &String)> =
        seeds.flat_map(|seed| names.iter().map(move |name| (seed, name))).collect();
    let began = Instant::now();
    let until = options.minutes.map(|minutes| began + Duration::from_secs(60 * minutes));
    let played = play(shell, &binary, &rounds, until, options.jobs)?;
    let took = began.elapsed().as_secs();
    match played.failed {
        None => {
            println!("soak: ok, {} of {} played in {took} s", played.count, rounds.len());
            Ok(ExitCode::SUCCESS)
        }
        Some(failure) => {
            println!("{failure}\nsoak: FAILED after {} of {}, {took} s", played.count, rounds.len());
            Ok(ExitCode::FAILURE)
        }
    }
}

fn is_asked_for(name: &str, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|part| name.contains(part.as_str()))
}

/// Builds the agent and what else the scenarios start, in one go with them; nothing when cargo has already said why not.
fn build(shell: &Shell) -> Result<Option<PathBuf>> {
    let command = shell.cargo(["build", "--quiet", "--locked", "--workspace", "--bins", "--tests"]);
    build::built(command, SCENARIOS)
}

fn scenarios(binary: &PathBuf) -> Result<Vec<String>> {
    let output = Command::new(binary).args(["--list", "--format", "terse", "--include-ignored"]).output();
    let output = output.with_context(|| format!("start {}", binary.display()))?;
    let listed = String::from_utf8_lossy(&output.stdout);
    Ok(listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

/// How far it got.
#[derive(Default)]
struct Played {
    begun: usize,
    count: usize,
    failed: Option<String>,
}

/// Plays the rounds in order, some at a time; begins no more when one has failed or time is up.
fn play(
    shell: &Shell,
    binary: &PathBuf,
    rounds: &[(u64, &String)],
    until: Option<Instant>,
    jobs: usize,
) -> Result<Played> {
    let played = Mutex::new(Played::default());
    let lock = || played.lock().unwrap_or_else(PoisonError::into_inner);
    let next = || {
        let mut played = lock();
        let late = until.is_some_and(|until| until <= Instant::now());
        let round = rounds.get(played.begun).filter(|_| played.failed.is_none() && !late)?;
        played.begun += 1;
        Some(*round)
    };
    let worker = || -> Result<()> {
        while let Some((seed, name)) = next() {
            let began = Instant::now();
            let ran = shell.run(round(shell, binary, seed, name))?;
            let mut played = lock();
            played.count += 1;
            let verdict = if ran.succeeded { "ok" } else { "FAILED" };
            let (count, of, took) = (played.count, rounds.len(), began.elapsed().as_secs_f32());
            println!("{count}/{of} seed {seed} {name}: {verdict} ({took:.1} s)");
            if !ran.succeeded && played.failed.is_none() {
                played.failed = Some(failure(seed, name, &ran.output));
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    Ok(played.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn round(shell: &Shell, binary: &PathBuf, seed: u64, name: &str) -> Command {
    let mut command = Command::new(binary);
    command.args(["--exact", name, "--include-ignored", "--nocapture"]);
    command.env(SEED, seed.to_string()).env("RUST_BACKTRACE", "0");
    command.current_dir(shell.root()).stdin(Stdio::null());
    command
}

fn failure(seed: u64, name: &str, output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
    format!(
        "{tail}\n\nseed {seed} failed; this plays it again:\n  cargo xtask soak --only {name} --from {seed} --seeds 1"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_its_seed_and_the_command_that_plays_it_again() {
        let told = failure(17, "kills", "one\ntwo");
        assert!(told.starts_with("one\ntwo\n") && told.contains("seed 17 failed"), "{told}");
        assert!(told.ends_with("cargo xtask soak --only kills --from 17 --seeds 1"), "{told}");
        assert!(!failure(1, "kills", &"line\n".repeat(1000)).contains(&"line\n".repeat(TAIL_LINES + 1)));
    }

    #[test]
    fn a_part_of_its_name_asks_for_a_scenario() {
        let only = ["kills".to_owned(), "links".to_owned()];
        assert!(is_asked_for("links_come_and_go", &only) && !is_asked_for("freezes", &only));
        assert!(is_asked_for("freezes", &[]));
    }
}
