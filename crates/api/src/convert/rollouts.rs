//! A rollout and its phases. The waits that were committed so far are the leader's own and are not sent.

use model::{
    RolloutId,
    fleet::{Halt, Halting, Outcome, Part, Rollout, RolloutKind, RolloutPhase},
    time::WallTime,
};

use super::{
    Invalid, all_named,
    asked::write_provenance,
    maybe, named, needed, read,
    types::{failure, operator},
    words::Word,
};
use crate::{v1, view::Verdict};

impl From<Rollout> for v1::Rollout {
    fn from(rollout: Rollout) -> Self {
        let (kind, rollback_of, aborted) = write_kind(rollout.kind);
        let parts = rollout.parts.into_iter().map(|(host, part)| v1::Part {
            host: host.into(),
            wave: part.wave,
            state: part.state.write(),
        });
        let release = rollout.target.as_ref().map(|target| target.id.clone());
        let failures = rollout.failures.into_iter().map(|(host, failure)| {
            crate::view::HostFailure { host, release: release.clone(), failure }.into()
        });
        Self {
            id: rollout.id.0,
            service: rollout.service.into(),
            parts: parts.collect(),
            failures: failures.collect(),
            target: rollout.target.map(Into::into),
            before: rollout.before.map(Into::into),
            kind,
            rollback_of,
            aborted,
            by: Some(rollout.by.into()),
            phase: Some(rollout.phase.into()),
            paused: rollout.paused.map(Into::into),
            waves: rollout.waves,
            wave_soaked: rollout.wave_soaked,
            began_ms: rollout.began.0,
            ended_ms: rollout.ended.map(|ended| ended.0),
            provenance: write_provenance(rollout.provenance),
        }
    }
}

impl TryFrom<v1::Rollout> for Rollout {
    type Error = Invalid;
    fn try_from(wire: v1::Rollout) -> Result<Self, Invalid> {
        let part = |part: v1::Part| {
            let host = named("parts.host", &part.host)?;
            Ok((host, Part { wave: part.wave, state: Word::read("parts.state", part.state)? }))
        };
        let failed = |failed: v1::HostFailure| {
            let host = named("failures.host", &failed.host)?;
            Ok((host, failure(failed).map_err(|error| error.within("failures"))?))
        };
        Ok(Self {
            id: RolloutId(wire.id),
            service: named("service", &wire.service)?,
            target: maybe("target", wire.target)?,
            before: maybe("before", wire.before)?,
            kind: read_kind(wire.kind, wire.rollback_of, wire.aborted)?,
            by: operator(wire.by),
            provenance: maybe("provenance", wire.provenance)?.unwrap_or_default(),
            phase: read("phase", wire.phase)?,
            paused: wire.paused.map(Into::into),
            parts: wire.parts.into_iter().map(part).collect::<Result<_, Invalid>>()?,
            waves: wire.waves,
            wave_soaked: wire.wave_soaked,
            failures: wire.failures.into_iter().map(failed).collect::<Result<_, Invalid>>()?,
            elapsed: Vec::new(),
            began: WallTime(wire.began_ms),
            ended: wire.ended_ms.map(WallTime),
        })
    }
}

/// Why a rollout is made: the word, the rollout that is rolled back, and whether that was aborted.
pub(super) fn write_kind(kind: RolloutKind) -> (i32, Option<u64>, bool) {
    let (word, of, aborted) = match kind {
        RolloutKind::Push => (v1::RolloutKind::Push, None, false),
        RolloutKind::RollbackOf { rollout, aborted } => {
            (v1::RolloutKind::RollbackOf, Some(rollout.0), aborted)
        }
        RolloutKind::Rollback => (v1::RolloutKind::Rollback, None, false),
        RolloutKind::Restart => (v1::RolloutKind::Restart, None, false),
    };
    (word.into(), of, aborted)
}

/// The way back of [`write_kind`].
pub(super) fn read_kind(word: i32, of: Option<u64>, aborted: bool) -> Result<RolloutKind, Invalid> {
    Ok(match v1::RolloutKind::try_from(word) {
        Ok(v1::RolloutKind::Push) => RolloutKind::Push,
        Ok(v1::RolloutKind::RollbackOf) => {
            RolloutKind::RollbackOf { rollout: RolloutId(needed("rollback_of", of)?), aborted }
        }
        Ok(v1::RolloutKind::Rollback) => RolloutKind::Rollback,
        Ok(v1::RolloutKind::Restart) => RolloutKind::Restart,
        Ok(v1::RolloutKind::Unspecified) => return Err(Invalid::new("kind", "must be given")),
        Err(_) => return Err(Invalid::new("kind", format!("{word} is not known to this version"))),
    })
}

impl From<RolloutPhase> for v1::RolloutPhase {
    fn from(phase: RolloutPhase) -> Self {
        use v1::RolloutWord as Word;
        let word = |word: Word| Self { word: word.into(), ..Self::default() };
        match phase {
            RolloutPhase::Queued => word(Word::Queued),
            RolloutPhase::Staging => word(Word::Staging),
            RolloutPhase::Migrating => word(Word::Migrating),
            RolloutPhase::Rolling => word(Word::Rolling),
            RolloutPhase::RollingBack { by } => {
                Self { rolling_back_by: Some(by.0), ..word(Word::RollingBack) }
            }
            RolloutPhase::Halted { during, why } => {
                let during = match during {
                    Halting::Staging => Word::Staging,
                    Halting::Migrating => Word::Migrating,
                    Halting::Rolling => Word::Rolling,
                };
                Self { halted_during: during.into(), halt: Some(why.into()), ..word(Word::Halted) }
            }
            RolloutPhase::Ended { outcome } => {
                let (outcome, superseded_by) = write_outcome(&outcome);
                Self { outcome, superseded_by, ..word(Word::Ended) }
            }
        }
    }
}

