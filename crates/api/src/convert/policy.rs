//! A policy: absent fields have their defaults.

use std::{num::NonZeroU32, time::Duration};

use model::{
    Policy,
    policy::{DEFAULTS, Deadlines},
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
        let count = |field, value: Option<u32>, default| match value {
            Some(value) => NonZeroU32::new(value).ok_or_else(|| Invalid::new(field, "must be at least 1")),
            None => Ok(default),
        };
        let time = |value: Option<u64>, default| value.map_or(default, Duration::from_millis);
        let wave = match wire.wave {
            Some(wave) => Some(count("wave", Some(wave), NonZeroU32::MIN)?),
            None => DEFAULTS.wave,
        };
        let ours = DEFAULTS.deadlines;
        Ok(Self {
            max_unavailable: count("max_unavailable", wire.max_unavailable, DEFAULTS.max_unavailable)?,
            canary: count("canary", wire.canary, DEFAULTS.canary)?,
            wave,
            soak: time(wire.soak_ms, DEFAULTS.soak),
            wave_soak: time(wire.wave_soak_ms, DEFAULTS.wave_soak),
            failure_tolerance: wire.failure_tolerance.unwrap_or(DEFAULTS.failure_tolerance),
            on_failure: maybe_word("on_failure", wire.on_failure)?.unwrap_or(DEFAULTS.on_failure),
            migrate: maybe_word("migrate_per", wire.migrate_per)?.unwrap_or(DEFAULTS.migrate),
            rollback_parallel: count(
                "rollback_parallel",
                wire.rollback_parallel,
                DEFAULTS.rollback_parallel,
            )?,
            deadlines: Deadlines {
                stage: time(wire.stage_deadline_ms, ours.stage),
                migrate: time(wire.migrate_deadline_ms, ours.migrate),
                drain: time(wire.drain_deadline_ms, ours.drain),
                healthy: time(wire.healthy_deadline_ms, ours.healthy),
                join: time(wire.join_deadline_ms, ours.join),
            },
            settle: time(wire.settle_ms, DEFAULTS.settle),
            stop_grace: time(wire.stop_grace_ms, DEFAULTS.stop_grace),
        })
    }
}
