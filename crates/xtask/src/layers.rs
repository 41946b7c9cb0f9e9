//! Which crate may depend on which: the arrows of the architecture, as a table.
//!
//! Promise: a crate that is not in the table, and an arrow that is not, fail the check, in every kind of
//! dependency. Absent on purpose: exceptions. A new arrow is a decision, and is recorded as one.

#[cfg(test)]
mod tests;

use anyhow::{Context, Result, ensure};

use crate::{
    metadata::{Dependency, Metadata, Package},
    shell::{Shell, describe},
    verify::{Problem, Verdict},
};

/// Every crate of ours, with those of ours that it may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("ports", &["model"]),
    ("api", &["model"]),
    ("raft", &["api", "model", "ports"]),
    ("aws", &["fakeaws", "model", "ports"]),
    ("channel", &["model", "ports"]),
    ("config", &["model", "ports"]),
    ("directory", &["model", "ports"]),
    ("localbalancer", &["model", "ports"]),
    ("nixstore", &["model", "ports"]),
    ("probe", &["model", "ports"]),
    ("supervisor", &["model", "ports"]),
    (
        "agent",
        &[
            "api",
            "aws",
            "channel",
            "config",
            "directory",
            "localbalancer",
            "model",
            "nixstore",
            "ports",
            "probe",
            "raft",
            "supervisor",
        ],
    ),
    ("cli", &["api", "config", "model"]),
    ("fakeaws", &["localbalancer", "ports"]),
    ("demo", &["api", "fakeaws", "localbalancer", "model", "ports"]),
    ("bench", &["api", "demo", "localbalancer", "model", "raft"]),
    ("tests", &["api", "demo", "fakeaws", "localbalancer", "model", "ports"]),
    ("sim", &["model"]),
    ("xtask", &[]),
    ("base2histogram", &[]),
];

/// Their crates that only some of ours may use, by the beginning of the name. So an outside interface that
/// changes costs us one crate.
const CONFINED: &[(&str, &[&str])] = &[
    ("aws-config", &["aws"]),
    ("aws-credential-types", &["aws"]),
    ("aws-sdk-", &["aws"]),
    ("aws-sigv4", &["aws"]),
    ("aws-smithy-", &["aws"]),
    ("openraft", &["raft"]),
    ("prost", &["api"]),
    ("redb", &["raft"]),
    ("tonic", &["agent", "api", "bench", "cli", "demo", "probe", "raft", "tests"]),
];

/// Our crates that may use nothing of theirs but this; tests may use more.
const PURE: [(&str, &[&str]); 1] = [("model", &["serde", "thiserror"])];

/// Their crates that are in no build that does not ask for them, by the beginning of the name: some take the compiler minutes.
const ASKED_FOR: [&str; 4] = ["aws-config", "aws-sdk-", "aws-sigv4", "aws-smithy-"];

/// Checks the workspace against the tables.
pub(crate) fn check(shell: &Shell) -> Result<Verdict> {
    let mut problems = problems(&Metadata::of_workspace(shell)?);
    problems.extend(uninvited(&default_build(shell)?));
    Ok(Verdict::from_problems(problems))
}

/// All crates that a build and its tests compile that ask for no feature, one a line.
fn default_build(shell: &Shell) -> Result<String> {
    let mut command =
        shell.cargo(["tree", "--workspace", "--edges", "all", "--prefix", "none", "--format", "{p}"]);
    command.arg("--locked");
    let what = describe(&command);
    let output = command.output().with_context(|| format!("start {what}"))?;
    ensure!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn uninvited(tree: &str) -> Option<Problem> {
    let found = tree.lines().find(|line| ASKED_FOR.iter().any(|name| line.starts_with(name)))?;
    let text = format!(
        "a build that asks for no feature compiles {found}, and with it minutes of other crates: make what needs it \
         optional, as the feature sdk of crates/aws does"
    );
    Some(Problem::of("Cargo.toml", text))
}

fn problems(metadata: &Metadata) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in metadata.members() {
        let manifest = metadata.relative(&package.manifest_path);
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name) else {
            let text = format!(
                "crate {} is not in the layers; decide which crates it may use, and add it to ARROWS in \
                 crates/xtask/src/layers.rs",
                package.name
            );
            problems.push(Problem::of(manifest, text));
            continue;
        };
        let found =
            package.dependencies.iter().filter_map(|dependency| refusal(package, dependency, allowed));
        problems.extend(found.map(|text| Problem::of(manifest, text)));
    }
    let is_gone = |name: &str| !metadata.members().any(|package| package.name == name);
    let gone = ARROWS.iter().filter(|(name, _)| is_gone(name));
    problems.extend(gone.map(|(name, _)| {
        Problem::of("crates/xtask/src/layers.rs", format!("crate {name} is gone; take it out of ARROWS"))
    }));
    problems
}

/// Why `package` may not have this dependency, if so.
fn refusal(package: &Package, dependency: &Dependency, allowed: &[&str]) -> Option<String> {
    let (from, to, table) = (&package.name, &dependency.name, dependency.table());
    if dependency.path.is_some() {
        return (!allowed.contains(&to.as_str())).then(|| {
            let allowed = if allowed.is_empty() { "none of ours".to_owned() } else { allowed.join(", ") };
            format!(
                "{from} -> {to} in {table} is not an arrow of the architecture: {from} may use {allowed}. Move the \
                 code to where the arrow exists; or, if the architecture has changed, write an ADR and change \
                 ARROWS in crates/xtask/src/layers.rs"
            )
        });
    }
    if let Some((what, users)) = CONFINED.iter().find(|(what, _)| to.starts_with(what))
        && !users.contains(&from.as_str())
    {
        return Some(format!(
            "{from} -> {to} in {table}: {what} is only for {}. Go through one of those; or, if the architecture has \
             changed, write an ADR and change CONFINED in crates/xtask/src/layers.rs",
            users.join(", ")
        ));
    }
    let (_, allowed) = PURE.iter().find(|(name, _)| name == from)?;
    (dependency.kind.is_none() && !allowed.contains(&to.as_str())).then(|| {
        format!(
            "{from} -> {to} in {table}: {from} is pure and uses only {}. Take what {to} gives as an argument, or do \
             it in an adapter behind a port",
            allowed.join(" and ")
        )
    })
}
