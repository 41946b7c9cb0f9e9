//! `cargo xtask setup`: installs what some tests need besides Rust, by name, and says what it installs. Nothing else is installed by any other
//! command, and these are the only ones that do it: `cargo xtask setup`, `cargo lab` and `cargo verify --all`.

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};
use clap::Args;

/// What Python has to say yes to, so that moto can be installed.
pub(crate) const PYTHON_WORKS: &str = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))";

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
    /// And where this command succeeds; none where it is empty.
    works: &'static [&'static str],
}

const PARTS: [Part; 3] = [
    Part {
        name: "conformance",
        about: "Python with venv and pip, for the comparison of fakeaws with moto (`cargo xtask conformance`)",
        packages: &["python3-venv"],
        programs: &["python3"],
        works: &["python3", "-c", PYTHON_WORKS],
    },
    Part {
        name: "nix",
        about: "Nix, for the tests of releases that are store paths (`cargo xtask nix`)",
        packages: &["nix-bin"],
        programs: &["nix", "nix-store", "nix-build", "nix-daemon"],
        works: &[],
    },
    Part {
        name: "lab",
        about: "Nix, HAProxy, and what makes hosts and networks of namespaces (`cargo lab`)",
        packages: &["nix-bin", "haproxy", "iproute2", "nftables", "util-linux"],
        programs: &["nix", "nix-store", "nix-build", "haproxy", "ip", "nft", "unshare", "nsenter"],
        works: &[],
    },
];

impl Part {
    /// What of it is not here.
    fn missing(&self) -> Vec<&'static str> {
        let mut missing = missing(self.programs);
        if let Some((program, words)) = self.works.split_first()
            && missing.is_empty()
            && !Command::new(program).args(words).output().is_ok_and(|said| said.status.success())
        {
            missing.push(program);
        }
        missing
    }
}

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
        let missing = part.missing();
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
    if PARTS.iter().find(|part| part.name == name).is_some_and(|part| part.missing().is_empty()) {
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

/// Tries with the list of packages that is here before it fetches another one, which changes more of the machine.
fn install(packages: &[&str]) -> Result<()> {
    // Recommended packages would set up services of the machine, which no test needs.
    let mut install = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    install.extend(packages);
    if apt_get(&install)? {
        return Ok(());
    }
    println!("  fetches a newer list of packages");
    if !apt_get(&["update", "--quiet"])? || !apt_get(&install)? {
        bail!("apt-get does not install {}: what it said is above; it needs root", packages.join(" "));
    }
    Ok(())
}

/// Runs `apt-get`, whose output is shown; `false` where it failed.
fn apt_get(words: &[&str]) -> Result<bool> {
    let status = Command::new("apt-get").args(words).env("DEBIAN_FRONTEND", "noninteractive").status();
    Ok(status.context("run apt-get")?.success())
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
        assert!(error.to_string().contains("there are conformance, nix"), "{error}");
    }
}
