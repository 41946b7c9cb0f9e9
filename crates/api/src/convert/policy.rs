//! A policy: absent fields have their defaults.

use std::{num::NonZeroU32, time::Duration};

use model::{
    Policy,
    policy::{DEFAULTS, Deadlines, GRACE_LIMIT, HOSTS_LIMIT, WAIT_LIMIT},
};

use super::{
    Invalid, millis,
    words::{Word, maybe_word},
};
use crate::v1;

impl From<Policy> for v1::Policy {
    fn from(policy: Policy) -> Self {
        let Policy { deadlines, .. } = &policy;
        Self {
            max_unavailable: Some(policy.max_unavailable.get()),
            canary: Some(policy.canary.get()),
            wave: policy.wave.map(NonZeroU32::get),
            soak_ms: Some(millis(policy.soak)),
            wave_soak_ms: Some(millis(policy.wave_soak)),
            failure_tolerance: Some(policy.failure_tolerance),
            on_failure: policy.on_failure.write(),
            migrate_per: policy.migrate.write(),
            rollback_parallel: Some(policy.rollback_parallel.get()),
            stage_deadline_ms: Some(millis(deadlines.stage)),
            migrate_deadline_ms: Some(millis(deadlines.migrate)),
            drain_deadline_ms: Some(millis(deadlines.drain)),
            healthy_deadline_ms: Some(millis(deadlines.healthy)),
            join_deadline_ms: Some(millis(deadlines.join)),
            settle_ms: Some(millis(policy.settle)),
            stop_grace_ms: Some(millis(policy.stop_grace)),
        }
    }
}

impl TryFrom<v1::Policy> for Policy {
    type Error = Invalid;
    fn try_from(wire: v1::Policy) -> Result<Self, Invalid> {
        let wave = match wire.wave {
            Some(wave) => Some(count("wave", Some(wave), NonZeroU32::MIN)?),
            None => DEFAULTS.wave,
        };
        let ours = DEFAULTS.deadlines;
        Ok(Self {
            max_unavailable: count("max_unavailable", wire.max_unavailable, DEFAULTS.max_unavailable)?,
            canary: count("canary", wire.canary, DEFAULTS.canary)?,
            wave,
            soak: time("soak_ms", wire.soak_ms, DEFAULTS.soak, WAIT_LIMIT)?,
            wave_soak: time("wave_soak_ms", wire.wave_soak_ms, DEFAULTS.wave_soak, WAIT_LIMIT)?,
            failure_tolerance: hosts(
                "failure_tolerance",
                wire.failure_tolerance.unwrap_or(DEFAULTS.failure_tolerance),
            )?,
            on_failure: maybe_word("on_failure", wire.on_failure)?.unwrap_or(DEFAULTS.on_failure),
            migrate: maybe_word("migrate_per", wire.migrate_per)?.unwrap_or(DEFAULTS.migrate),
            rollback_parallel: count(
                "rollback_parallel",
                wire.rollback_parallel,
                DEFAULTS.rollback_parallel,
            )?,
            deadlines: Deadlines {
                stage: time("stage_deadline_ms", wire.stage_deadline_ms, ours.stage, WAIT_LIMIT)?,
                migrate: time("migrate_deadline_ms", wire.migrate_deadline_ms, ours.migrate, WAIT_LIMIT)?,
                drain: time("drain_deadline_ms", wire.drain_deadline_ms, ours.drain, WAIT_LIMIT)?,
                healthy: time("healthy_deadline_ms", wire.healthy_deadline_ms, ours.healthy, WAIT_LIMIT)?,
                join: time("join_deadline_ms", wire.join_deadline_ms, ours.join, WAIT_LIMIT)?,
            },
            settle: time("settle_ms", wire.settle_ms, DEFAULTS.settle, WAIT_LIMIT)?,
            stop_grace: time("stop_grace_ms", wire.stop_grace_ms, DEFAULTS.stop_grace, GRACE_LIMIT)?,
        })
    }
}

/// A number of hosts, at least 1.
fn count(field: &str, value: Option<u32>, default: NonZeroU32) -> Result<NonZeroU32, Invalid> {
    let Some(value) = value else { return Ok(default) };
    NonZeroU32::new(hosts(field, value)?).ok_or_else(|| Invalid::new(field, "must be at least 1"))
}

/// A number of hosts.
fn hosts(field: &str, value: u32) -> Result<u32, Invalid> {
    let too_many = || Invalid::new(field, format!("must be at most {HOSTS_LIMIT}"));
    (value <= HOSTS_LIMIT).then_some(value).ok_or_else(too_many)
}

/// A time, at most `most`.
fn time(field: &str, value: Option<u64>, default: Duration, most: Duration) -> Result<Duration, Invalid> {
    let value = value.map_or(default, Duration::from_millis);
    let too_long =
        || Invalid::new(field, format!("must be at most {} ({} h)", millis(most), most.as_secs() / 3600));
    (value <= most).then_some(value).ok_or_else(too_long)
}
