//! Finds handoffs in what agents log: a line for each report, and one for each change that an agent is assigned.

use std::{collections::BTreeSet, time::SystemTime};

use crate::{agentlog::Line, stage::since, stats::Samples};

/// What an agent logs when it proposes a report.
const REPORTS: &str = "reports";
/// What an agent logs when it is assigned a change.
const ASSIGNED: &str = "is assigned a change";

/// From each release of a slot to the next grant, within these rollouts.
pub(super) fn handoffs(mut lines: Vec<Line>, rollouts: &[u64]) -> Samples {
    lines.sort_by_key(|line| line.at);
    let mut seen = BTreeSet::new();
    let mut samples = Samples::default();
    let mut current: Option<u64> = None;
    let mut released: Option<SystemTime> = None;
    for Line { at, fields } in lines {
        match (fields.message.as_str(), fields.report, fields.fence, fields.rollout) {
            (REPORTS, Some(report), _, _) if report.starts_with("Changed") => released = Some(at),
            (ASSIGNED, _, Some(fence), Some(rollout)) if seen.insert(fence.clone()) => {
                // The first grant of a rollout follows no release.
                if let Some(released) = released.take()
                    && current == Some(rollout)
                    && rollouts.contains(&rollout)
                {
                    samples.push(since(released, at));
                }
                current = Some(rollout);
            }
            _ => (),
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::agentlog::parse;

    fn line(time: &str, fields: &str) -> Line {
        parse(&format!("{{\"timestamp\":\"2026-01-31T10:00:{time}Z\",\"fields\":{{{fields}}}}}")).unwrap()
    }

    #[test]
    fn a_handoff_is_from_a_release_to_the_next_new_grant_of_the_same_rollout() {
        let grant = |fence, rollout| {
            format!("\"message\":\"is assigned a change\",\"fence\":\"{fence}\",\"rollout\":{rollout}")
        };
        let done = "\"message\":\"reports\",\"report\":\"Changed { fence: 1.7 }\"";
        let lines = vec![
            line("00.000100", &grant("1.7", 5)),
            line("00.000200", "\"message\":\"reports\",\"report\":\"Moved { fence: 1.7 }\""),
            line("00.001000", &grant("1.7", 5)),
            line("00.002000", done),
            line("00.005000", &grant("1.8", 5)),
            line("01.000000", done),
            line("01.500000", &grant("1.9", 6)),
        ];
        let samples = handoffs(lines, &[5, 6]);
        assert_eq!((samples.len(), samples.p50()), (1, Duration::from_millis(3)));
    }
}
