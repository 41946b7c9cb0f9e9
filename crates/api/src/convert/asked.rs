//! Requests, read and checked: what is left for an agent is to propose them.

use model::{
    ServiceName,
    fleet::{Lock, Operator, Provenance, Request},
};

use super::{Invalid, maybe, named, needed, read, text, types::operator, words::Word};
use crate::{
    v1,
    view::{Ask, Push},
};

/// Longest source of a release: the longest path that there is.
const SOURCE_LIMIT_BYTES: usize = 4096;
/// Longest name of whoever asks.
const ASKER_LIMIT_BYTES: usize = 256;
/// Longest part of where a release comes from.
const PROVENANCE_LIMIT_BYTES: usize = 512;
/// Longest reason.
const REASON_LIMIT_BYTES: usize = 2048;

/// Who asks, and why; nobody in particular when it is not said.
///
/// # Errors
/// The field that is too long.
pub fn asker(by: Option<v1::Operator>) -> Result<Operator, Invalid> {
    let Operator { name, reason } = operator(by);
    Ok(Operator {
        name: text("by.name", name, ASKER_LIMIT_BYTES)?,
        reason: text("by.reason", reason, REASON_LIMIT_BYTES)?,
    })
}

impl TryFrom<v1::PushRequest> for Push {
    type Error = Invalid;
    fn try_from(wire: v1::PushRequest) -> Result<Self, Invalid> {
        if wire.source.is_empty() {
            return Err(Invalid::new("source", "must be a store path or an absolute directory"));
        }
        Ok(Self {
            service: named("service", &wire.service)?,
            source: text("source", wire.source, SOURCE_LIMIT_BYTES)?,
            policy: maybe("policy", wire.policy)?,
            by: asker(wire.by)?,
            provenance: maybe("provenance", wire.provenance)?.unwrap_or_default(),
        })
    }
}

impl From<Push> for v1::PushRequest {
    fn from(push: Push) -> Self {
        Self {
            service: push.service.into(),
            source: push.source,
            policy: push.policy.map(Into::into),
            by: Some(push.by.into()),
            provenance: write_provenance(push.provenance),
        }
    }
}

/// Nothing is sent where nothing was said.
pub(super) fn write_provenance(provenance: Provenance) -> Option<v1::Provenance> {
    let Provenance { git_rev, ci_run, author } = provenance;
    let is_said = !(git_rev.is_empty() && ci_run.is_empty() && author.is_empty());
    is_said.then_some(v1::Provenance { git_rev, ci_run, author })
}

impl TryFrom<v1::Provenance> for Provenance {
    type Error = Invalid;
    fn try_from(wire: v1::Provenance) -> Result<Self, Invalid> {
        Ok(Self {
            git_rev: one_line("git_rev", wire.git_rev)?,
            ci_run: one_line("ci_run", wire.ci_run)?,
            author: one_line("author", wire.author)?,
        })
    }
}

/// What is shown on a line of its own, on terminals too.
fn one_line(field: &str, value: String) -> Result<String, Invalid> {
    if value.chars().any(char::is_control) {
        return Err(Invalid::new(field, "must be one line, without control characters"));
    }
    text(field, value, PROVENANCE_LIMIT_BYTES)
}

/// Requests that say no more than service and operator.
macro_rules! plain {
    ($($wire:ident => $request:ident),+ $(,)?) => {$(
        impl TryFrom<v1::$wire> for Ask {
            type Error = Invalid;
            fn try_from(wire: v1::$wire) -> Result<Self, Invalid> {
                ask(&wire.service, wire.by, Request::$request)
            }
        }
    )+};
}

plain! {
    RollbackRequest => Rollback,
    RestartRequest => Restart,
    PauseRequest => Pause,
    ResumeRequest => Resume,
}

fn ask(service: &str, by: Option<v1::Operator>, request: Request) -> Result<Ask, Invalid> {
    Ok(Ask { service: named("service", service)?, by: asker(by)?, request })
}

impl TryFrom<v1::AbortRequest> for Ask {
    type Error = Invalid;
    fn try_from(wire: v1::AbortRequest) -> Result<Self, Invalid> {
        ask(&wire.service, wire.by, Request::Abort { leave: wire.leave })
    }
}

