//! A program that starts a fleet, from start to end: whatever comes of it, nothing that it started is left.

use std::{fmt::Display, future::Future, process::ExitCode, time::Duration};

use tokio::signal::unix::{SignalKind, signal};

use crate::reaper;

/// Exit code of a program that was interrupted.
const EXIT_INTERRUPTED: u8 = 130;

/// Runs `work` until it ends or somebody interrupts it, then ends all that was started. Exits with its code, or with `failed` when it has
/// none; `name` is what the program calls itself when it says why.
pub fn to_the_end<E: Display>(name: &str, failed: u8, work: impl Future<Output = Result<u8, E>>) -> ExitCode {
    if let Err(error) = reaper::adopt() {
        eprintln!("{name}: adopt what is left behind: {error}");
        return ExitCode::from(failed);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{name}: start: {error}");
            return ExitCode::from(failed);
        }
    };
    let code = runtime.block_on(async {
        tokio::select! {
            () = interrupted() => { eprintln!("\ninterrupted: everything is being stopped"); EXIT_INTERRUPTED }
            ended = work => ended.unwrap_or_else(|error| { eprintln!("{name}: {error:#}"); failed }),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    reaper::end_all();
    ExitCode::from(code)
}

async fn interrupted() {
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => () };
        }
        _ => std::future::pending().await,
    }
}
