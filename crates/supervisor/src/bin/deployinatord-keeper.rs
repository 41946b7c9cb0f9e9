//! The keeper as a program of its own: `deployinatord-keeper keeper --dir DIR`.
//!
//! It does what `deployinatord keeper` does, and is a small part of its size: one runs for each service, and what is not in its program
//! takes no memory. Absent on purpose: help, and everything else that the agent can do.

use std::{ffi::OsString, path::Path, process::ExitCode};

use ports::fault::Chain;

/// Exit code of wrong usage.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [word, option, dir] = &arguments[..] else { return usage() };
    if word != "keeper" || option != "--dir" {
        return usage();
    }
    match supervisor::keeper::run(Path::new(dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("deployinatord-keeper: {}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("deployinatord-keeper: started by the agent, as `deployinatord-keeper keeper --dir DIR`");
    ExitCode::from(EXIT_USAGE)
}
