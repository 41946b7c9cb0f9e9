//! `cargo demo`: builds the agent, the command line and the demo, and becomes the demo.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::shell::{Shell, describe};

/// The demo's binary. It expects the agent and the command line beside it.
const DEMO: &str = "deployinator-demo";

/// Builds what the demo needs and becomes it; returns only when that does not work.
pub(crate) fn demo(shell: &Shell, release: bool, args: &[OsString]) -> Result<ExitCode> {
    eprintln!("cargo demo: building; the first time takes minutes");
    let Some(binary) = build(shell, release)? else { return Ok(ExitCode::FAILURE) };
    // The working directory stays the caller's, so that paths among the arguments mean what they say.
    let error = Command::new(&binary).args(args).exec();
    Err(error).with_context(|| format!("run {}", binary.display()))
}

/// Where the demo was built, or nothing when cargo has already said why it was not.
fn build(shell: &Shell, release: bool) -> Result<Option<PathBuf>> {
    let mut command = shell.cargo(["build", "--quiet", "--bins", "-p", "agent", "-p", "cli", "-p", "demo"]);
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    if release {
        command.arg("--release");
    }
    let what = describe(&command);
    let output = command.output().with_context(|| format!("start {what}"))?;
    if !output.status.success() {
        return Ok(None);
    }
    let binary = executable(&String::from_utf8_lossy(&output.stdout), DEMO);
    ensure!(binary.is_some(), "{what}: no binary named {DEMO} came out of it");
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

fn executable(messages: &str, name: &str) -> Option<PathBuf> {
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
        assert_eq!(executable(messages, DEMO), Some("/t/x86/debug/deployinator-demo".into()));
        assert_eq!(executable(messages, "other"), None);
    }
}
