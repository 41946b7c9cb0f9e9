//! Processes of a stage besides the agents: keepers and services.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use demo::{fleet::Agent, reaper};
use rustix::process::{Pid, Signal, kill_process};

/// The keeper of the service on an agent's host.
///
/// # Errors
/// There is none.
pub fn keeper_of(agent: &Agent) -> Result<Pid> {
    let keeper = |pid: &Pid| is_keeper(*pid) && reaper::is_of(*pid, &agent.state);
    reaper::descendants().into_iter().find(keeper).with_context(|| format!("a keeper on {}", agent.host))
}

fn is_keeper(pid: Pid) -> bool {
    let arguments = fs::read(Path::new("/proc").join(pid.as_raw_nonzero().to_string()).join("cmdline"));
    arguments.is_ok_and(|arguments| arguments.split(|byte| *byte == 0).nth(1) == Some(b"keeper"))
}

/// The service on an agent's host, as the system has it.
///
/// # Errors
/// There is none.
pub fn service_pid(agent: &Agent) -> Result<u32> {
    service_pids(agent).first().copied().with_context(|| format!("a service on {}", agent.host))
}

/// All processes of the service on an agent's host, as the system has them.
#[must_use]
pub fn service_pids(agent: &Agent) -> Vec<u32> {
    let service = |pid: &Pid| !is_keeper(*pid) && reaper::is_of(*pid, &agent.state);
    let found = reaper::descendants().into_iter().filter(service);
    let mut pids: Vec<u32> = found.map(|pid| pid.as_raw_nonzero().get().unsigned_abs()).collect();
    pids.sort_unstable();
    pids
}

/// Sends a signal.
///
/// # Errors
/// The process is gone.
pub fn signal(pid: Pid, signal: Signal) -> Result<()> {
    Ok(kill_process(pid, signal)?)
}

/// Memory that a process has in use, in MiB.
///
/// # Errors
/// It is gone.
pub fn memory_mib(pid: Pid) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a size in memory")?;
    let kib = line.split_whitespace().next().context("a number")?;
    Ok(kib.parse::<u64>()? / 1024)
}
