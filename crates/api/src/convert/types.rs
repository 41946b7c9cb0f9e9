//! What requests, answers and events share.

use std::sync::Arc;

use model::{
    Fence, Incarnation, Release, ReleaseId, Revision,
    fleet::{Failure, MigrationState, Operator},
    time::WallTime,
};

use super::{Invalid, maybe_named, named, needed, read, words::Word};
use crate::{
    v1,
    view::{Cursor, Gap, HostFailure, MigrationLockStatus},
};

impl From<Operator> for v1::Operator {
    fn from(operator: Operator) -> Self {
        Self { name: operator.name, reason: operator.reason }
    }
}

impl From<v1::Operator> for Operator {
    fn from(operator: v1::Operator) -> Self {
        Self { name: operator.name, reason: operator.reason }
    }
}

impl From<Cursor> for v1::Cursor {
    fn from(cursor: Cursor) -> Self {
        Self { revision: cursor.revision.0, index: cursor.index }
    }
}

impl From<v1::Cursor> for Cursor {
    fn from(cursor: v1::Cursor) -> Self {
        Self { revision: Revision(cursor.revision), index: cursor.index }
    }
}

impl From<Gap> for v1::Gap {
    fn from(gap: Gap) -> Self {
        Self { resumes_at: Some(gap.resumes_at.into()) }
    }
}

impl TryFrom<v1::Gap> for Gap {
    type Error = Invalid;
    fn try_from(gap: v1::Gap) -> Result<Self, Invalid> {
        Ok(Self { resumes_at: needed("resumes_at", gap.resumes_at)?.into() })
    }
}

impl From<Release> for v1::Release {
    fn from(release: Release) -> Self {
        Self { id: release.id.into(), source: release.source, migrates: release.migrates }
    }
}

impl TryFrom<v1::Release> for Release {
    type Error = Invalid;
    fn try_from(release: v1::Release) -> Result<Self, Invalid> {
        Ok(Self { id: named("id", &release.id)?, source: release.source, migrates: release.migrates })
    }
}

impl From<Fence> for v1::Fence {
    fn from(fence: Fence) -> Self {
        Self { incarnation: fence.incarnation.0, revision: fence.revision.0 }
    }
}

impl From<v1::Fence> for Fence {
    fn from(fence: v1::Fence) -> Self {
        Self { incarnation: Incarnation(fence.incarnation), revision: Revision(fence.revision) }
    }
}

/// An id that may be absent, as the wire has it.
pub(super) fn id_text(id: Option<ReleaseId>) -> Option<String> {
    id.map(String::from)
}

impl From<HostFailure> for v1::HostFailure {
    fn from(failed: HostFailure) -> Self {
        let Failure { phase, cause, reason, tail } = failed.failure;
        Self {
            host: failed.host.into(),
            phase: phase.write(),
            cause: cause.write(),
            reason,
            tail: tail.to_string(),
            release: id_text(failed.release),
        }
    }
}

impl TryFrom<v1::HostFailure> for HostFailure {
    type Error = Invalid;
    fn try_from(failed: v1::HostFailure) -> Result<Self, Invalid> {
        let host = named("host", &failed.host)?;
        let release = maybe_named("release", failed.release.as_deref())?;
        Ok(Self { host, release, failure: failure(failed)? })
    }
}

/// Reads how a release failed, without the host.
pub(super) fn failure(failed: v1::HostFailure) -> Result<Failure, Invalid> {
    Ok(Failure {
        phase: Word::read("phase", failed.phase)?,
        cause: Word::read("cause", failed.cause)?,
        reason: failed.reason,
        tail: failed.tail.into(),
    })
}

impl From<MigrationState> for v1::MigrationState {
    fn from(state: MigrationState) -> Self {
        use v1::MigrationWord as Word;
        let word = |word: Word| Self { word: word.into(), ..Self::default() };
        match state {
            MigrationState::Never => word(Word::Never),
            MigrationState::NotNeeded => word(Word::NotNeeded),
            MigrationState::Running { host, started } => {
                Self { host: Some(host.into()), started, ..word(Word::Running) }
            }
            MigrationState::Succeeded => word(Word::Succeeded),
            MigrationState::Failed { reason, tail } => {
                Self { reason, tail: tail.to_string(), ..word(Word::Failed) }
            }
            MigrationState::Unknown { host, reason, tail } => {
                Self { host: Some(host.into()), reason, tail: tail.to_string(), ..word(Word::Unknown) }
            }
        }
    }
}

impl TryFrom<v1::MigrationState> for MigrationState {
    type Error = Invalid;
    fn try_from(state: v1::MigrationState) -> Result<Self, Invalid> {
        use v1::MigrationWord as Word;
        let host = || named("host", state.host.as_deref().unwrap_or_default());
        let tail: Arc<str> = state.tail.as_str().into();
        Ok(match Word::try_from(state.word) {
            Ok(Word::Never) => Self::Never,
            Ok(Word::NotNeeded) => Self::NotNeeded,
            Ok(Word::Running) => Self::Running { host: host()?, started: state.started },
            Ok(Word::Succeeded) => Self::Succeeded,
            Ok(Word::Failed) => Self::Failed { reason: state.reason, tail },
            Ok(Word::Unknown) => Self::Unknown { host: host()?, reason: state.reason, tail },
            Ok(Word::Unspecified) => return Err(Invalid::new("word", "must be given")),
            Err(_) => {
                return Err(Invalid::new("word", format!("{} is not known to this version", state.word)));
            }
        })
    }
}

impl From<MigrationLockStatus> for v1::MigrationLock {
    fn from(lock: MigrationLockStatus) -> Self {
        Self {
            host: lock.host.into(),
            fence: Some(lock.fence.into()),
            release: Some(lock.release.into()),
            granted_at_ms: lock.granted_at.map(|at| at.0),
        }
    }
}

impl TryFrom<v1::MigrationLock> for MigrationLockStatus {
    type Error = Invalid;
    fn try_from(lock: v1::MigrationLock) -> Result<Self, Invalid> {
        Ok(Self {
            host: named("host", &lock.host)?,
            fence: needed("fence", lock.fence)?.into(),
            release: read("release", lock.release)?,
            granted_at: lock.granted_at_ms.map(WallTime),
        })
    }
}

/// Who asks; nobody in particular when it is not said.
pub(super) fn operator(by: Option<v1::Operator>) -> Operator {
    by.map(Operator::from).unwrap_or_default()
}

/// Reads the state of a migration that must be there.
pub(super) fn migration_state(state: Option<v1::MigrationState>) -> Result<MigrationState, Invalid> {
    read("state", state)
}
