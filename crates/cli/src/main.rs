//! `deployinator`: what people and CI use.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
