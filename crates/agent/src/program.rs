//! The command line of `deployinatord`: the agent of one host, and the keeper of one service.

use std::{
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{CommandFactory as _, Parser, Subcommand};
use config::{Loaded, LogFormat, Problem, Settings};
use ports::fault::Chain;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    outside::{self, Unsettled},
    run::Ended,
};

/// Exit code of wrong usage and of a configuration that cannot be used.
const EXIT_USAGE: u8 = 64;

/// The agent of Deployinator: one on every host of the fleet.
#[derive(Parser)]
#[command(name = "deployinatord", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the agent until it is stopped; the services that it started run on.
    Run {
        /// A configuration file, or a directory whose *.toml are merged in the order of their names.
        #[arg(long, default_value = "/etc/deployinator")]
        config: PathBuf,
    },
    /// Read the configuration and report every problem in it, and what this host lacks for it.
    Check {
        /// A configuration file, or a directory whose *.toml are merged in the order of their names.
        #[arg(long, default_value = "/etc/deployinator")]
        config: PathBuf,
    },
    /// Print a script that completes this command line, for a shell to read.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print this command line's manual page, or write all of its pages to a directory.
    Man {
        /// Write one page for each command into this directory, which is made.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Keep one service running. Started by the agent, which it outlives.
    #[command(hide = true)]
    Keeper {
        /// The service's directory.
        #[arg(long)]
        dir: PathBuf,
    },
}

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            // Nothing can be done about a terminal that is gone.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match arguments.command {
        Command::Run { config } => with_settings(&config, outside::AT_START, run),
        Command::Check { config } => with_settings(&config, outside::FOR_A_CHECK, |settings| {
            for warning in crate::preflight::warnings(&settings) {
                eprintln!("warning: {warning}");
            }
            let agent = &settings.agent;
            let zone = agent.zone.as_ref().map(|zone| format!(" in {zone}")).unwrap_or_default();
            println!(
                "ok: host {} of cluster {}, at {}{zone}",
                agent.host, settings.cluster.name, agent.advertise
            );
            ExitCode::SUCCESS
        }),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "deployinatord", &mut script);
            // A pipe whose reader has gone is the reader's own affair.
            let _ = io::stdout().write_all(&script);
            ExitCode::SUCCESS
        }
        Command::Man { dir } => match man(dir.as_deref()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
        Command::Keeper { dir } => match supervisor::keeper::run(&dir) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
    }
}

fn man(dir: Option<&Path>) -> io::Result<()> {
    match dir {
        Some(dir) => {
            std::fs::create_dir_all(dir)?;
            clap_mangen::generate_to(Arguments::command(), dir)
        }
        None => clap_mangen::Man::new(Arguments::command()).render(&mut io::stdout()),
    }
}

/// `limit` is how long the instance is asked for what the files leave to it.
fn with_settings(path: &Path, limit: Duration, then: impl FnOnce(Settings) -> ExitCode) -> ExitCode {
    let settled = match config::load(path) {
        Ok(Loaded::Whole(settings)) => Ok(*settings),
        Ok(Loaded::Partial(partial)) => {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return fail(&error),
            };
            runtime.block_on(outside::settled(&partial, limit))
        }
        Err(problems) => Err(Unsettled::Problems(problems)),
    };
    match settled {
        Ok(settings) => then(settings),
        Err(Unsettled::Problems(problems)) => refuse(&problems),
        Err(Unsettled::Unknown { why, keys }) => {
            eprintln!("deployinatord: {}; or set {keys}", Chain(&why));
            ExitCode::FAILURE
        }
    }
}

fn refuse(problems: &[Problem]) -> ExitCode {
    for problem in problems {
        eprintln!("{problem}");
    }
    let found = problems.len();
    if 1 < found {
        eprintln!("{found} problems; nothing is started before all of them are mended");
    }
    ExitCode::from(EXIT_USAGE)
}

fn run(settings: Settings) -> ExitCode {
    log(&settings);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let result = runtime.block_on(crate::run::run(settings, asked_to_stop()));
    // Effects that still wait for the outside are of no use to anybody now.
    runtime.shutdown_background();
    match result {
        Ok(Ended::Asked) => ExitCode::SUCCESS,
        Ok(Ended::BeginAgain { open_files }) => fail(&begin_again(open_files)),
        Err(error) => fail(&error),
    }
}

/// Why an agent that was to begin again could not.
#[derive(Debug, thiserror::Error)]
#[error("begin again as another run of this process; start the agent, it goes on from what is on its disk")]
struct BeginAgain(#[source] io::Error);

/// Becomes a new run of the same program in the same process: whoever watches the process sees none end. Returns only when that fails.
fn begin_again(open_files: Option<u64>) -> BeginAgain {
    crate::grpc::lower_open_files(open_files);
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_else(|| "deployinatord".into());
    BeginAgain(std::process::Command::new(crate::installed::this()).arg0(name).args(words).exec())
}

fn log(settings: &Settings) {
    // openraft tells every message at info, and every one that is lost as a warning. Who wants that names it in the filter.
    let quiet = if settings.agent.log.contains("openraft") { "" } else { ",openraft=error" };
    let filter = tracing_subscriber::EnvFilter::new(format!("{}{quiet}", settings.agent.log));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.agent.log_format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}

async fn asked_to_stop() {
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    match (terminate, interrupt) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
        }
        _ => std::future::pending().await,
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("deployinatord: {}", Chain(error));
    ExitCode::FAILURE
}
