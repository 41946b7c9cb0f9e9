//! What a program may use, as the kernel's resource limits.
//!
//! A child has the limits of its parent from its first instruction, so the keeper takes them on while it starts a program, and lays
//! them aside afterwards. Lowering a hard limit cannot be undone without `CAP_SYS_RESOURCE`; without it the keeper changes only
//! its soft limits, and lowers the hard ones of the child once that runs.

use std::io;

use ports::supervisor::{Account, Limits};
use rustix::{
    process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit},
    thread::{CapabilitySet, capabilities},
};

use crate::account;

/// Limits that a child is born with, by their names in the configuration.
fn inherited(limits: &Limits) -> impl Iterator<Item = (&'static str, Resource, u64)> {
    [("open_files", Resource::Nofile, limits.open_files), ("core_bytes", Resource::Core, limits.core_bytes)]
        .into_iter()
        .filter_map(|(name, resource, value)| Some((name, resource, value?)))
}

/// Limits on what a child does later, so that they may be set when it runs.
fn later(limits: &Limits) -> Option<(Resource, u64)> {
    Some((Resource::Nproc, limits.processes?))
}

/// What keeps these limits from being set for a program of `account`, in words; none where nothing does.
#[must_use]
pub fn obstacle(limits: &Limits, account: Option<&Account>) -> Option<String> {
    if may_raise() {
        return None;
    }
    let asked = inherited(limits).chain(limits.processes.map(|value| ("processes", Resource::Nproc, value)));
    let too_much = asked.filter_map(|(name, resource, value)| {
        let most = getrlimit(resource).maximum.filter(|most| *most < value)?;
        Some(format!("limits.{name} = {value} is more than the {most} that the agent itself is allowed; raise its own limit"))
    });
    let anothers = limits.processes.filter(|_| account.is_some_and(|account| !account::is_own(account)));
    let anothers = anothers.map(|_| {
        "limits.processes of another user cannot be set by an agent that lacks CAP_SYS_RESOURCE".to_owned()
    });
    too_much.chain(anothers).next()
}

/// Whether this process may raise hard limits, and set those of others.
fn may_raise() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_RESOURCE))
}

/// Limits that this process has taken on for a child; laid aside when dropped.
#[derive(Debug, Default)]
pub(crate) struct Borne {
    before: Vec<(Resource, Rlimit)>,
}

impl Borne {
    /// Takes on what a child is to be born with.
    pub(crate) fn take_on(limits: &Limits) -> io::Result<Self> {
        let mut borne = Self::default();
        for (_, resource, value) in inherited(limits) {
            let before = getrlimit(resource);
            let maximum = if may_raise() { Some(value) } else { before.maximum };
            setrlimit(resource, Rlimit { current: Some(value), maximum })?;
            borne.before.push((resource, before));
        }
        Ok(borne)
    }
}

impl Drop for Borne {
    fn drop(&mut self) {
        for (resource, before) in self.before.drain(..) {
            if let Err(error) = setrlimit(resource, before) {
                tracing::error!(%error, ?resource, "lay a limit aside");
            }
        }
    }
}

/// Sets what is left to be set once the child runs. Its processes are counted where it has a cgroup, and need no limit here.
pub(crate) fn seal(limits: &Limits, child: u32, counted: bool) -> io::Result<()> {
    let child = Pid::from_raw(child.cast_signed());
    if let Some((resource, value)) = later(limits).filter(|_| !counted) {
        prlimit(child, resource, Rlimit { current: Some(value), maximum: Some(value) })?;
    }
    if may_raise() {
        return Ok(());
    }
    for (_, resource, value) in inherited(limits) {
        match prlimit(child, resource, Rlimit { current: Some(value), maximum: Some(value) }) {
            // Another user's process keeps the hard limit that it was born with.
            Err(rustix::io::Errno::PERM) => {}
            done => drop(done?),
        }
    }
    Ok(())
}
