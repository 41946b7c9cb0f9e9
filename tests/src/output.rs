//! The command line as it runs on and prints one object a line.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout},
    time::timeout,
};

use crate::stage::{PATIENCE, Stage};

/// A command that runs on. It is killed when this is dropped.
pub struct Output {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Every object that it printed, as far as it was waited for.
    pub seen: Vec<Value>,
}

impl Output {
    /// `deployinator ARGUMENTS --output json`, which asks the agents of a stage, in their order.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn start(stage: &Stage, arguments: &[&str]) -> Result<Self> {
        let mut command = tokio::process::Command::from(stage.fleet.cli());
        command.args(arguments).args(["--output", "json"]).stdin(Stdio::null());
        command.stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("run deployinator")?;
        let out = child.stdout.take().context("its output")?;
        Ok(Self { _child: child, lines: BufReader::new(out).lines(), seen: Vec::new() })
    }

    /// Reads on until it printed what `picks` takes.
    ///
    /// # Errors
    /// The deadline passed, or it ended before.
    pub async fn until(&mut self, what: &str, picks: impl Fn(&Value) -> bool) -> Result<Value> {
        let found = timeout(PATIENCE, async {
            while let Some(line) = self.lines.next_line().await? {
                let item: Value = serde_json::from_str(&line).with_context(|| format!("read {line:?}"))?;
                self.seen.push(item.clone());
                if picks(&item) {
                    return Ok(item);
                }
            }
            bail!("it ended, and never {what}")
        });
        let found = found.await.unwrap_or_else(|_| bail!("waited {PATIENCE:?} until {what}"));
        found.with_context(|| format!("seen: {:#?}", &self.seen[self.seen.len().saturating_sub(30)..]))
    }
}
