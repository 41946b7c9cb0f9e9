//! `cargo xtask bench`: measures what a rollout costs, beside what the service itself takes and beside floors of the same run.
//!
//! Promise: every figure was measured by this run, on this machine; what it is compared with, too.
//! Absent on purpose: ways into an agent other than its API, its log, its signals and what the system says of its process.

mod agentlog;
mod etcd;
mod floor;
mod handoff;
mod idle;
mod leader;
mod overhead;
mod push;
mod report;
mod stage;
mod stats;
mod traffic;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use demo::run;
use report::{Machine, Report, Section};
use serde::Serialize;

/// Exit code of a run in which something could not be measured.
const EXIT_FAILED: u8 = 1;
/// The page that `--write` writes to, as seen from the root of the repository.
const PAGE: &str = "docs/benchmarks.md";

/// Measures what a rollout costs. Progress goes to stderr, the result to stdout.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Measure only this; can be given more than once.
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
    /// Small fleets and few samples: shows that everything can be measured, and measures nothing.
    #[arg(long)]
    quick: bool,
    /// Write the result as JSON to this file as well.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the result into docs/benchmarks.md, below the working directory.
    #[arg(long)]
    write: bool,
    /// Where state directories are made: on the disk that is to be measured.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What this program is when it is not asked to measure.
#[derive(Debug, clap::Subcommand)]
enum Role {
    /// A bare Raft node, as a floor.
    #[command(hide = true)]
    Node(floor::node::Options),
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    /// A whole rollout, beside what the service itself took.
    Overhead,
    /// From a slot's release on one host to its grant on the next.
    Handoff,
    /// From the push to the first host that drains.
    Push,
    /// The pause when the leader is killed, and when it is stopped.
    Leader,
    /// Memory and processor of a fleet at rest, and the size of the programs.
    Idle,
    /// Bytes and messages between agents.
    Traffic,
}

impl Part {
    const ALL: [Self; 6] =
        [Self::Overhead, Self::Handoff, Self::Push, Self::Leader, Self::Idle, Self::Traffic];

    fn title(self) -> &'static str {
        match self {
            Self::Overhead => "Overhead of a rollout",
            Self::Handoff => "Handoff of a slot",
            Self::Push => "Push to first host draining",
            Self::Leader => "Loss of the leader",
            Self::Idle => "Footprint at rest",
            Self::Traffic => "Traffic between agents",
        }
    }
}

/// How a part is to be measured.
struct Run {
    part: Part,
    quick: bool,
    dir: PathBuf,
}

impl Run {
    /// A size of the quick run, or of the real one.
    fn size(&self, quick: usize, real: usize) -> usize {
        if self.quick { quick } else { real }
    }

    /// Nothing measured yet.
    fn section(&self) -> Section {
        Section {
            part: self.part,
            figures: Vec::new(),
            tables: Vec::new(),
            notes: Vec::new(),
            load: [report::load(); 2],
            took_s: 0.0,
        }
    }

    async fn measure(&self) -> Result<Section> {
        let began = Instant::now();
        let mut section = match self.part {
            Part::Overhead => overhead::measure(self).await,
            Part::Handoff => handoff::measure(self).await,
            Part::Push => push::measure(self).await,
            Part::Leader => leader::measure(self).await,
            Part::Idle => idle::measure(self).await,
            Part::Traffic => traffic::measure(self).await,
        }?;
        section.load[1] = report::load();
        section.took_s = began.elapsed().as_secs_f64();
        Ok(section)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Role::Node(options)) = &arguments.role {
        return floor::node::run(options);
    }
    run::to_the_end("bench", EXIT_FAILED, async { bench(arguments).await.map(|()| 0) })
}

async fn bench(arguments: Arguments) -> Result<()> {
    let command =
        std::env::args().skip(1).fold("cargo xtask bench".to_owned(), |line, word| format!("{line} {word}"));
    let machine = Machine::here(&arguments.dir);
    let mut report = Report { command, version: report::version(), machine, sections: Vec::new() };
    let asked = |part: &Part| arguments.only.is_empty() || arguments.only.contains(part);
    let mut failed = Vec::new();
    for part in Part::ALL.into_iter().filter(asked) {
        let title = part.title();
        eprintln!("{title}:");
        let run = Run { part, quick: arguments.quick, dir: arguments.dir.clone() };
        match run.measure().await {
            Ok(section) => {
                for figure in &section.figures {
                    eprintln!("  {}: {}", figure.what, figure.value);
                }
                report.sections.push(section);
            }
            // The others are measured all the same: a run takes minutes.
            Err(error) => {
                eprintln!("  not measured: {error:#}");
                failed.push(title);
            }
        }
    }
    println!("{}", report.page());
    if let Some(path) = &arguments.json {
        let text = serde_json::to_vec_pretty(&report).context("write the result down")?;
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    if arguments.write {
        ensure!(!arguments.quick, "a quick run measures nothing that belongs into {PAGE}");
        report.write(std::path::Path::new(PAGE))?;
        eprintln!("written to {PAGE}");
    }
    Ok(())
}
