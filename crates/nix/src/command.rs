//! Runs Nix's programs, each in bounded time, with nothing to answer questions from.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::Command,
    sync::OnceCell,
    time::timeout,
};

use crate::{Options, trouble::Trouble};

/// The oldest Nix that can be used.
const OLDEST: (u32, u32) = (2, 8);
/// Where Nix is, where the agent's own PATH does not have it.
const USUAL_PLACES: [&str; 4] =
    ["/run/current-system/sw/bin", "/nix/var/nix/profiles/default/bin", "/usr/local/bin", "/usr/bin"];
/// How many lines of what a program complained of are kept.
const LINES: usize = 40;
/// How much of one line is kept, in bytes.
const LINE_BYTES: usize = 4096;

/// A program of Nix that did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// It could not be run.
    #[error("run {}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It took too long and was killed.
    #[error("no end within {} s", .0.as_secs())]
    TooLong(Duration),
    /// It ended as it does when something went wrong.
    #[error("{}", self.complaint())]
    Ended {
        /// How, in words.
        how: String,
        /// What it said on its way, the last lines.
        said: Vec<String>,
    },
    /// It said something that this build cannot read.
    #[error("its answer cannot be read: {0}")]
    Unreadable(String),
}

impl Failed {
    /// What it said on its way.
    pub(crate) fn said(&self) -> &[String] {
        match self {
            Self::Ended { said, .. } => said,
            _ => &[],
        }
    }

    /// The line that tells most: the last error that is more than the name of what failed, or else the last line.
    fn complaint(&self) -> String {
        let Self::Ended { how, said } = self else { return String::new() };
        let mut errors = said.iter().rev().filter_map(|line| line.strip_prefix("error: "));
        let error = errors.clone().find(|error| !error.starts_with("build of "));
        match error.or(errors.next()).or(said.last().map(String::as_str)) {
            Some(line) => line.to_owned(),
            None => how.clone(),
        }
    }
}

/// Nix, as this host has it.
#[derive(Debug)]
pub(crate) struct Nix {
    options: Options,
    known: OnceCell<PathBuf>,
}

/// What a program is asked.
#[derive(Debug)]
pub(crate) struct Ask {
    program: &'static str,
    args: Vec<OsString>,
    limit: Duration,
}

impl Ask {
    /// The old program, whose words have not changed for years.
    pub(crate) fn store(limit: Duration) -> Self {
        Self { program: "nix-store", args: Vec::new(), limit }
    }

    /// The new one, for what the old one cannot say.
    pub(crate) fn nix(limit: Duration) -> Self {
        Self { program: "nix", args: Vec::new(), limit }
            .args(["--extra-experimental-features", "nix-command"])
    }

    pub(crate) fn args<T: Into<OsString>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// With a setting of Nix.
    pub(crate) fn option(self, name: &str, value: impl AsRef<str>) -> Self {
        self.args(["--option", name, value.as_ref()])
    }
}

impl Nix {
    pub(crate) fn new(options: Options) -> Self {
        Self { options, known: OnceCell::new() }
    }

    /// Runs it to its end and returns what it printed. `heard` gets each line that it complains with, and returns what of it is
    /// to be kept.
    pub(crate) async fn run(
        &self,
        ask: Ask,
        mut heard: impl FnMut(&str) -> Option<String> + Send,
    ) -> Result<String, Trouble> {
        let dir = self.known.get_or_try_init(|| self.find()).await?;
        let doing = format!("run {}", describe(&ask));
        self.run_in(dir, ask, &mut heard).await.map_err(Trouble::nix(doing))
    }

    /// The same, where its complaints are of interest only when it fails.
    pub(crate) async fn answer(&self, ask: Ask) -> Result<String, Trouble> {
        self.run(ask, |line| Some(line.to_owned())).await
    }

    async fn run_in(
        &self,
        dir: &Path,
        ask: Ask,
        heard: &mut (impl FnMut(&str) -> Option<String> + Send),
    ) -> Result<String, Failed> {
        let program = dir.join(ask.program);
        let limit = ask.limit;
        timeout(limit, self.run_for_ever(program, ask, heard)).await.unwrap_or(Err(Failed::TooLong(limit)))
    }

    async fn run_for_ever(
        &self,
        program: PathBuf,
        ask: Ask,
        heard: &mut (impl FnMut(&str) -> Option<String> + Send),
    ) -> Result<String, Failed> {
        let not_run = |source| Failed::Run { program: program.clone(), source };
        let mut command = Command::new(&program);
        command.args(&ask.args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true).env("NO_COLOR", "1").env("XDG_CACHE_HOME", &self.options.cache_dir);
        if let Some(around) = around(&self.options.store_dir) {
            command.env("NIX_STORE_DIR", &self.options.store_dir);
            command.env("NIX_STATE_DIR", around.join("var/nix"));
            command.env("NIX_LOG_DIR", around.join("var/log/nix"));
        }
        let mut child = command.spawn().map_err(not_run)?;
        let (mut out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let mut printed = Vec::new();
        let (read, said) = tokio::join!(out.read_to_end(&mut printed), listen(BufReader::new(err), heard));
        read.map_err(not_run)?;
        let status = child.wait().await.map_err(not_run)?;
        if !status.success() {
            return Err(Failed::Ended { how: status.to_string(), said });
        }
        String::from_utf8(printed).map_err(|error| Failed::Unreadable(error.to_string()))
    }

    /// Where Nix is; it is new enough.
    async fn find(&self) -> Result<PathBuf, Trouble> {
        let dir = place(self.options.nix_bin.as_deref())?;
        let ask = Ask::store(Duration::from_secs(20)).args(["--version"]);
        let said = self.run_in(&dir, ask, &mut |line| Some(line.to_owned())).await;
        judge(&dir, &said.map_err(Trouble::nix("ask Nix for its version"))?)?;
        Ok(dir)
    }
}

/// The directory that Nix's programs are in.
fn place(nix_bin: Option<&Path>) -> Result<PathBuf, Trouble> {
    let places: Vec<PathBuf> = match nix_bin {
        Some(dir) => vec![dir.to_owned()],
        None => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).chain(USUAL_PLACES.map(PathBuf::from)).collect()
        }
    };
    let found = places.iter().find(|dir| dir.join("nix-store").is_file()).cloned();
    found.ok_or_else(|| {
        let looked = places.iter().map(|dir| dir.display().to_string()).collect();
        Trouble::NixMissing { looked }
    })
}

