//! How other programs are run: from the root of the repository, without stdin.
//!
//! Children stay in our process group, so that Ctrl-C in a terminal reaches them as it reaches us.

use std::{
    ffi::OsStr,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

/// Where commands are run, and whether their output is shown while they run.
pub(crate) struct Shell {
    root: PathBuf,
    verbose: bool,
}

/// What a finished command left behind.
pub(crate) struct Ran {
    pub(crate) succeeded: bool,
    /// Its stdout and stderr, in the order written. Empty if it was shown already.
    pub(crate) unseen: String,
    /// All of its output, shown or not.
    pub(crate) output: String,
}

impl Shell {
    /// A shell at the root of the repository that this binary was built from.
    pub(crate) fn new(verbose: bool) -> Result<Self> {
        // `cargo run` says where the manifest is now; the path from the build can be that of another checkout.
        let manifest =
            std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest).join("../..");
        let root =
            root.canonicalize().with_context(|| format!("find the repository at {}", root.display()))?;
        Ok(Self { root, verbose })
    }

    /// The root of the repository.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether output is shown while commands run.
    pub(crate) fn verbose(&self) -> bool {
        self.verbose
    }

    /// A cargo command that sees the environment that we were started from. `cargo run` adds variables about
    /// this crate; build scripts that watch them would otherwise run again each time.
    pub(crate) fn cargo<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(is_about_this_crate) {
                command.env_remove(name);
            }
        }
        command.args(args).current_dir(&self.root).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end and collects its output.
    pub(crate) fn run(&self, mut command: Command) -> Result<Ran> {
        let what = describe(&command);
        let (reader, writer) = io::pipe().with_context(|| format!("make a pipe for {what}"))?;
        command.stdout(writer.try_clone().with_context(|| format!("make a pipe for {what}"))?).stderr(writer);
        let mut child = command.spawn().with_context(|| format!("start {what}"))?;
        drop(command); // holds the writing ends: with them open the pipe would never end
        let output = self.collect(reader).with_context(|| format!("read the output of {what}"))?;
        let status = child.wait().with_context(|| format!("wait for {what}"))?;
        let unseen = if self.verbose { String::new() } else { output.clone() };
        Ok(Ran { succeeded: status.success(), unseen, output })
    }

    fn collect(&self, reader: io::PipeReader) -> io::Result<String> {
        let mut reader = BufReader::new(reader);
        let mut output = Vec::new();
        loop {
            let from = output.len();
            if reader.read_until(b'\n', &mut output)? == 0 {
                return Ok(String::from_utf8_lossy(&output).into_owned());
            }
            if self.verbose {
                let mut stdout = io::stdout().lock();
                stdout.write_all(&output[from..])?;
                stdout.flush()?;
            }
        }
    }
}

fn is_about_this_crate(name: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// A command as a person would type it.
pub(crate) fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_are_collected_in_order_with_the_verdict() {
        let shell = Shell { root: ".".into(), verbose: false };
        let ran = shell.run(sh("echo one; echo two >&2; echo three; exit 4")).unwrap();
        assert!(!ran.succeeded);
        assert_eq!(ran.unseen, "one\ntwo\nthree\n");
        assert!(shell.run(sh("exit 0")).unwrap().succeeded);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let shell = Shell { root: ".".into(), verbose: false };
        let error = shell.run(Command::new("no-such-program")).err().expect("it ran");
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }

    #[test]
    fn only_what_cargo_says_about_this_crate_is_kept_from_children() {
        assert!(is_about_this_crate("CARGO_MANIFEST_DIR") && is_about_this_crate("CARGO_PKG_NAME"));
        assert!(!is_about_this_crate("CARGO_TARGET_DIR") && !is_about_this_crate("CARGO_HOME"));
    }
}
