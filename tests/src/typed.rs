//! What an operator types, and what is said to it.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::time::timeout;

use crate::stage::{PATIENCE, Stage};

/// `deployinator ARGUMENTS`, asked at some of the agents. Returns its exit code and all that it wrote.
///
/// # Errors
/// It cannot be run, or does not end in time.
pub async fn typed(stage: &Stage, at: &[usize], arguments: &str) -> Result<(i32, String)> {
    let mut command = tokio::process::Command::from(stage.fleet.cli());
    let agents: Vec<String> =
        at.iter().map(|number| stage.fleet.agents[*number].address.to_string()).collect();
    command.env("DEPLOYINATOR_AGENTS", agents.join(",")).env("USER", "ann");
    command.args(arguments.split(' ')).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE * 2, command.output()).await;
    let output = output.with_context(|| format!("waited until `{arguments}` ended"))??;
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok((output.status.code().context("an exit code")?, text))
}

/// The same, expected to be done.
///
/// # Errors
/// It was not.
pub async fn done(stage: &Stage, at: &[usize], arguments: &str) -> Result<String> {
    let (code, text) = typed(stage, at, arguments).await?;
    ensure!(code == 0, "`{arguments}` ended with {code}: {text}");
    Ok(text)
}
