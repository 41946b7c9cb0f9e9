//! The command line, `deployinator`.
//!
//! Promise: it ends with the truth of the exit codes in [`api::Exit`], and whatever goes wrong is said with what was tried on what, why it
//! failed and what to do next.
//! Absent on purpose: a private way in. Everything goes through the public gRPC API, and is asked of any agent.

mod args;
mod commands;
mod failure;
mod render;

use std::process::ExitCode;

use clap::Parser as _;

use self::args::Arguments;

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { api::Exit::Usage.code() } else { api::Exit::Done.code() };
            // Nothing can be done about a terminal that is gone.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("deployinator: start: {error}");
            return ExitCode::from(api::Exit::Unavailable.code());
        }
    };
    let json = arguments.is_json();
    let code = runtime.block_on(commands::run(arguments)).unwrap_or_else(|failure| {
        failure.print(json);
        failure.exit.code()
    });
    ExitCode::from(code)
}
