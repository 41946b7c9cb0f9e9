//! Words for what happens: for the story of a run, and for the count of what was met.

use model::fleet::{Act, Reply, Report, Request};

pub(super) fn in_words(act: &Act) -> String {
    match act {
        Act::Report { host, service, report } => format!("{host} {service} reports {report:?}"),
        Act::Plan { service, steps, .. } => format!("plan for {service}: {steps:?}"),
        Act::Ask { service, request, .. } => format!("somebody asks of {service}: {request:?}"),
        Act::Enrol(enrolment) => format!("{} enrols", enrolment.host),
        other => format!("{other:?}"),
    }
}

pub(super) fn reply_in_words(reply: &Reply) -> String {
    match reply {
        Reply::Refused(refusal) => format!("no: {refusal}"),
        Reply::Planned(results) => {
            let refused: Vec<String> =
                results.iter().filter_map(|result| result.as_ref().err()).map(ToString::to_string).collect();
            if refused.is_empty() { "done".into() } else { format!("no: {}", refused.join("; ")) }
        }
        other => format!("{other:?}"),
    }
}

/// The word for a command, for the count of what was met.
pub(super) fn command_word(act: &Act) -> &'static str {
    match act {
        Act::Enrol(_) => "enrol",
        Act::Depart { .. } => "depart",
        Act::Silent { .. } => "silent",
        Act::Plan { .. } => "plan",
        Act::RaiseLevel { .. } => "raise level",
        Act::GiveWay { .. } => "give way",
        Act::Report { report, .. } => report_word(report),
        Act::Ask { request, .. } => request_word(request),
    }
}

fn report_word(report: &Report) -> &'static str {
    match report {
        Report::Staged { .. } => "report staged",
        Report::NotStaged { .. } => "report not staged",
        Report::Runs { .. } => "report runs",
        Report::Moved { .. } => "report moved",
        Report::Failed { .. } => "report failed",
        Report::Changed { .. } => "report changed",
        Report::Reverted { .. } => "report reverted",
        Report::Stuck { .. } => "report stuck",
        Report::Abandoned { .. } => "report abandoned",
        Report::Parked { .. } => "report parked",
        Report::Availability { .. } => "report availability",
        Report::MigrationStarted { .. } => "report migration started",
        Report::MigrationEnded { .. } => "report migration ended",
    }
}

fn request_word(request: &Request) -> &'static str {
    match request {
        Request::Push { .. } => "ask push",
        Request::Rollback => "ask rollback",
        Request::Restart => "ask restart",
        Request::Pause => "ask pause",
        Request::Resume => "ask resume",
        Request::Abort { .. } => "ask abort",
        Request::SetPolicy { .. } => "ask policy",
        Request::ResolveMigration { .. } => "ask resolve migration",
        Request::ReleaseQuarantine { .. } => "ask release quarantine",
        Request::BreakSlot { .. } => "ask break slot",
        Request::BreakMigrationLock => "ask break migration lock",
        Request::BreakGrant { .. } => "ask break grant",
        Request::Exclude { .. } => "ask exclude",
        Request::Include { .. } => "ask include",
        Request::Drain { .. } => "ask drain",
        Request::Admit { .. } => "ask admit",
    }
}
