//! What we are built from: every crate of the lock file under a licence that we may pass on, and from the
//! registry. Versions that are in twice are a warning.
//!
//! Absent on purpose: advisories, whose database is not to be had without the network on every run, and
//! `cargo-deny`, which takes longer to compile than we do.

mod expression;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::Result;

use crate::{
    metadata::{Metadata, Package},
    shell::Shell,
    verify::{Problem, Verdict},
};

/// Licences that ask for no more than a notice. A licence with an exception is one of its own.
const ALLOWED: [&str; 8] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// The licence of each of our own crates.
const OURS: &str = "Apache-2.0";

/// How cargo names crates.io, whatever protocol or mirror it is reached by.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks every crate in the lock file.
pub(crate) fn check(shell: &Shell) -> Result<Verdict> {
    Ok(Verdict::from_problems(problems(&Metadata::of_everything(shell)?)))
}

fn problems(metadata: &Metadata) -> Vec<Problem> {
    let found =
        metadata.packages.iter().flat_map(|package| [licence(metadata, package), source(metadata, package)]);
    found.flatten().chain(duplicates(metadata)).collect()
}

fn licence(metadata: &Metadata, package: &Package) -> Option<Problem> {
    let problem = match (&package.license, metadata.is_member(package)) {
        (Some(licence), true) if licence == OURS => return None,
        (licence, true) => {
            format!("has the licence {}; ours is {OURS}", licence.as_deref().unwrap_or("of nobody"))
        }
        (None, false) => "states no licence; replace the crate".to_owned(),
        (Some(licence), false) => match expression::is_allowed(licence, &ALLOWED) {
            Ok(true) => return None,
            Ok(false) => format!(
                "licence {licence} is not one that we may pass on; replace the crate, or add the licence to ALLOWED in \
                 crates/xtask/src/dependencies.rs, with an ADR if it asks for more than a notice"
            ),
            Err(error) => format!("licence {licence}: {error}"),
        },
    };
    Some(locate(metadata, package, &problem))
}

fn source(metadata: &Metadata, package: &Package) -> Option<Problem> {
    let problem = match &package.source {
        Some(source) if source == REGISTRY => return None,
        Some(source) => {
            format!("comes from {source}; only crates.io is allowed, where a version never changes")
        }
        None if metadata.is_member(package) => return None,
        None => "is a folder outside the workspace, which nobody else has".to_owned(),
    };
    Some(locate(metadata, package, &problem))
}

/// A crate of ours is found by its manifest, one of theirs by its line in the lock file.
fn locate(metadata: &Metadata, package: &Package, problem: &str) -> Problem {
    let ours = metadata.is_member(package);
    let file = if ours { metadata.relative(&package.manifest_path) } else { Path::new("Cargo.lock") };
    Problem::of(file, format!("{} {} {problem}", package.name, package.version))
}

fn duplicates(metadata: &Metadata) -> Option<Problem> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in &metadata.packages {
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    let crates = versions.iter().map(|(name, versions)| {
        format!("{name} {}", versions.iter().copied().collect::<Vec<_>>().join(" + "))
    });
    let crates: Vec<_> = crates.collect();
    let text = format!("in more than one version: {}", crates.join(", "));
    (!crates.is_empty()).then(|| Problem::of("Cargo.lock", text).warn())
}
