//! A program that probes a service: exit code 0 passes.
//!
//! Promise: one at a time; when a probe has ended, however it ended, nothing that it started runs any more, unless that left the
//! program's process group on purpose. An agent that is killed leaves the program to itself, which then ends on its own terms.
//! Absent on purpose: a shell. Whoever wants one names it.

use std::{
    convert::Infallible,
    future::pending,
    io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use ports::prober::ProbeFailure;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::{net::unix::pipe, sync::Mutex, task, time};

use crate::{Find, Surroundings, words::shown};

/// What is kept of the end of a program's output, in bytes.
const KEPT_BYTES: usize = 4096;
/// Most of its last line that becomes a reason, in characters.
const REASON_LIMIT: usize = 300;
/// How long what was killed may take to be gone.
const GONE_LIMIT: Duration = Duration::from_secs(1);

/// Runs programs, one at a time.
pub(crate) struct Runner {
    surroundings: Arc<Find>,
    turn: Mutex<()>,
}

impl Runner {
    pub(crate) fn new(surroundings: Arc<Find>) -> Self {
        Self { surroundings, turn: Mutex::new(()) }
    }

    /// Runs `argv`, and says how it ended. Asked while another one runs, it waits for the end of that.
    pub(crate) async fn run(&self, argv: &[String], timeout: Duration) -> Result<(), ProbeFailure> {
        let [program, arguments @ ..] = argv else {
            return Err(ProbeFailure::Unasked("no program was named".into()));
        };
        let _turn = self.turn.lock().await;
        let failed = |why: String| ProbeFailure::Unasked(format!("run {program}: {why}"));
        let find = self.surroundings.clone();
        let found = task::spawn_blocking(move || find()).await.map_err(|error| failed(error.to_string()))?;
        let begun = begin(program, arguments, &found.map_err(failed)?);
        let (mut group, mut output) = begun.map_err(|error| failed(why(&error)))?;
        let ended = tokio::select! {
            ended = time::timeout(timeout, group.ended()) => ended,
            never = output.read_on() => match never {},
        };
        // Before its head is reaped, so that the group is still its own.
        group.kill();
        let Ok(ended) = ended else {
            // Gone before the next one begins, as far as that can be waited for.
            let _ = time::timeout(GONE_LIMIT, group.ended()).await;
            return Err(ProbeFailure::Missed(format!(
                "{program} did not end within {}{}",
                shown(timeout),
                output.last_words()
            )));
        };
        let status = ended.and_then(|()| group.reap());
        match status.map_err(|error| ProbeFailure::Unasked(format!("wait for {program}: {error}")))? {
            status if status.success() => Ok(()),
            status => Err(ProbeFailure::Missed(format!("{program} {}{}", how(status), output.last_words()))),
        }
    }
}

fn begin(program: &str, arguments: &[String], surroundings: &Surroundings) -> io::Result<(Group, Output)> {
    let (read, write) = io::pipe()?;
    let mut command = Command::new(program);
    if let Some(account) = &surroundings.account {
        // Whoever becomes another user this way leaves all other groups.
        command.uid(account.uid).gid(account.gid);
    }
    // The command has ends of the pipe too, until it is dropped here.
    let child = command
        .args(arguments)
        .env_clear()
        .envs(&surroundings.environment)
        .current_dir(surroundings.working_directory.as_deref().unwrap_or(Path::new("/")))
        .stdin(Stdio::null())
        .stdout(write.try_clone()?)
        .stderr(write)
        .process_group(0)
        .spawn()?;
    let group = Group::new(child)?;
    Ok((group, Output { pipe: pipe::Receiver::from_owned_fd(read.into())?, kept: Vec::new() }))
}

/// The process group of a program. Dropping it kills what is left of it.
struct Group {
    head: Pid,
    /// The program, until it was reaped.
    child: Option<Child>,
}

impl Group {
    fn new(child: Child) -> io::Result<Self> {
        let head = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let head = head.ok_or_else(|| io::Error::other("the system gave it no process id"))?;
        Ok(Self { head, child: Some(child) })
    }

    /// Waits for the end of the program, and leaves it to be reaped.
    async fn ended(&self) -> io::Result<()> {
        let head = self.head;
        let wait = move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            rustix::io::retry_on_intr(|| waitid(WaitId::Pid(head), options))
        };
        let waited = task::spawn_blocking(wait).await.map_err(io::Error::other)?;
        Ok(waited.map(drop)?)
    }

    fn kill(&self) {
        if self.child.is_some() {
            // Nothing is left: as wanted.
            let _ = kill_process_group(self.head, Signal::KILL);
        }
    }

    /// Takes the exit status of a program that has ended.
    fn reap(&mut self) -> io::Result<ExitStatus> {
        let mut child = self.child.take().ok_or_else(|| io::Error::other("its end was taken before"))?;
        child.wait()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        if let Some(mut child) = self.child.take()
            && !matches!(child.try_wait(), Ok(Some(_)))
        {
            // It was killed, so this ends; but when, is the system's affair.
            std::thread::spawn(move || child.wait());
        }
    }
}

/// The end of what a program says, on either of its outputs.
struct Output {
    pipe: pipe::Receiver,
    kept: Vec<u8>,
}

impl Output {
    /// Reads for as long as it is asked to.
    async fn read_on(&mut self) -> Infallible {
        let mut buffer = [0; KEPT_BYTES];
        loop {
            if self.pipe.readable().await.is_err() {
                return pending().await;
            }
            match self.pipe.try_read(&mut buffer) {
                Ok(0) => return pending().await,
                Ok(count) => self.keep(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return pending().await,
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        let surplus = self.kept.len().saturating_sub(KEPT_BYTES);
        self.kept.drain(..surplus);
    }

    /// The last line that says something, to be put after other words.
    fn last_words(&mut self) -> String {
        let mut buffer = [0; KEPT_BYTES];
        // What is in the pipe now is all that counts: whoever fled the group may hold it open, and write, for ever. Asked of the
        // system itself: the runtime may not have heard of it yet.
        for _ in 0..64 {
            match rustix::io::retry_on_intr(|| rustix::io::read(&self.pipe, &mut buffer[..])) {
                Ok(0) | Err(_) => break,
                Ok(count) => self.keep(&buffer[..count]),
            }
        }
        let text = String::from_utf8_lossy(&self.kept);
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
        line.map(|line| format!(": {}", printable(line))).unwrap_or_default()
    }
}

fn printable(line: &str) -> String {
    line.chars().filter(|letter| !letter.is_control()).take(REASON_LIMIT).collect()
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended, and nobody saw how".to_owned(),
    }
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such program".to_owned(),
        io::ErrorKind::PermissionDenied => "it may not be executed".to_owned(),
        _ => error.to_string(),
    }
}
