//! Reads a policy file: how a service is rolled.

use std::{num::NonZeroU32, ops::RangeInclusive, time::Duration};

use model::{
    Policy,
    policy::{DEFAULTS, Deadlines, GRACE_LIMIT, HOSTS_LIMIT, MigratePer, OnFailure, WAIT_LIMIT},
};
use toml::Value;

use crate::{
    problem::{Problem, Sink},
    section::Section,
    tree,
    values::{duration, number, one_of},
};

/// The keys of a policy file, so that one in a host's file gets a better word than "unknown".
pub(crate) const POLICY_KEYS: [&str; 12] = [
    "max_unavailable",
    "canary",
    "wave",
    "soak",
    "wave_soak",
    "failure_tolerance",
    "on_failure",
    "rollback_parallel",
    "settle",
    "stop_grace",
    "migrate",
    "deadlines",
];

/// Shortest and longest deadline of a step.
pub(crate) const DEADLINES: RangeInclusive<Duration> = Duration::from_secs(1)..=WAIT_LIMIT;

/// Makes a policy of the text of a policy file, which is called `file`. What it does not say is as in
/// [`model::policy::DEFAULTS`].
///
/// # Errors
/// Every problem found.
pub fn policy(text: &str, file: &str) -> Result<Policy, Vec<Problem>> {
    let sink = Sink::default();
    let root = tree::merge(file, &[(file.to_owned(), text.to_owned())], &sink);
    if !sink.is_empty() {
        return sink.verdict(None);
    }
    let policy = read(Section::root(root, &sink));
    sink.verdict(policy)
}

fn read(mut root: Section<'_>) -> Option<Policy> {
    let wait = || duration(Duration::ZERO..=WAIT_LIMIT);
    let max_unavailable = root.read("max_unavailable", hosts).or(DEFAULTS.max_unavailable);
    let canary = root.read("canary", hosts).or(DEFAULTS.canary);
    let wave = root.read("wave", hosts).optional();
    let soak = root.read("soak", wait()).or(DEFAULTS.soak);
    let wave_soak = root.read("wave_soak", wait()).or(DEFAULTS.wave_soak);
    let failure_tolerance =
        root.read("failure_tolerance", number(0..=HOSTS_LIMIT)).or(DEFAULTS.failure_tolerance);
    let reactions = one_of([("rollback", OnFailure::Rollback), ("pause", OnFailure::Pause)]);
    let on_failure = root.read("on_failure", reactions).or(DEFAULTS.on_failure);
    let rollback_parallel = root.read("rollback_parallel", hosts).or(DEFAULTS.rollback_parallel);
    let settle = root.read("settle", wait()).or(DEFAULTS.settle);
    let stop_grace = root.read("stop_grace", duration(Duration::ZERO..=GRACE_LIMIT)).or(DEFAULTS.stop_grace);
    let migrate = migrate(root.section("migrate"));
    let deadlines = deadlines(root.section("deadlines"));
    root.finish(|_| None);
    Some(Policy {
        max_unavailable: max_unavailable?,
        canary: canary?,
        wave: wave?.or(DEFAULTS.wave),
        soak: soak?,
        wave_soak: wave_soak?,
        failure_tolerance: failure_tolerance?,
        on_failure: on_failure?,
        migrate: migrate?,
        rollback_parallel: rollback_parallel?,
        deadlines: deadlines?,
        settle: settle?,
        stop_grace: stop_grace?,
    })
}

fn hosts(value: &Value) -> Result<NonZeroU32, String> {
    let count = number(1..=HOSTS_LIMIT)(value)?;
    NonZeroU32::new(count).ok_or_else(|| "must be at least 1".into())
}

fn migrate(mut section: Section<'_>) -> Option<MigratePer> {
    let per = section.read("per", one_of([("fleet", MigratePer::Fleet), ("host", MigratePer::Host)]));
    section.finish(|_| None);
    per.or(DEFAULTS.migrate)
}

