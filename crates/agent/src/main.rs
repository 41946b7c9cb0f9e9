//! `deployinatord`: the agent of one host, and the keeper of one service.

use std::process::ExitCode;

fn main() -> ExitCode {
    agent::program::main()
}
