//! Words for what happens, for the story of a run.

use model::fleet::{Act, Reply};

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