fn deadlines(mut section: Section<'_>) -> Option<Deadlines> {
    let defaults = DEFAULTS.deadlines;
    let mut read = |key, default| section.read(key, duration(DEADLINES)).or(default);
    let stage = read("stage", defaults.stage);
    let migrate = read("migrate", defaults.migrate);
    let drain = read("drain", defaults.drain);
    let healthy = read("healthy", defaults.healthy);
    let join = read("join", defaults.join);
    section.finish(|_| None);
    Some(Deadlines { stage: stage?, migrate: migrate?, drain: drain?, healthy: healthy?, join: join? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        let problems = policy(text, "p.toml").expect_err("nothing was found wrong");
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(policy("", "p.toml"), Ok(DEFAULTS));
    }

    #[test]
    fn every_key_is_read() {
        let text = r#"
            max_unavailable = 2
            canary = 3
            wave = 4
            soak = "1m 30s"
            wave_soak = "5m"
            failure_tolerance = 5
            on_failure = "pause"
            rollback_parallel = 6
            settle = "500ms"
            stop_grace = "20s"
            [migrate]
            per = "host"
            [deadlines]
            stage = "1s"
            migrate = "2s"
            drain = "3s"
            healthy = "4s"
            join = "1day"
        "#;
        let count = |count| NonZeroU32::new(count).expect("not zero");
        let expected = Policy {
            max_unavailable: count(2),
            canary: count(3),
            wave: Some(count(4)),
            soak: Duration::from_secs(90),
            wave_soak: Duration::from_secs(300),
            failure_tolerance: 5,
            on_failure: OnFailure::Pause,
            migrate: MigratePer::Host,
            rollback_parallel: count(6),
            deadlines: Deadlines {
                stage: Duration::from_secs(1),
                migrate: Duration::from_secs(2),
                drain: Duration::from_secs(3),
                healthy: Duration::from_secs(4),
                join: Duration::from_secs(86_400),
            },
            settle: Duration::from_millis(500),
            stop_grace: Duration::from_secs(20),
        };
        assert_eq!(policy(text, "p.toml"), Ok(expected));
    }

    #[test]
    fn the_list_of_keys_is_the_list_of_what_is_read() {
        let text: String = POLICY_KEYS.iter().map(|key| format!("{key} = 2020-01-01\n")).collect();
        let found = problems(&text);
        assert_eq!(found.lines().count(), POLICY_KEYS.len(), "{found}");
        assert!(!found.contains("unknown key"), "{found}");
    }

    #[test]
    fn every_problem_is_reported() {
        let text = r#"
            max_unavailable = 0
            canary = 10001
            wave = -1
            soak = 5
            wave_soak = "25h"
            failure_tolerance = "none"
            on_failure = "panic"
            rollback_parallel = 1.5
            settle = "5"
            stop_grace = "2h"
            speed = "fast"
            migrate = "fleet"
            [deadlines]
            stage = "0s"
            jion = "5s"
        "#;
        assert_eq!(
            problems(text),
            "p.toml: max_unavailable: must be 1 to 10000\n\
             p.toml: canary: must be 1 to 10000\n\
             p.toml: wave: must be 1 to 10000\n\
             p.toml: soak: must be text with a unit, such as \"5s\", not a whole number\n\
             p.toml: wave_soak: must be 0s to 1day\n\
             p.toml: failure_tolerance: must be a whole number, 0 to 10000, not text\n\
             p.toml: on_failure: must be \"rollback\" or \"pause\"\n\
             p.toml: rollback_parallel: must be a whole number, 1 to 10000, not a number with a fraction\n\
             p.toml: settle: \"5\" is no duration; write it such as \"500ms\", \"5s\" or \"1m 30s\"\n\
             p.toml: stop_grace: must be 0s to 1h\n\
             p.toml: migrate: must be a table, not text\n\
             p.toml: deadlines.stage: must be 1s to 1day\n\
             p.toml: deadlines.jion: unknown key; did you mean \"join\"?\n\
             p.toml: speed: unknown key; known here: max_unavailable, canary, wave, soak, wave_soak, \
             failure_tolerance, on_failure, rollback_parallel, settle, stop_grace, migrate, deadlines"
        );
    }

    #[test]
    fn text_that_is_no_toml_is_named_with_its_lines() {
        let found = problems("canary = 1\nwave = \nsoak = \"5s\n");
        assert!(found.starts_with("p.toml:2: "), "{found}");
        assert!(found.contains("\np.toml:3: "), "{found}");
    }
}
