//! Starting a program.

use std::{
    fs::File,
    io,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use ports::supervisor::Launch;
use rustix::process::{Pid, Signal};

use super::{notify::Ears, state::Keeper};
use crate::{
    logs::Writer,
    processes::{self, Identity},
    protocol::Reply,
    record::{Run, Stage},
};

impl Keeper {
    /// Starts what the lane's run says. Its record is on disk, as about to begin, before the program is.
    /// When the program did not start, the caller puts the record right and publishes.
    pub(super) fn begin(&mut self, writer: Writer) -> Result<Identity, Reply> {
        let Some(launch) = self.run(writer).map(|run: &Run| run.launch.clone()) else {
            return Err(Reply::fault("start a program", &io::Error::other("no run was recorded")));
        };
        let program = launch.program.display();
        let attempted = format!("start {program}");
        self.record.attempts += 1;
        if writer == Writer::Service {
            let said = self.before_a_word(launch.manner.readiness);
            let said = said.map_err(|e| Reply::fault(format!("{attempted}: listen to it"), &e))?;
            if let Some(service) = &mut self.record.service {
                service.said = said;
            }
        }
        let stage = begun().map_err(|e| Reply::fault(&attempted, &e))?;
        self.set_stage(writer, stage);
        self.save().map_err(|e| Reply::fault(&attempted, &e))?;
        let log = self.logs.create(writer, launch.fence, self.record.attempts, &launch.release);
        let log = log.map_err(|e| Reply::fault(&attempted, &e))?;
        let ears = self.ears.as_ref().filter(|_| writer == Writer::Service);
        let pid = spawn(&launch, ears.map(Ears::address), log).map_err(|source| Reply::Exec {
            program: launch.program.clone(),
            os_error: source.raw_os_error(),
            problem: source.to_string(),
        })?;
        // It cannot have been reaped yet: that is this thread's work. So the pid is still its own.
        let identity = processes::identify(pid).map_err(|e| {
            if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
                let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            }
            Reply::fault(&attempted, &e)
        })?;
        tracing::info!(pid, program = %launch.program.display(), fence = %launch.fence, "started");
        self.lane_mut(writer).up(identity, None);
        self.set_stage(writer, Stage::Running(identity));
        self.logs_due = std::time::Instant::now();
        Ok(identity)
    }
}

/// The mark by which a later keeper finds out whether the exec took place.
fn begun() -> io::Result<Stage> {
    let session = rustix::process::getsid(None)?.as_raw_nonzero().get().cast_unsigned();
    Ok(Stage::Begun { session, ticks: processes::ticks() })
}

/// Execs the program in a group of its own; returns its pid. An error means that it did not run at all.
fn spawn(launch: &Launch, notify: Option<String>, log: File) -> io::Result<u32> {
    // An exec reports both as "no such file", and only one of them is the program.
    if !launch.working_directory.is_dir() {
        let problem = format!("working directory {} is not there", launch.working_directory.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, problem));
    }
    let child = Command::new(&launch.program)
        .env_clear()
        .envs(&launch.environment)
        .envs(notify.map(|address| ("NOTIFY_SOCKET", address)))
        .current_dir(&launch.working_directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    Ok(child.id())
}
