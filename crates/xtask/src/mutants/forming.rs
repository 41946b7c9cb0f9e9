//! Rules of forming a cluster that are left out: two groups have to be found in the scenario of the same name.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::{Caught, SWITCH};

/// What the catalogue calls the promise that two groups never form.
pub(super) const PROMISE: &str = "forming";

/// Looks at every order of what can happen, first with the rule kept, which has to show nothing.
pub(super) fn run(binary: &Path, name: &str) -> Result<Option<Caught>> {
    if let Some(Caught { after, .. }) = look(binary, name, "")? {
        anyhow::bail!(
            "with no bug on, two groups form after {after}; `cargo xtask sim --forming --only {name}` shows it"
        );
    }
    look(binary, name, name)
}

fn look(binary: &Path, scenario: &str, planted: &str) -> Result<Option<Caught>> {
    let mut command = Command::new(binary);
    command.args(["--forming", "--planted", "--only", scenario]).env(SWITCH, planted).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("run {}", binary.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let caught = caught(&said);
    ensure!(
        output.status.success() != caught.is_some(),
        "{} with {planted} says neither that there never are two groups nor when: {said}{}",
        binary.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(caught)
}

/// Reads `  two groups, after 9 events:`, and the events below it.
fn caught(said: &str) -> Option<Caught> {
    let (_, rest) = said.split_once("  two groups, after ")?;
    let (after, rest) = rest.split_once(":\n")?;
    let events = rest.lines().take_while(|line| line.starts_with(' '));
    let story = events.map(|event| format!("\n{event}")).collect();
    Some(Caught { after: after.to_owned(), promise: PROMISE.to_owned(), story })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_simulator_says_is_read() {
        let said = "forming: a: 7 states\n  two groups, after 2 events:\n    1. one\n    2. other\nsim: forming: 7 states\n";
        let found = caught(said).unwrap();
        assert_eq!((found.after.as_str(), found.story.as_str()), ("2 events", "\n    1. one\n    2. other"));
        assert!(caught("sim: forming: 9 states, never two groups, 0 s").is_none());
    }
}
