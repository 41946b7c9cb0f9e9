//! Starting a keeper that outlives its caller.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
    process::Stdio,
    time::Instant,
};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::{
    net::UnixStream,
    process::{Child, Command},
};

use super::{ANSWER_LIMIT, KeeperClient, TRY_AGAIN, call};
use crate::{logs, processes::PRETENDED_BOOT};

/// A keeper's log is begun anew by the client that finds it longer than this, in bytes.
const OWN_LOG_LIMIT_BYTES: u64 = 1 << 20;
/// Most of the keeper's last words that go into an error, in bytes.
const LAST_WORDS_BYTES: u64 = 2 << 10;
/// What a keeper inherits of the environment; a service inherits nothing of it.
const INHERITED: [&str; 4] = ["PATH", "RUST_LOG", "RUST_BACKTRACE", PRETENDED_BOOT];

impl KeeperClient {
    /// Starts a keeper and connects to it, or to one that another client started meanwhile.
    pub(super) async fn spawn(&self) -> io::Result<UnixStream> {
        let _one_at_a_time = self.starting.lock().await;
        let dir = &self.options.dir;
        if let Ok(stream) = call::connect(dir).await {
            return Ok(stream);
        }
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
        let log = own_log(dir)?;
        let said_before = log.metadata()?.len();
        let mut child = self.launch(&log)?;
        let until = Instant::now() + ANSWER_LIMIT;
        let mut ended = None;
        loop {
            if let Ok(stream) = call::connect(dir).await {
                // Waited for only so that it does not stay as a zombie when it ends before us.
                tokio::spawn(async move { child.wait().await });
                return Ok(stream);
            }
            if let Some(status) = ended {
                return Err(io::Error::other(format!(
                    "the keeper ended ({status}){}",
                    words(dir, said_before)
                )));
            }
            if Instant::now() >= until {
                let problem = format!("the keeper did not come up within {ANSWER_LIMIT:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, problem));
            }
            // Looked at before the next try to connect: another client's keeper may have been quicker.
            ended = child.try_wait()?;
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    fn launch(&self, log: &File) -> io::Result<Child> {
        let [program, arguments @ ..] = &self.options.keeper_command[..] else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "no command was given that runs a keeper",
            ));
        };
        let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let mut ran = Path::new(program);
        let mut child = command(ran, arguments, log)?.spawn();
        if let Some(otherwise) = self.options.otherwise.as_deref().filter(|_| child.as_ref().is_err_and(gone))
        {
            tracing::warn!(gone = %ran.display(), instead = %otherwise.display(), "the keeper's program is gone");
            ran = otherwise;
            child = command(ran, arguments, log)?.spawn();
        }
        let child = child.map_err(|e| io::Error::new(e.kind(), format!("run {}: {e}", ran.display())))?;
        self.limit(&child);
        Ok(child)
    }

    /// It starts nothing before it has been asked to, so that this comes in time.
    fn limit(&self, child: &Child) {
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let Some((pid, files)) = pid.zip(self.options.open_files) else { return };
        let maximum = getrlimit(Resource::Nofile).maximum;
        if let Err(error) = prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(files), maximum }) {
            tracing::warn!(%error, files, "limit the open files of a keeper");
        }
    }
}

fn command(program: &Path, arguments: &[OsString], log: &File) -> io::Result<Command> {
    let inherited = INHERITED.iter().filter_map(|key| Some((key, std::env::var_os(key)?)));
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(inherited).current_dir("/");
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?).kill_on_drop(false);
    Ok(command)
}

fn own_log(dir: &Path) -> io::Result<File> {
    let file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(dir.join(logs::OWN))?;
    if file.metadata()?.len() > OWN_LOG_LIMIT_BYTES {
        file.set_len(0)?;
    }
    Ok(file)
}

/// What the keeper said since its start, on one line.
fn words(dir: &Path, said_before: u64) -> String {
    let read = || {
        let mut file = File::open(dir.join(logs::OWN))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(said_before.max(length.saturating_sub(LAST_WORDS_BYTES))))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        io::Result::Ok(String::from_utf8_lossy(&text).trim().replace('\n', "; "))
    };
    match read() {
        Ok(said) if !said.is_empty() => format!(": {said}"),
        _ => format!(" without a word in {}", dir.join(logs::OWN).display()),
    }
}
