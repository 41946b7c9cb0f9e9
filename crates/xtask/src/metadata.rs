//! What `cargo metadata` says about the workspace, as far as the checks need it.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::shell::{Shell, describe};

/// The workspace and, when asked for, all crates that it is built from.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_root: PathBuf,
    pub(crate) target_directory: PathBuf,
    workspace_members: BTreeSet<String>,
}

/// One crate, ours or theirs.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) description: Option<String>,
    /// Where it comes from; none when it is a folder.
    pub(crate) source: Option<String>,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

/// One line of a `[dependencies]` table.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Option<Kind>,
    /// The folder it is in; none when it comes from a registry.
    pub(crate) path: Option<PathBuf>,
}

/// Which table a dependency stands in; the normal one has no kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Dev,
    Build,
}

/// One thing that a crate is compiled into.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) kind: Vec<String>,
    pub(crate) src_path: PathBuf,
}

impl Metadata {
    /// Our own crates only; needs neither network nor lock file.
    pub(crate) fn of_workspace(shell: &Shell) -> Result<Self> {
        Self::ask(shell, &["--no-deps"])
    }

    /// Our crates and everything they are built from, on any platform.
    pub(crate) fn of_everything(shell: &Shell) -> Result<Self> {
        Self::ask(shell, &["--locked", "--all-features"])
    }

    fn ask(shell: &Shell, args: &[&str]) -> Result<Self> {
        let mut command = shell.cargo(["metadata", "--format-version", "1"]);
        command.args(args);
        let what = describe(&command);
        let output = command.output().with_context(|| format!("start {what}"))?;
        ensure!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr).trim_end());
        serde_json::from_slice(&output.stdout).with_context(|| format!("read the answer of {what}"))
    }

    /// The crates of the workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.is_member(package))
    }

    /// Whether a crate is one of ours.
    pub(crate) fn is_member(&self, package: &Package) -> bool {
        self.workspace_members.contains(&package.id)
    }

    /// A path as seen from the root of the workspace.
    pub(crate) fn relative<'a>(&self, path: &'a std::path::Path) -> &'a std::path::Path {
        path.strip_prefix(&self.workspace_root).unwrap_or(path)
    }
}

impl Dependency {
    /// The table it stands in.
    pub(crate) fn table(&self) -> &'static str {
        match self.kind {
            None => "[dependencies]",
            Some(Kind::Dev) => "[dev-dependencies]",
            Some(Kind::Build) => "[build-dependencies]",
        }
    }
}
