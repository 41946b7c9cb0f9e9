//! `deployinator-fakeaws`: the stand-in as a process of its own. It prints where its doors are, as one line of JSON, and
//! runs until it is told to stop.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;
use fakeaws::{Options, Server, Settings};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// A stand-in for the parts of AWS that are used here, for tests and the demo.
#[derive(Debug, Parser)]
#[command(name = "deployinator-fakeaws")]
struct Arguments {
    /// Where EC2, ELBv2, STS and S3 listen. Port 0: any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    api: SocketAddr,
    /// Where the metadata service of all instances listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    metadata: SocketAddr,
    /// Where the control door listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// The one region that there is.
    #[arg(long, value_name = "REGION", default_value = "eu-central-1")]
    region: String,
    /// Everything else about the account, as JSON; what is left out is as ever.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    settings: String,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("deployinator-fakeaws: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let settings: Settings = serde_json::from_str(&arguments.settings).context("read --settings")?;
    let settings = Settings { region: arguments.region, ..settings };
    let Arguments { api, metadata, control, .. } = arguments;
    let mut told = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    let server = Server::start(Options { api, metadata, control, settings }).await.context("listen")?;
    let doors = json!({
        "api": server.api_url(),
        "metadata": server.metadata_url(),
        "control": server.control_url(),
    });
    println!("{doors}");
    tokio::select! {
        _ = told.recv() => (),
        interrupted = tokio::signal::ctrl_c() => interrupted.context("watch for SIGINT")?,
    }
    server.shutdown().await;
    Ok(())
}
