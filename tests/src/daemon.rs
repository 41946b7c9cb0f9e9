//! One agent that is expected to end by itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result};
use tokio::{process::Command, time::timeout};

use crate::stage::PATIENCE;

/// One agent that is expected to end by itself.
pub struct OneDaemon {
    program: PathBuf,
    /// Its configuration file.
    pub config: PathBuf,
    /// What is added to its environment.
    pub environment: Vec<(String, String)>,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// What it said.
    pub said: String,
}

impl OneDaemon {
    /// `program run --config config`.
    #[must_use]
    pub fn new(program: &Path, config: &Path) -> Self {
        Self { program: program.to_owned(), config: config.to_owned(), environment: Vec::new() }
    }

    /// Replaces a part of its configuration, which must be there.
    ///
    /// # Errors
    /// It is not there.
    pub fn replace(&self, part: &str, with: &str) -> Result<()> {
        let text = fs::read_to_string(&self.config)?;
        anyhow::ensure!(text.contains(part), "{part:?} is not in the configuration:\n{text}");
        Ok(fs::write(&self.config, text.replace(part, with))?)
    }

    /// Runs it until it ends by itself.
    ///
    /// # Errors
    /// It does not end.
    pub async fn ends(&self) -> Result<Ended> {
        self.asked_to("run").await
    }

    /// Has it check its configuration.
    ///
    /// # Errors
    /// It does not end.
    pub async fn checks(&self) -> Result<Ended> {
        self.asked_to("check").await
    }

    async fn asked_to(&self, verb: &str) -> Result<Ended> {
        let mut command = Command::new(&self.program);
        command.envs(self.environment.iter().cloned());
        command.arg(verb).arg("--config").arg(&self.config).stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(PATIENCE, command.output())
            .await
            .with_context(|| format!("waited {PATIENCE:?} until the agent ended by itself"))?
            .context("run the agent")?;
        let said =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        let code = output.status.code().with_context(|| format!("ended by {}\n{said}", output.status))?;
        Ok(Ended { code, said })
    }
}