impl TryFrom<v1::SetPolicyRequest> for Ask {
    type Error = Invalid;
    fn try_from(wire: v1::SetPolicyRequest) -> Result<Self, Invalid> {
        ask(&wire.service, wire.by, Request::SetPolicy { policy: read("policy", wire.policy)? })
    }
}

impl TryFrom<v1::ResolveMigrationRequest> for Ask {
    type Error = Invalid;
    fn try_from(wire: v1::ResolveMigrationRequest) -> Result<Self, Invalid> {
        let verdict = Word::read("verdict", wire.verdict)?;
        let release = named("release", &wire.release)?;
        ask(&wire.service, wire.by, Request::ResolveMigration { release, verdict })
    }
}

impl TryFrom<v1::ReleaseQuarantineRequest> for Ask {
    type Error = Invalid;
    fn try_from(wire: v1::ReleaseQuarantineRequest) -> Result<Self, Invalid> {
        let release = named("release", &wire.release)?;
        ask(&wire.service, wire.by, Request::ReleaseQuarantine { release })
    }
}

impl TryFrom<v1::BreakLockRequest> for Ask {
    type Error = Invalid;
    fn try_from(wire: v1::BreakLockRequest) -> Result<Self, Invalid> {
        use v1::break_lock_request::Lock as Wire;
        let lock = match needed("lock", wire.lock)? {
            Wire::SlotOf(host) => Lock::SlotOf(named("slot_of", &host)?),
            Wire::Migration(true) => Lock::Migration,
            Wire::Migration(false) => return Err(Invalid::new("migration", "must be true")),
        };
        let request = match (lock, wire.expected_fence) {
            (lock, Some(fence)) => Request::BreakGrant { lock, fence: fence.into() },
            (Lock::SlotOf(host), None) => Request::BreakSlot { host },
            (Lock::Migration, None) => Request::BreakMigrationLock,
        };
        ask(&wire.service, wire.by, request)
    }
}

impl Ask {
    fn of_host(wire: v1::HostRequest, request: fn(model::HostId) -> Request) -> Result<Self, Invalid> {
        let host = named("host", &wire.host)?;
        ask(&wire.service, wire.by, request(host))
    }

    /// What `ExcludeHost` asks for.
    ///
    /// # Errors
    /// The field that makes no sense.
    pub fn exclude(wire: v1::HostRequest) -> Result<Self, Invalid> {
        Self::of_host(wire, |host| Request::Exclude { host })
    }

    /// What `IncludeHost` asks for.
    ///
    /// # Errors
    /// The field that makes no sense.
    pub fn include(wire: v1::HostRequest) -> Result<Self, Invalid> {
        Self::of_host(wire, |host| Request::Include { host })
    }

    /// What `DrainHost` asks for.
    ///
    /// # Errors
    /// The field that makes no sense.
    pub fn drain(wire: v1::HostRequest) -> Result<Self, Invalid> {
        Self::of_host(wire, |host| Request::Drain { host })
    }

    /// What `AdmitHost` asks for.
    ///
    /// # Errors
    /// The field that makes no sense.
    pub fn admit(wire: v1::HostRequest) -> Result<Self, Invalid> {
        Self::of_host(wire, |host| Request::Admit { host })
    }
}

/// The host that `RemoveHost` names, and who asks.
impl TryFrom<v1::RemoveHostRequest> for (model::HostId, Operator) {
    type Error = Invalid;
    fn try_from(wire: v1::RemoveHostRequest) -> Result<Self, Invalid> {
        Ok((named("host", &wire.host)?, asker(wire.by)?))
    }
}

/// An operator's word on a migration, as the wire has it.
pub(crate) fn verdict(verdict: model::fleet::Verdict) -> i32 {
    verdict.write()
}

/// Reads the name of a service that may be absent.
///
/// # Errors
/// The field, when the name makes no sense.
pub fn service(field: Option<&str>) -> Result<Option<ServiceName>, Invalid> {
    super::maybe_named("service", field)
}
