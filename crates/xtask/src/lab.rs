//! `cargo lab`: fleets of hosts with networks, disks and processes of their own, on real Nix and a cloud that answers as AWS does.
//!
//! Each scenario is a test of the binary `lab`, and has namespaces of its own for its network, its processes and its mounts: whatever it
//! starts ends with it, and nothing that it sends leaves it.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{build, setup, shell::Shell, verify::Verdict};

/// The test binary with the scenarios.
const SCENARIOS: &str = "lab";
/// Longest time of a scenario; four times that with `--full`.
const LIMIT: Duration = Duration::from_secs(15 * 60);
/// So many lines of what a scenario said are shown when it failed.
const TAIL_LINES: usize = 300;
/// So many scenarios at the same time: most of their time passes in waiting, and two cores bear three.
const JOBS: NonZeroUsize = NonZeroUsize::new(3).unwrap();
/// What a line of figures begins with.
const FIGURES: &str = "figures: ";

/// Which scenarios are run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run only the scenarios with this in their name; can be given more than once.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// List the scenarios and run none.
    #[arg(long)]
    list: bool,
    /// Run all of this so many times in a row.
    #[arg(long, value_name = "N", default_value_t = 1)]
    times: u32,
    /// Run so many scenarios at the same time; each has a network of its own.
    #[arg(long, value_name = "N", default_value_t = JOBS)]
    jobs: NonZeroUsize,
    /// Make faults of AWS last for a minute instead of 5 s.
    #[arg(long)]
    full: bool,
    /// Optimise all that runs, for figures; that takes another ten minutes to build.
    #[arg(long)]
    optimised: bool,
    /// Show what the scenarios say while they run.
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// Runs the scenarios asked for, and says how each went, with its figures.
pub(crate) fn lab(shell: &Shell, options: &Options) -> Result<ExitCode> {
    if !options.list {
        prepare()?;
    }
    eprintln!("lab: building with the clients of AWS; the first time takes ten minutes and 9 GB of memory");
    let Some(binary) = build(shell, options.optimised)? else { return Ok(ExitCode::FAILURE) };
    let names: Vec<String> = scenarios(&binary)?;
    let asked = |name: &String| {
        options.only.is_empty() || options.only.iter().any(|part| name.contains(part.as_str()))
    };
    let names: Vec<String> = names.into_iter().filter(asked).collect();
    ensure!(!names.is_empty(), "no scenario has {} in its name", options.only.join(" or "));
    if options.list {
        names.iter().for_each(|name| println!("{name}"));
        return Ok(ExitCode::SUCCESS);
    }
    let began = Instant::now();
    for _ in 0..options.times {
        let failed = run_all(shell, &binary, &names, options)?;
        if let Some(name) = failed.first() {
            let more = [(options.full, " --full"), (options.optimised, " --optimised")];
            let more: String = more.into_iter().filter(|(given, _)| *given).map(|(_, word)| word).collect();
            println!(
                "lab: FAILED in {}; this runs it again: cargo lab --only {name}{more}",
                failed.join(", ")
            );
            return Ok(ExitCode::FAILURE);
        }
    }
    println!("lab: ok, {} scenarios in {}", names.len() * options.times as usize, seconds(began.elapsed()));
    Ok(ExitCode::SUCCESS)
}

/// Sees to what a lab needs.
pub(crate) fn prepare() -> Result<()> {
    ensure!(is_root(), "a lab makes network namespaces, which only root may: run this as root");
    setup::ensure("lab")
}

/// The same as a check of `cargo verify --all`: all scenarios, once.
pub(crate) fn check(shell: &Shell) -> Result<Verdict> {
    let options = Options {
        only: Vec::new(),
        list: false,
        times: 1,
        jobs: JOBS,
        full: false,
        optimised: false,
        verbose: false,
    };
    println!();
    let passed = lab(shell, &options)? == ExitCode::SUCCESS;
    Ok(match passed {
        true => Verdict::Passed { notes: Vec::new() },
        false => Verdict::Failed { report: "which scenario, and why, is above".to_owned() },
    })
}

/// Runs all, some at a time, and returns those that failed.
fn run_all(shell: &Shell, binary: &Path, names: &[String], options: &Options) -> Result<Vec<String>> {
    let (left, failed) = (Mutex::new(names.iter()), Mutex::new(Vec::new()));
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> Result<()> {
        while let Some(name) = next() {
            if !run(shell, binary, name, options.full)? {
                failed.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs.get()).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    Ok(failed.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn run(shell: &Shell, binary: &Path, name: &str, full: bool) -> Result<bool> {
    let began = Instant::now();
    // One that hangs is ended, with all that it has started, and says what it said until then. In the foreground, so that Ctrl-C reaches it.
    let limit = if full { LIMIT * 4 } else { LIMIT }.as_secs().to_string();
    let mut command = Command::new("timeout");
    command.args(["--foreground", "--kill-after=10", &limit, "unshare"]);
    command.args([
        "--net",
        "--mount",
        "--propagation",
        "private",
        "--ipc",
        "--pid",
        "--fork",
        "--kill-child",
    ]);
    command.args(["--mount-proc", "--"]).arg(binary).args(["--exact", name, "--nocapture"]);
    command.env("RUST_BACKTRACE", "0").current_dir(shell.root()).stdin(Stdio::null());
    if full {
        command.env("LAB_FULL", "1");
    }
    let ran = shell.run(command)?;
    let (verdict, took) = (if ran.succeeded { "ok" } else { "FAILED" }, seconds(began.elapsed()));
    let figures: Vec<&str> = ran.output.lines().filter_map(|line| line.strip_prefix(FIGURES)).collect();
    // In one piece: another scenario may end at the same time.
    let mut text = String::new();
    if !ran.succeeded {
        let lines: Vec<&str> = ran.unseen.lines().collect();
        text.push_str(&lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"));
        text.push('\n');
    }
    text.push_str(&format!("{name} … {verdict} ({took})\n"));
    figures.iter().for_each(|line| text.push_str(&format!("    {line}\n")));
    print!("{text}");
    Ok(ran.succeeded)
}

/// Builds the agent with AWS in it, and what the scenarios start, in one go with them, so that nothing is built twice; nothing when cargo
/// has already said why not.
fn build(shell: &Shell, optimised: bool) -> Result<Option<PathBuf>> {
    let mut command =
        shell.cargo(["build", "--quiet", "--locked", "--workspace", "--bins", "--test", SCENARIOS]);
    command.args(["--features", build::WITH_AWS]);
    if optimised {
        command.args(["--profile", "lab"]);
    }
    build::built(command, SCENARIOS)
}

fn scenarios(binary: &PathBuf) -> Result<Vec<String>> {
    let output = Command::new(binary).args(["--list", "--format", "terse"]).output();
    let output = output.with_context(|| format!("start {}", binary.display()))?;
    let listed = String::from_utf8_lossy(&output.stdout);
    Ok(listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

fn is_root() -> bool {
    let said = Command::new("id").arg("-u").output();
    said.is_ok_and(|said| said.stdout.trim_ascii() == b"0")
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