impl TryFrom<v1::RolloutPhase> for RolloutPhase {
    type Error = Invalid;
    fn try_from(wire: v1::RolloutPhase) -> Result<Self, Invalid> {
        use v1::RolloutWord as Word;
        Ok(match Word::try_from(wire.word) {
            Ok(Word::Queued) => Self::Queued,
            Ok(Word::Staging) => Self::Staging,
            Ok(Word::Migrating) => Self::Migrating,
            Ok(Word::Rolling) => Self::Rolling,
            Ok(Word::RollingBack) => {
                Self::RollingBack { by: RolloutId(needed("rolling_back_by", wire.rolling_back_by)?) }
            }
            Ok(Word::Halted) => {
                let during = match Word::try_from(wire.halted_during) {
                    Ok(Word::Staging) => Halting::Staging,
                    Ok(Word::Migrating) => Halting::Migrating,
                    Ok(Word::Rolling) => Halting::Rolling,
                    _ => return Err(Invalid::new("halted_during", "must be staging, migrating or rolling")),
                };
                Self::Halted { during, why: read("halt", wire.halt)? }
            }
            Ok(Word::Ended) => match read_verdict("outcome", wire.outcome, wire.superseded_by)? {
                Verdict::Over(outcome) => Self::Ended { outcome },
                Verdict::Halted => return Err(Invalid::new("outcome", "halted is no end")),
            },
            Ok(Word::Unspecified) => return Err(Invalid::new("word", "must be given")),
            Err(_) => {
                return Err(Invalid::new("word", format!("{} is not known to this version", wire.word)));
            }
        })
    }
}

/// How a rollout ended: the word, and the rollout that took its place.
pub(super) fn write_outcome(outcome: &Outcome) -> (i32, Option<u64>) {
    let word = match outcome {
        Outcome::Completed => v1::Outcome::Completed,
        Outcome::FailedInMigration => v1::Outcome::FailedInMigration,
        Outcome::Failed => v1::Outcome::Failed,
        Outcome::RolledBack => v1::Outcome::RolledBack,
        Outcome::RollbackFailed => v1::Outcome::RollbackFailed,
        Outcome::Aborted => v1::Outcome::Aborted,
        Outcome::Superseded { by } => return (v1::Outcome::Superseded.into(), Some(by.0)),
    };
    (word.into(), None)
}

/// The same for a watch, which ends with a halt too.
pub(super) fn write_verdict(verdict: &Verdict) -> (i32, Option<u64>) {
    match verdict {
        Verdict::Over(outcome) => write_outcome(outcome),
        Verdict::Halted => (v1::Outcome::Halted.into(), None),
    }
}

/// The way back of [`write_verdict`].
pub(super) fn read_verdict(field: &str, word: i32, by: Option<u64>) -> Result<Verdict, Invalid> {
    Ok(Verdict::Over(match v1::Outcome::try_from(word) {
        Ok(v1::Outcome::Completed) => Outcome::Completed,
        Ok(v1::Outcome::FailedInMigration) => Outcome::FailedInMigration,
        Ok(v1::Outcome::Failed) => Outcome::Failed,
        Ok(v1::Outcome::RolledBack) => Outcome::RolledBack,
        Ok(v1::Outcome::RollbackFailed) => Outcome::RollbackFailed,
        Ok(v1::Outcome::Aborted) => Outcome::Aborted,
        Ok(v1::Outcome::Superseded) => Outcome::Superseded { by: RolloutId(needed("superseded_by", by)?) },
        Ok(v1::Outcome::Halted) => return Ok(Verdict::Halted),
        Ok(v1::Outcome::Unspecified) => return Err(Invalid::new(field, "must be given")),
        Err(_) => return Err(Invalid::new(field, format!("{word} is not known to this version"))),
    }))
}

impl From<Halt> for v1::Halt {
    fn from(halt: Halt) -> Self {
        use v1::halt::Why;
        let text = halt.to_string();
        let why = match halt {
            Halt::NotStaged { hosts } => {
                let hosts =
                    hosts.into_iter().map(|(host, reason)| v1::HostReason { host: host.into(), reason });
                Why::NotStaged(v1::HostReasons { hosts: hosts.collect() })
            }
            Halt::MigrationUnknown { host } => Why::MigrationUnknown(host.into()),
            Halt::Failed { host } => Why::Failed(host.into()),
            Halt::SetBack { host, times, reason } => {
                Why::SetBack(v1::SetBack { host: host.into(), times, reason })
            }
        };
        Self { text, why: Some(why) }
    }
}

impl TryFrom<v1::Halt> for Halt {
    type Error = Invalid;
    fn try_from(halt: v1::Halt) -> Result<Self, Invalid> {
        use v1::halt::Why;
        Ok(match needed("why", halt.why)? {
            Why::NotStaged(reasons) => {
                let (names, why): (Vec<_>, Vec<_>) =
                    reasons.hosts.into_iter().map(|entry| (entry.host, entry.reason)).unzip();
                let names = all_named("not_staged.hosts", &names)?;
                Self::NotStaged { hosts: names.into_iter().zip(why).collect() }
            }
            Why::MigrationUnknown(host) => {
                Self::MigrationUnknown { host: named("migration_unknown", &host)? }
            }
            Why::Failed(host) => Self::Failed { host: named("failed", &host)? },
            Why::SetBack(v1::SetBack { host, times, reason }) => {
                Self::SetBack { host: named("set_back.host", &host)?, times, reason }
            }
        })
    }
}
