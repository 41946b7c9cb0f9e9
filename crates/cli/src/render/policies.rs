//! A policy as the file that makes it.

use std::{fmt::Write as _, time::Duration};

use api::view::Status;
use model::{
    Policy,
    policy::{MigratePer, OnFailure},
};

/// The policies of the services: one is a file as it is; several have their services' names before them.
pub(super) fn files(status: &Status) -> String {
    let mut text = String::new();
    if let Some(stale) = &status.stale {
        let _ = writeln!(text, "# STALE, as {} knew it last: {}", status.answered_by, stale.reason);
    }
    for service in &status.services {
        let _ = writeln!(text, "# the policy of {}\n{}", service.service, file(&service.policy));
    }
    text
}

/// The whole policy, every key with its value, as `policy set` takes it.
pub(super) fn file(policy: &Policy) -> String {
    let time = |time: Duration| format!("\"{}\"", humantime::format_duration(time));
    let on_failure = match policy.on_failure {
        OnFailure::Rollback => "rollback",
        OnFailure::Pause => "pause",
    };
    let per = match policy.migrate {
        MigratePer::Fleet => "fleet",
        MigratePer::Host => "host",
    };
    let mut text = String::new();
    let _ = writeln!(text, "max_unavailable = {}", policy.max_unavailable);
    let _ = writeln!(text, "canary = {}", policy.canary);
    let _ = match policy.wave {
        Some(wave) => writeln!(text, "wave = {wave}"),
        None => writeln!(text, "# wave = all that are left"),
    };
    let _ = writeln!(text, "soak = {}", time(policy.soak));
    let _ = writeln!(text, "wave_soak = {}", time(policy.wave_soak));
    let _ = writeln!(text, "failure_tolerance = {}", policy.failure_tolerance);
    let _ = writeln!(text, "on_failure = \"{on_failure}\"");
    let _ = writeln!(text, "rollback_parallel = {}", policy.rollback_parallel);
    let _ = writeln!(text, "settle = {}", time(policy.settle));
    let _ = writeln!(text, "stop_grace = {}", time(policy.stop_grace));
    let _ = writeln!(text, "\n[migrate]\nper = \"{per}\"");
    let deadlines = &policy.deadlines;
    let _ = writeln!(text, "\n[deadlines]\nstage = {}", time(deadlines.stage));
    let _ = writeln!(text, "migrate = {}", time(deadlines.migrate));
    let _ = writeln!(text, "drain = {}", time(deadlines.drain));
    let _ = writeln!(text, "healthy = {}", time(deadlines.healthy));
    let _ = writeln!(text, "join = {}", time(deadlines.join));
    text
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn same(policy: &Policy) {
        let text = file(policy);
        assert_eq!(&config::policy(&text, "shown").unwrap(), policy, "{text}");
    }

    #[test]
    fn what_is_shown_is_what_can_be_set() {
        same(&Policy::default());
        let changed = Policy {
            wave: NonZeroU32::new(3),
            soak: Duration::from_millis(61_500),
            on_failure: OnFailure::Pause,
            migrate: MigratePer::Host,
            ..Policy::default()
        };
        same(&changed);
    }
}
