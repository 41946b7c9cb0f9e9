//! Makes one observation of several. The rules are in the [folder's](super) words.

use model::Fence;
use ports::supervisor::{Observation, Process};

/// What `all` keepers see, as one; so many of them are `present`.
pub(super) fn observation(all: &[Observation], present: usize) -> Observation {
    let fence = all.iter().filter_map(|one| one.fence).max();
    // One beyond the number that runs all the same is nobody's friend, and is not hidden.
    let counts = |(number, one): &(usize, &Observation)| *number < present || one.process != Process::Stopped;
    let parts: Vec<Process> =
        all.iter().enumerate().filter(counts).map(|(_, one)| one.process.clone()).collect();
    Observation {
        // Of all that there may ever be, so that it never falls when their number does.
        change: all.iter().map(|one| one.change).sum(),
        process: process(&parts, fence),
        migration: all.first().and_then(|first| first.migration.clone()),
        fence,
        instances: if parts.len() > 1 { parts } else { Vec::new() },
    }
}

fn process(parts: &[Process], newest: Option<Fence>) -> Process {
    let restarted = parts.iter().map(restarts).sum();
    let exited = parts.iter().find_map(|part| match part {
        Process::Exited { release, fence, exit, note, .. } => Some(Process::Exited {
            release: release.clone(),
            fence: *fence,
            exit: exit.clone(),
            restarts: restarted,
            note: note.clone(),
        }),
        Process::Stopped | Process::Running { .. } => None,
    });
    if let Some(exited) = exited {
        return exited;
    }
    let running: Vec<&Process> = parts.iter().filter(|part| is_running(part)).collect();
    let oldest = running.iter().min_by_key(|part| started(part)).copied();
    let Some(Process::Running { release, fence, pid, .. }) = oldest else { return Process::Stopped };
    let starts = running.len() < parts.len()
        && running.iter().all(|part| started(part) == Some((*fence, release)))
        && newest == Some(*fence);
    if starts {
        return Process::Stopped;
    }
    let unready = running.iter().find(|part| !matches!(part, Process::Running { ready: true, .. }));
    let speaks = unready.or(running.first());
    let status = match speaks {
        Some(Process::Running { status, .. }) => status.clone(),
        _ => None,
    };
    Process::Running {
        release: release.clone(),
        fence: *fence,
        pid: *pid,
        restarts: restarted,
        ready: unready.is_none(),
        unheard: matches!(unready, Some(Process::Running { unheard: true, .. })),
        status,
    }
}

/// The fence and the release that one which runs was started with.
pub(super) fn started(process: &Process) -> Option<(Fence, &model::ReleaseId)> {
    match process {
        Process::Running { release, fence, .. } => Some((*fence, release)),
        Process::Stopped | Process::Exited { .. } => None,
    }
}

pub(super) fn is_running(process: &Process) -> bool {
    matches!(process, Process::Running { .. })
}

fn restarts(process: &Process) -> u32 {
    match process {
        Process::Running { restarts, .. } | Process::Exited { restarts, .. } => *restarts,
        Process::Stopped => 0,
    }
}

#[cfg(test)]
mod tests;