/// Whether what calls itself this is new enough.
fn judge(dir: &Path, said: &str) -> Result<(), Trouble> {
    match version(said) {
        Some(found) if found < OLDEST => {
            let found = said.split_whitespace().last().unwrap_or_default().to_owned();
            Err(Trouble::NixTooOld { program: dir.join("nix-store"), found })
        }
        // What cannot be read is newer than all that was known.
        _ => Ok(()),
    }
}

/// Why no release can be staged or started with the Nix of this host, looked for as an agent would; nothing where it will do. Blocks until
/// Nix has said its version.
#[must_use]
pub fn obstacle(nix_bin: Option<&Path>) -> Option<String> {
    let checked = place(nix_bin).and_then(|dir| {
        let program = dir.join("nix-store");
        let said = std::process::Command::new(&program).arg("--version").stdin(Stdio::null()).output();
        let said = said.map_err(|source| Failed::Run { program, source });
        let said = said.map_err(Trouble::nix("ask Nix for its version"))?;
        judge(&dir, &String::from_utf8_lossy(&said.stdout))
    });
    checked.err().map(|trouble| ports::fault::Chain(&trouble).to_string())
}

/// The directory around that of a store that is not the usual one.
fn around(store_dir: &Path) -> Option<&Path> {
    (store_dir != Path::new(crate::USUAL_STORE)).then(|| store_dir.parent()).flatten()
}

fn describe(ask: &Ask) -> String {
    let words = ask.args.iter().filter_map(|arg| arg.to_str());
    let verb = words.clone().find(|word| word.starts_with("--") && !word.starts_with("--extra"));
    let verb = match ask.program {
        "nix" => words.skip(2).find(|word| !word.starts_with("--")),
        _ => verb,
    };
    format!("{} {}", ask.program, verb.unwrap_or_default())
}

/// The first two numbers of `nix-store (Nix) 2.8.0`.
fn version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.split_whitespace().last()?.split('.');
    let number = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    Some((number(numbers.next()?)?, number(numbers.next()?)?))
}

/// Reads complaints to their end, and keeps the last of those that are to be kept.
async fn listen(
    mut err: impl AsyncBufRead + Unpin,
    heard: &mut (impl FnMut(&str) -> Option<String> + Send),
) -> Vec<String> {
    let mut said = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        match err.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return said,
            Ok(_) => (),
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if !text.is_empty()
            && let Some(text) = heard(text)
        {
            let end = text.floor_char_boundary(LINE_BYTES);
            said.push(text[..end].to_owned());
            if said.len() > LINES {
                said.remove(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_all_that_call_themselves_nix() {
        for (said, expected) in [
            ("nix-store (Nix) 2.8.0\n", Some((2, 8))),
            ("nix-store (Nix) 2.34.8", Some((2, 34))),
            ("nix-store (Nix) 2.4pre20210601_5985b8b", Some((2, 4))),
            ("nix-store (Lix, like Nix) 2.93.0", Some((2, 93))),
            ("nix-store (Nix) 3.0", Some((3, 0))),
            ("something else", None),
            ("", None),
        ] {
            assert_eq!(version(said), expected, "{said}");
        }
    }

    #[test]
    fn a_failure_is_told_by_its_last_error() {
        let ended = |said: &[&str]| Failed::Ended {
            how: "exit status: 1".into(),
            said: said.iter().map(|line| (*line).to_owned()).collect(),
        };
        assert_eq!(ended(&[]).to_string(), "exit status: 1");
        assert_eq!(ended(&["error: why", "error: build of 'x' failed"]).to_string(), "why");
        assert_eq!(ended(&["error: build of 'x' failed"]).to_string(), "build of 'x' failed");
        assert_eq!(ended(&["warning: x", "error: one", "error: two", "       more"]).to_string(), "two");
        assert_eq!(
            ended(&["don't know how to build these paths:", "  /nix/store/x"]).to_string(),
            "  /nix/store/x"
        );
    }

    #[test]
    fn only_another_store_than_the_usual_is_told_where_it_is() {
        assert_eq!(around(Path::new("/nix/store")), None);
        assert_eq!(around(Path::new("/tmp/x/nix/store")), Some(Path::new("/tmp/x/nix")));
    }
}
