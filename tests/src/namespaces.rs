//! Parts of a test in namespaces of their own: what it mounts is gone with its last process, however that ends, and clocks differ.

use std::{
    future::Future,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// Set for a test that runs in its own namespace already.
const INSIDE: &str = "DEPLOYINATOR_OWN_MOUNTS";
/// Runs `body` where it may mount: the test of this name is started once more, in a namespace of its own.
///
/// # Errors
/// The body's; or there is no namespace to be had, and `CI=true` says that there must be.
pub async fn with_own_mounts<F: Future<Output = Result<()>>>(
    name: &str,
    body: impl FnOnce() -> F,
) -> Result<()> {
    if std::env::var_os(INSIDE).is_some() {
        return body().await;
    }
    let Some(mut command) = namespace(&["--mount", "--propagation", "private"]) else {
        return skipped("this machine lets nobody mount");
    };
    command.arg(std::env::current_exe().context("find this program")?);
    command.args(["--exact", name, "--include-ignored", "--nocapture"]).env(INSIDE, "1");
    let mut child = tokio::process::Command::from(command);
    let status =
        child.kill_on_drop(true).status().await.context("start this test in a namespace of its own")?;
    ensure!(status.success(), "in its own namespace the test ended with {status}");
    Ok(())
}

fn skipped(why: &str) -> Result<()> {
    ensure!(std::env::var("CI").as_deref() != Ok("true"), "{why}, and CI is to run every test");
    eprintln!("skipped: {why}");
    Ok(())
}

/// What a program is run under so that its boot-time and monotonic clocks are this far ahead of ours; nothing where nobody may do that.
///
/// # Errors
/// Nobody may, and `CI=true` says that every test is to be run.
pub fn ahead_by_secs(seconds: u64) -> Result<Option<Vec<String>>> {
    let ahead = seconds.to_string();
    let Some(command) = namespace(&["--time", "--boottime", &ahead, "--monotonic", &ahead]) else {
        return skipped("this machine lets nobody change clocks").map(|()| None);
    };
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    Ok(Some(words.map(|word| word.to_string_lossy().into_owned()).collect()))
}

/// `unshare` with these arguments, as far as this user may.
pub(crate) fn namespace(arguments: &[&str]) -> Option<Command> {
    let as_root: &[&str] = &["--user", "--map-root-user"];
    [&[], as_root].into_iter().find_map(|first| {
        let command = || {
            let mut command = Command::new("unshare");
            command.args(first).args(arguments).arg("--");
            command
        };
        let mut tried = command();
        let tried =
            tried.arg("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success()).then(command)
    })
}
