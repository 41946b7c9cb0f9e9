//! The program behind `bin/serve` and `bin/migrate` of the demo's releases.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    pin::pin,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum, builder::FalseyValueParser};
use demo::{
    service::{
        Options, STOP_GRACE, Service, migrate,
        odd::{self, Odd},
    },
    timeline::{Mark, Moment},
};
use tokio::signal::unix::{SignalKind, signal};

/// Serves, or migrates.
#[derive(Debug, Parser)]
#[command(name = "demo-service")]
struct Arguments {
    /// Port to listen on.
    #[arg(long, env = "PORT", default_value_t = 8080)]
    port: u16,
    /// Address to listen on.
    #[arg(long, env = "DEMO_BIND", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,
    /// Release to name in answers.
    #[arg(long, env = "DEPLOYINATOR_RELEASE", default_value = "unknown")]
    release: String,
    /// Host to name in answers.
    #[arg(long, env = "DEPLOYINATOR_HOST", default_value = "unknown")]
    host: String,
    /// Time before it listens.
    #[arg(long, env = "DEMO_START_MS", default_value_t = 0, value_name = "MS")]
    start_ms: u64,
    /// Time from its last request to its end, once it was told to stop.
    #[arg(long, env = "DEMO_STOP_MS", default_value_t = 0, value_name = "MS")]
    stop_ms: u64,
    /// File to which it adds a line for each moment of its life.
    #[arg(long, env = "DEMO_TIMELINE", value_name = "FILE")]
    timeline: Option<PathBuf>,
    /// How this release is bad.
    #[arg(long)]
    bad: Option<Bad>,
    /// Short for `--bad health`, from the environment.
    #[arg(long, env = "DEMO_UNHEALTHY", hide = true, value_parser = FalseyValueParser::new())]
    unhealthy: bool,
    #[command(flatten)]
    odd: Odd,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bad {
    /// It runs, and answers its health checks with 503.
    Health,
    /// It exits with 1 instead of listening.
    Exit,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Appends one line to a file instead of serving.
    Migrate {
        /// The file.
        #[arg(long, value_name = "FILE")]
        count_file: PathBuf,
        /// Fails after that.
        #[arg(long, env = "DEMO_MIGRATE_FAIL", value_parser = FalseyValueParser::new())]
        fail: bool,
        /// Time that it takes.
        #[arg(long, env = "DEMO_MIGRATE_MS", default_value_t = 0, value_name = "MS")]
        take_ms: u64,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Some(Command::Migrate { count_file, fail, take_ms }) => {
            migrate(&arguments, count_file, *fail, Duration::from_millis(*take_ms))
        }
        None if arguments.odd.fork => arguments.odd.fork_away().context("start again in the background"),
        None => serve(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-service: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn migrate(arguments: &Arguments, file: &std::path::Path, fail: bool, take: Duration) -> anyhow::Result<()> {
    let line = format!("{} on {}", arguments.release, arguments.host);
    migrate::record(file, &line)
        .map_err(|error| anyhow::Error::new(error).context(format!("write {}", file.display())))?;
    std::thread::sleep(take);
    anyhow::ensure!(!fail, "migration of {}: column \"fleet\" does not exist", arguments.release);
    println!("migrated {line}");
    Ok(())
}

/// Says in the timeline, where one was asked for, what happens now.
fn mark(arguments: &Arguments, moment: Moment) -> anyhow::Result<()> {
    let Some(file) = &arguments.timeline else { return Ok(()) };
    let written = Mark::write(file, &arguments.host, moment);
    written.map_err(|error| anyhow::Error::new(error).context(format!("write {}", file.display())))
}

/// Runs until it is told to stop. What still listens then is returned.
async fn run(odd: &Odd, service: Service, told: impl Future<Output = ()>) -> Option<Service> {
    let mut service = Some(service);
    let (mut told, mut speaks, mut closing) = (pin!(told), pin!(odd.speak()), pin!(odd.closing()));
    let mut spoke = false;
    loop {
        tokio::select! {
            () = &mut told => return service,
            () = &mut speaks, if !spoke => spoke = true,
            () = &mut closing, if service.is_some() => {
                println!("closes its port");
                if let Some(service) = service.take() {
                    service.stop(Duration::ZERO).await;
                }
            }
        }
    }
}

#[tokio::main]
async fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    mark(arguments, Moment::Began)?;
    // Before anything else, so that no signal finds the service without a handler.
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let heeds_term = !arguments.odd.ignore_term;
    let told = async move {
        tokio::select! {
            _ = term.recv(), if heeds_term => (),
            _ = interrupt.recv() => (),
        }
    };
    tokio::pin!(told);
    arguments.odd.begin().context("begin what it was told to do")?;
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(arguments.start_ms)) => (),
        () = &mut told => return Ok(()),
    }
    anyhow::ensure!(arguments.bad != Some(Bad::Exit), "{} was built to exit", arguments.release);
    let listen = SocketAddr::new(arguments.bind, arguments.port);
    let healthy = !arguments.unhealthy && arguments.bad != Some(Bad::Health);
    let (release, host) = (arguments.release.clone(), arguments.host.clone());
    let service = Service::start(Options { listen, release, host, healthy })
        .await
        .map_err(|error| anyhow::Error::new(error).context(format!("listen on {listen}")))?;
    mark(arguments, Moment::Listens)?;
    println!("{} listens on {}", arguments.release, service.address());
    let service = run(&arguments.odd, service, told).await;
    mark(arguments, Moment::Told)?;
    println!("{} stops", arguments.release);
    odd::say("STOPPING=1");
    if let Some(service) = service {
        service.stop(STOP_GRACE).await;
    }
    tokio::time::sleep(Duration::from_millis(arguments.stop_ms)).await;
    mark(arguments, Moment::Stopped)?;
    Ok(())
}
