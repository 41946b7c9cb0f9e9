//! Builds binaries of ours, and says where they are.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::shell::{Shell, describe};

/// Builds all binaries of these packages, and says where the one of this name is; nothing when cargo has already said
/// why it was not built.
pub(crate) fn executable(
    shell: &Shell,
    packages: &[&str],
    release: bool,
    name: &str,
) -> Result<Option<PathBuf>> {
    let mut command = shell.cargo(["build", "--quiet", "--bins"]);
    command.args(packages.iter().flat_map(|package| ["-p", package]));
    if release {
        command.arg("--release");
    }
    built(command, name)
}

/// Builds the whole workspace with the clients of AWS in it: always as `cargo build-aws` does, so that they are compiled once.
pub(crate) fn executable_with_aws(shell: &Shell, release: bool, name: &str) -> Result<Option<PathBuf>> {
    let mut command = shell.cargo(["build-aws", "--quiet"]);
    if release {
        command.arg("--release");
    }
    built(command, name)
}

/// What a build with the clients of AWS and all that is tested with them has: always the same, so that they are compiled once.
pub(crate) const WITH_AWS: &str = "agent/aws,aws/one-build,tests/aws,tests/lab";

/// Builds all binaries of the workspace, as its tests are built, so that nothing is compiled twice.
pub(crate) fn executable_of_workspace(shell: &Shell, name: &str) -> Result<Option<PathBuf>> {
    // With one test among them, dependencies have the features that tests ask for.
    built(shell.cargo(["build", "--quiet", "--locked", "--workspace", "--bins", "--test", "kill"]), name)
}

/// Runs a build, and says where the binary of this name came out of it; nothing when cargo has already said why it did not.
pub(crate) fn built(mut command: Command, name: &str) -> Result<Option<PathBuf>> {
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let what = describe(&command);
    let output = command.output().with_context(|| format!("start {what}"))?;
    if !output.status.success() {
        return Ok(None);
    }
    let binary = find(&String::from_utf8_lossy(&output.stdout), name);
    ensure!(binary.is_some(), "{what}: no binary named {name} came out of it");
    Ok(binary)
}

/// One line of cargo's account of a build. Cargo is asked, because the target directory and the folder in it
/// depend on settings of the user.
#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

fn find(messages: &str, name: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    messages
        .filter(|message| message.target.as_ref().is_some_and(|target| target.name == name))
        .find_map(|m| m.executable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_found_where_cargo_says_it_is() {
        let messages = r#"
            {"reason":"compiler-artifact","target":{"name":"deployinator-demo"},"executable":null}
            {"reason":"compiler-artifact","target":{"name":"deployinatord"},"executable":"/t/x86/debug/deployinatord"}
            {"reason":"compiler-artifact","target":{"name":"deployinator-demo"},"executable":"/t/x86/debug/deployinator-demo"}
            {"reason":"build-finished","success":true}"#;
        assert_eq!(find(messages, "deployinator-demo"), Some("/t/x86/debug/deployinator-demo".into()));
        assert_eq!(find(messages, "other"), None);
    }
}
