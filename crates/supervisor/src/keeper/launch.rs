//! Starting a program.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::{fs::fchown, process::CommandExt},
    process::{Command, Stdio},
};

use ports::{
    fault::Chain,
    supervisor::{Launch, Limits},
};
use rustix::process::{Pid, Signal};

use super::{notify::Ears, state::Keeper};
use crate::{
    account,
    cgroup::{Group, NoCgroups, Visit},
    environment,
    limits::{self, Borne},
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
        let attempted = format!("start {}", launch.program.display());
        let environment = prepare(&launch).map_err(|problem| Reply::Fault {
            permanent: true,
            attempted: attempted.clone(),
            problem,
        })?;
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
        self.keep_room(writer);
        let ears = self.ears.as_ref().filter(|_| writer == Writer::Service);
        let borne = Borne::take_on(&launch.manner.limits).map_err(|e| Reply::fault(&attempted, &e))?;
        let group = self.cgroup(writer);
        let visit = match &group {
            Some(group) => {
                Some(enter(group, &launch.manner.limits).map_err(|e| Reply::fault(&attempted, &e))?)
            }
            None => None,
        };
        let spawned = spawn(&launch, &environment, ears.map(Ears::address), log);
        drop((visit, borne));
        let counted = group.as_ref().is_some_and(Group::counts);
        if let Some(group) = group.filter(|_| counted)
            && let Err(error) = group.limit(&launch.manner.limits)
        {
            tracing::warn!(%error, "take back the room that the keeper had in a cgroup");
        }
        let pid = spawned.map_err(|source| not_started(&launch, &attempted, &source))?;
        if let Err(error) = limits::seal(&launch.manner.limits, pid, counted) {
            // It may be gone already; then its end will be seen.
            tracing::warn!(%error, pid, "limit a process");
        }
        // It cannot have been reaped yet: that is this thread's work. So the pid is still its own.
        let identity = processes::identify(pid).map_err(|e| {
            if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
                let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            }
            Reply::fault(&attempted, &e)
        })?;
        tracing::info!(pid, program = %launch.program.display(), fence = %launch.fence, "started");
        self.lane_mut(writer).up(identity, None);
        self.lane_mut(writer).environment = Some(environment);
        self.set_stage(writer, Stage::Running(identity));
        self.logs_due = std::time::Instant::now();
        Ok(identity)
    }
}

/// Makes the program's cgroup and enters it, for the time that it takes to start the program.
fn enter(group: &Group, limits: &Limits) -> Result<Visit, NoCgroups> {
    group.make(limits)?;
    group.enter()
}

/// The mark by which a later keeper finds out whether the exec took place.
fn begun() -> io::Result<Stage> {
    let session = rustix::process::getsid(None)?.as_raw_nonzero().get().cast_unsigned();
    Ok(Stage::Begun { session, ticks: processes::ticks() })
}

/// Looks at all that a start needs of its surroundings, so that what is missing there is not taken for the release's fault.
/// Returns the environment.
fn prepare(launch: &Launch) -> Result<BTreeMap<String, String>, String> {
    if let Some(account) = &launch.manner.account {
        account::may_become(account).map_err(|e| Chain(&e).to_string())?;
    }
    if let Some(obstacle) = limits::obstacle(&launch.manner.limits, launch.manner.account.as_ref()) {
        return Err(obstacle);
    }
    if !launch.working_directory.is_dir() {
        return Err(format!("working directory {} is not there", launch.working_directory.display()));
    }
    let mut environment = launch.environment.clone();
    let read = environment::read(&launch.manner.environment_files);
    environment.extend(read.map_err(|e| Chain(&e).to_string())?);
    Ok(environment)
}

/// Why the program did not run. What keeps an account from reaching it is not the program's fault.
fn not_started(launch: &Launch, attempted: &str, source: &io::Error) -> Reply {
    let denied = source.kind() == io::ErrorKind::PermissionDenied;
    if let Some(account) = launch.manner.account.as_ref().filter(|_| denied)
        && let Some(problem) = [&launch.working_directory, &launch.program]
            .into_iter()
            .find_map(|path| account::barrier(account, path))
    {
        return Reply::Fault { permanent: true, attempted: attempted.to_owned(), problem };
    }
    if lacks_means(source) {
        // What the host is short of, or gives too much of, is no word on the release.
        let permanent = source.kind() == io::ErrorKind::ArgumentListTooLong;
        return Reply::Fault { permanent, attempted: attempted.to_owned(), problem: source.to_string() };
    }
    Reply::Exec {
        program: launch.program.clone(),
        os_error: source.raw_os_error(),
        problem: source.to_string(),
    }
}

/// Processes, memory and files that are open; or an environment that is too long for the system.
fn lacks_means(source: &io::Error) -> bool {
    use rustix::io::Errno;
    let short = [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::TOOBIG];
    source.raw_os_error().is_some_and(|error| short.contains(&Errno::from_raw_os_error(error)))
}

/// Execs the program in a group of its own; returns its pid. An error means that it did not run at all.
fn spawn(
    launch: &Launch,
    environment: &BTreeMap<String, String>,
    notify: Option<String>,
    log: File,
) -> io::Result<u32> {
    let mut command = Command::new(&launch.program);
    if let Some(account) = launch.manner.account.as_ref().filter(|account| !account::is_own(account)) {
        // Whoever becomes another user this way leaves all other groups.
        command.uid(account.uid).gid(account.gid);
        // A program may open its standard output anew, by its name in /dev.
        fchown(&log, Some(account.uid), Some(account.gid))?;
    }
    let child = command
        .env_clear()
        .envs(environment)
        .envs(notify.map(|address| ("NOTIFY_SOCKET", address)))
        .current_dir(&launch.working_directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    Ok(child.id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn what_the_host_lacks_is_no_fault_of_the_program() {
        for errno in [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::TOOBIG] {
            assert!(lacks_means(&errno.into()), "{errno}");
        }
        for errno in [Errno::NOENT, Errno::NOEXEC, Errno::ACCESS, Errno::NOTDIR, Errno::LOOP] {
            assert!(!lacks_means(&errno.into()), "{errno}");
        }
    }
}
