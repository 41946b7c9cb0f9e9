//! `deployinatord` as its next release might be, for tests of upgrades: it supports one fleet level more. Never shipped.

use std::process::ExitCode;

fn main() -> ExitCode {
    agent::program::main()
}
