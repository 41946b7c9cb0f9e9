//! `cargo xtask setup`: installs what some tests need besides Rust, by name, and says what it installs. Nothing else is installed by any other
//! command, and these are the only ones that do it: `cargo xtask setup` and `cargo lab`.

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};
use clap::Args;

/// Which part is set up.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The part; without one, all of them.
    part: Option<String>,
    /// Only say what would be installed.
    #[arg(long)]
    list: bool,
}

/// What some tests need.
struct Part {
    name: &'static str,
    about: &'static str,
    /// Debian's packages.
    packages: &'static [&'static str],
    /// Where these are, nothing is installed.
    programs: &'static [&'static str],
}

const PARTS: [Part; 2] = [
    Part {
        name: "nix",
        about: "Nix, for the tests of releases that are store paths (`cargo xtask nix`)",
        packages: &["nix-bin"],
        programs: &["nix", "nix-store", "nix-build", "nix-daemon"],
    },
    Part {
        name: "lab",
        about: "Nix, HAProxy, and what makes hosts and networks of namespaces (`cargo lab`)",
        packages: &["nix-bin", "haproxy", "iproute2", "nftables", "util-linux"],
        programs: &["nix", "nix-store", "nix-build", "haproxy", "ip", "nft", "unshare", "nsenter"],
    },
];

/// Installs what is missing.
pub(crate) fn setup(options: &Options) -> Result<ExitCode> {
    let wanted: Vec<&Part> = match &options.part {
        None => PARTS.iter().collect(),
        Some(name) => {
            let known = || PARTS.map(|part| part.name).join(", ");
            vec![
                PARTS
                    .iter()
                    .find(|part| part.name == name)
                    .with_context(|| format!("no part named {name:?}; there are {}", known()))?,
            ]
        }
    };
    for part in wanted {
        println!("{}: {}", part.name, part.about);
        let missing = missing(part.programs);
        if missing.is_empty() {
            println!("  is here already");
            continue;
        }
        println!("  installs the Debian packages {} for {}", part.packages.join(", "), missing.join(", "));
        if !options.list {
            install(part.packages)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Installs what is missing of a part, and says so.
pub(crate) fn ensure(name: &str) -> Result<()> {
    let here =
        PARTS.iter().find(|part| part.name == name).is_some_and(|part| missing(part.programs).is_empty());
    if here {
        return Ok(());
    }
    setup(&Options { part: Some(name.to_owned()), list: false }).map(drop)
}

/// Which of these programs are not on the path.
pub(crate) fn missing<'p>(programs: &[&'p str]) -> Vec<&'p str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let is_here = |program: &&&str| !places.iter().any(|place| place.join(program).is_file());
    programs.iter().filter(is_here).copied().collect()
}

fn install(packages: &[&str]) -> Result<()> {
    // Recommended packages would set up services of the machine, which no test needs.
    let mut command = Command::new("apt-get");
    command.args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(packages);
    let status = command.env("DEBIAN_FRONTEND", "noninteractive").status().context("run apt-get")?;
    if !status.success() {
        bail!(
            "apt-get install {} ended with {status}; it needs root, and a list of packages: apt-get update",
            packages.join(" ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_on_the_path_is_missing() {
        assert_eq!(missing(&["sh", "no-such-program-here"]), ["no-such-program-here"]);
    }

    #[test]
    fn a_part_that_is_not_known_is_refused_with_those_that_are() {
        let options = Options { part: Some("nox".into()), list: true };
        let error = setup(&options).expect_err("it was set up");
        assert!(error.to_string().contains("there are nix"), "{error}");
    }
}
