//! The project's own tools: `cargo verify` checks everything and writes nothing to the tree, `cargo xtask fix`
//! is its writing twin, `cargo demo` builds the demo and becomes it, `cargo xtask bench` the benchmarks, `cargo xtask soak` and
//! `cargo xtask sim` look for bugs for as long as they are given.
//!
//! Promise: what CI runs is what a developer runs: `cargo verify`, with Rust and nothing else installed; and with `--all` what needs more.
//! Absent on purpose: async and every heavy dependency, because this is compiled before anything else.

mod aws;
mod bench;
mod build;
mod conformance;
mod demo;
mod dependencies;
mod fix;
mod house;
mod lab;
mod layers;
mod metadata;
mod mutants;
mod nix;
mod setup;
mod shell;
mod sim;
mod soak;
mod survivors;
mod verify;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::shell::Shell;

/// The project's own tools.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Check everything, in order; never writes to the tree.
    Verify(verify::Options),
    /// Format, and let clippy mend what it can.
    Fix,
    /// Play the seeded scenarios of the cluster tests with many seeds; stop at the first that fails.
    Soak(soak::Options),
    /// Play fleets in virtual time, one for each seed; everything after the options is for the simulator.
    #[command(disable_help_flag = true)]
    Sim {
        /// What the simulator is given.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Plant bugs in a copy of what the simulator runs, one at a time, and say how many seeds it took to find each.
    Mutants(mutants::Options),
    /// Run a fleet of hosts with networks and disks of their own, on real Nix and a cloud that answers as AWS does. Needs root.
    Lab(lab::Options),
    /// Change `model` in one place at a time, and say which changes its own tests do not notice.
    Survivors(survivors::Options),
    /// Run the tests that need Nix.
    Nix,
    /// Install what some tests need besides Rust.
    Setup(setup::Options),
    /// Build the demo and run it; everything after the options is for the demo itself.
    #[command(disable_help_flag = true)]
    Demo {
        /// Build with optimisation, which takes longer.
        #[arg(long)]
        release: bool,
        /// What the demo is given.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Compare fakeaws with moto, an independent stand-in for AWS; everything after the options is for the comparison.
    #[command(disable_help_flag = true)]
    Conformance {
        /// What the comparison is given.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Build everything as it is released, and measure it; everything after the options is for the benchmarks.
    #[command(disable_help_flag = true)]
    Bench {
        /// Build without optimisation: to work on the benchmarks themselves.
        #[arg(long)]
        debug: bool,
        /// What the benchmarks are given.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Verify(options) => {
            Shell::new(options.verbose).and_then(|shell| verify::verify(&shell, &options))
        }
        Task::Fix => Shell::new(true).and_then(|shell| fix::fix(&shell)),
        Task::Soak(options) => Shell::new(false).and_then(|shell| soak::soak(&shell, &options)),
        Task::Sim { args } => Shell::new(true).and_then(|shell| sim::sim(&shell, &args)),
        Task::Lab(options) => Shell::new(options.verbose).and_then(|shell| lab::lab(&shell, &options)),
        Task::Mutants(options) => Shell::new(true).and_then(|shell| mutants::mutants(&shell, &options)),
        Task::Survivors(options) => Shell::new(true).and_then(|shell| survivors::survivors(&shell, &options)),
        Task::Nix => Shell::new(true).and_then(|shell| nix::nix(&shell)),
        Task::Setup(options) => setup::setup(&options),
        Task::Conformance { args } => {
            Shell::new(true).and_then(|shell| conformance::conformance(&shell, &args))
        }
        Task::Demo { release, args } => Shell::new(true).and_then(|shell| demo::demo(&shell, release, &args)),
        Task::Bench { debug, args } => Shell::new(true).and_then(|shell| bench::bench(&shell, debug, &args)),
    };
    done.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
