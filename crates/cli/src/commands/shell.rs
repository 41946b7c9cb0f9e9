//! `completions` and `man`: what is made from the arguments themselves.

use std::{io, path::Path};

use api::Exit;
use clap::CommandFactory as _;

use crate::{
    args::{Arguments, Completions, Man},
    failure::Failure,
};

pub(super) fn completions(args: &Completions) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "deployinator", &mut script);
    // A pipe whose reader has gone is the reader's own affair.
    let _ = io::Write::write_all(&mut io::stdout(), &script);
    Exit::Done.code()
}

pub(super) fn man(args: &Man) -> Result<u8, Failure> {
    let written = match &args.dir {
        Some(dir) => pages(dir).map_err(|error| (format!("write manual pages to {}", dir.display()), error)),
        None => page().map_err(|error| ("write the manual page".to_owned(), error)),
    };
    written.map_err(|(what, error)| Failure::new(Exit::Failed, format!("{what}: {error}"), None))?;
    Ok(Exit::Done.code())
}

fn page() -> io::Result<()> {
    let mut text = Vec::new();
    clap_mangen::Man::new(Arguments::command()).render(&mut text)?;
    io::Write::write_all(&mut io::stdout(), &text)
}

fn pages(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Arguments::command(), dir)
}
