//! What the ports report, in the host machine's words.

use model::host::{
    Denied, ExitSeen, FaultSeen, FaultWord, MigrationSeen, Miss, Observed, ProcessSeen, StandingSeen,
};
use ports::{
    Fault, FaultKind, Standing,
    fault::Chain,
    prober::ProbeFailure,
    supervisor::{Exit, MigrationRun, Observation, Process, SupervisorError},
};

pub(super) fn fault(fault: &Fault) -> FaultSeen {
    let kind = match fault.kind {
        FaultKind::Throttled => FaultWord::Throttled,
        FaultKind::Transient => FaultWord::Transient,
        FaultKind::Permanent => FaultWord::Permanent,
    };
    FaultSeen { kind, text: Chain(fault).to_string() }
}

pub(super) fn standing(standing: Standing) -> StandingSeen {
    match standing {
        Standing::Absent => StandingSeen::Absent,
        Standing::Initial => StandingSeen::Initial,
        Standing::InService => StandingSeen::InService,
        Standing::Unhealthy { reason } => StandingSeen::Unhealthy { reason },
        Standing::Draining => StandingSeen::Draining,
    }
}

fn exit(exit: &Exit) -> ExitSeen {
    match exit {
        Exit::Code(code) => ExitSeen::Code(*code),
        Exit::Signal(signal) => ExitSeen::Signal(*signal),
        Exit::Unknown => ExitSeen::Unknown,
    }
}

fn process(process: Process) -> ProcessSeen {
    match process {
        Process::Stopped => ProcessSeen::Stopped,
        Process::Running { release, fence, pid, restarts, ready, status, .. } => {
            ProcessSeen::Running { release, fence, pid, restarts, ready, status }
        }
        Process::Exited { release, fence, exit: how, restarts, note } => {
            ProcessSeen::Exited { release, fence, exit: exit(&how), restarts, note }
        }
    }
}

pub(super) fn observation(observation: Observation) -> Observed {
    let migration = observation.migration.map(|(release, run)| {
        let seen = match run {
            MigrationRun::NotStarted => MigrationSeen::NotStarted,
            MigrationRun::Running { fence, .. } => MigrationSeen::Running { fence },
            MigrationRun::Ended { fence, exit: how } => MigrationSeen::Ended { fence, exit: exit(&how) },
        };
        (release, seen)
    });
    Observed {
        change: observation.change,
        process: process(observation.process),
        migration,
        fence: observation.fence,
        instances: observation.instances.into_iter().map(process).collect(),
    }
}

/// Whether the process has said that it is ready, or that it has not. It may have said so to nobody: then it is not known.
pub(super) fn readiness(process: &Process) -> Result<(), Miss> {
    let Process::Running { ready, status, unheard, .. } = process else {
        return Err(Miss::Service("it does not run".to_owned()));
    };
    if *ready {
        return Ok(());
    }
    let said = status.as_ref().map_or(String::new(), |status| format!(" (STATUS: {status})"));
    if *unheard {
        let text = "the service has not said READY=1 since its keeper was replaced, and what it said just before that nobody heard";
        return Err(Miss::Unasked(format!("{text}{said}")));
    }
    Err(Miss::Service(format!("the service has not said READY=1 yet{said}")))
}

pub(super) fn miss(failure: ProbeFailure) -> Miss {
    match failure {
        ProbeFailure::Missed(words) => Miss::Service(words),
        ProbeFailure::Unasked(words) => Miss::Unasked(words),
    }
}

pub(super) fn denied(error: &SupervisorError) -> Denied {
    match error {
        SupervisorError::Stale { newest, .. } => Denied::Stale { newest: *newest },
        SupervisorError::Occupied { .. } => Denied::Occupied { text: Chain(error).to_string() },
        SupervisorError::Exec { .. } => Denied::Exec { text: Chain(error).to_string() },
        SupervisorError::Fault(inner) => Denied::Fault(fault(inner)),
    }
}

pub(super) fn supervisor_fault(error: &SupervisorError) -> FaultSeen {
    match error {
        SupervisorError::Fault(inner) => fault(inner),
        other => FaultSeen { kind: FaultWord::Transient, text: Chain(other).to_string() },
    }
}
