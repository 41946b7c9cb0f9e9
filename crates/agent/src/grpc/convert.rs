//! Temporary.
use api::v1;
use model::{Fence, HostId, Policy, Release, fleet as f, fleet::*};

pub(super) fn release(r: &Release) -> v1::Release {
    v1::Release { id: r.id.to_string(), source: r.source.clone(), migrates: r.migrates }
}
pub(super) fn fence(f: Fence) -> v1::Fence {
    v1::Fence { incarnation: f.incarnation.0, revision: f.revision.0 }
}
pub(super) fn operator(o: &Operator) -> v1::Operator {
    v1::Operator { name: o.name.clone(), reason: o.reason.clone() }
}
fn ms(d: std::time::Duration) -> u64 {
    d.as_millis() as u64
}
pub(super) fn policy(p: &Policy) -> v1::Policy {
    v1::Policy {
        max_unavailable: Some(p.max_unavailable.get()),
        canary: Some(p.canary.get()),
        wave: p.wave.map(|w| w.get()),
        soak_ms: Some(ms(p.soak)),
        wave_soak_ms: Some(ms(p.wave_soak)),
        failure_tolerance: Some(p.failure_tolerance),
        on_failure: match p.on_failure {
            model::policy::OnFailure::Rollback => v1::OnFailure::Rollback,
            model::policy::OnFailure::Pause => v1::OnFailure::Pause,
        }
        .into(),
        migrate_per: match p.migrate {
            model::policy::MigratePer::Fleet => v1::MigratePer::Fleet,
            model::policy::MigratePer::Host => v1::MigratePer::Host,
        }
        .into(),
        rollback_parallel: Some(p.rollback_parallel.get()),
        stage_deadline_ms: Some(ms(p.deadlines.stage)),
        migrate_deadline_ms: Some(ms(p.deadlines.migrate)),
        drain_deadline_ms: Some(ms(p.deadlines.drain)),
        healthy_deadline_ms: Some(ms(p.deadlines.healthy)),
        join_deadline_ms: Some(ms(p.deadlines.join)),
        settle_ms: Some(ms(p.settle)),
        stop_grace_ms: Some(ms(p.stop_grace)),
    }
}
pub(super) fn policy_from(p: v1::Policy) -> Policy {
    let mut out = Policy::default();
    let nz = |n: u32| std::num::NonZeroU32::new(n).unwrap_or(std::num::NonZeroU32::MIN);
    let d = std::time::Duration::from_millis;
    if let Some(n) = p.max_unavailable {
        out.max_unavailable = nz(n);
    }
    if let Some(n) = p.canary {
        out.canary = nz(n);
    }
    out.wave = p.wave.map(nz);
    if let Some(n) = p.soak_ms {
        out.soak = d(n);
    }
    if let Some(n) = p.wave_soak_ms {
        out.wave_soak = d(n);
    }
    if let Some(n) = p.healthy_deadline_ms {
        out.deadlines.healthy = d(n);
    }
    out
}
pub(super) fn outcome(o: &Outcome) -> v1::Outcome {
    match o {
        Outcome::Completed => v1::Outcome::Completed,
        Outcome::FailedInMigration => v1::Outcome::FailedInMigration,
        Outcome::Failed => v1::Outcome::Failed,
        Outcome::RolledBack => v1::Outcome::RolledBack,
        Outcome::RollbackFailed => v1::Outcome::RollbackFailed,
        Outcome::Aborted => v1::Outcome::Aborted,
        Outcome::Superseded { .. } => v1::Outcome::Superseded,
    }
}
pub(super) fn phase(p: PhaseKind) -> v1::HostPhase {
    use v1::HostPhase as V;
    match p {
        PhaseKind::Steady => V::Steady,
        PhaseKind::Granted => V::Granted,
        PhaseKind::Draining => V::Draining,
        PhaseKind::Stopping => V::Stopping,
        PhaseKind::Starting => V::Starting,
        PhaseKind::Probing => V::Probing,
        PhaseKind::Joining => V::Joining,
        PhaseKind::Soaking => V::Soaking,
        PhaseKind::Reverting => V::Reverting,
        PhaseKind::Stuck => V::Stuck,
        PhaseKind::Aborting => V::Aborting,
        PhaseKind::Parked => V::Parked,
    }
}
pub(super) fn availability(a: Availability) -> v1::Availability {
    match a {
        Availability::In => v1::Availability::In,
        Availability::Out => v1::Availability::Out,
        Availability::Unknown => v1::Availability::Unknown,
    }
}
pub(super) fn failure(h: &HostId, f: &Failure) -> v1::HostFailure {
    v1::HostFailure {
        host: h.to_string(),
        phase: phase(f.phase).into(),
        cause: match f.cause {
            Cause::Release => v1::Cause::Release,
            Cause::Surroundings => v1::Cause::Surroundings,
        }
        .into(),
        reason: f.reason.clone(),
        tail: f.tail.to_string(),
        release: None,
    }
}
pub(super) fn part(p: PartState) -> v1::PartState {
    match p {
        PartState::Pending => v1::PartState::Pending,
        PartState::Changing => v1::PartState::Changing,
        PartState::Changed => v1::PartState::Changed,
        PartState::Failed => v1::PartState::Failed,
        PartState::Dropped => v1::PartState::Dropped,
    }
}
pub(super) fn migration(m: &MigrationState) -> v1::MigrationState {
    let mut o = v1::MigrationState::default();
    let w = match m {
        MigrationState::Never => v1::MigrationWord::Never,
        MigrationState::NotNeeded => v1::MigrationWord::NotNeeded,
        MigrationState::Running { host, started } => {
            o.host = Some(host.to_string());
            o.started = *started;
            v1::MigrationWord::Running
        }
        MigrationState::Succeeded => v1::MigrationWord::Succeeded,
        MigrationState::Failed { reason, tail } => {
            o.reason = reason.clone();
            o.tail = tail.to_string();
            v1::MigrationWord::Failed
        }
        MigrationState::Unknown { host, reason, tail } => {
            o.host = Some(host.to_string());
            o.reason = reason.clone();
            o.tail = tail.to_string();
            v1::MigrationWord::Unknown
        }
    };
    o.word = w.into();
    o
}
pub(super) fn change(c: &Change) -> v1::Change {
    v1::Change {
        fence: Some(fence(c.fence)),
        to: c.to.as_ref().map(release),
        from: c.from.as_ref().map(release),
        phase: phase(c.phase).into(),
        since_ms: 0,
        revert: c.revert,
        rollout: c.purpose.rollout().map(|r| r.0),
        park: c.purpose == Purpose::Park,
    }
}
pub(super) fn rphase(p: &RolloutPhase) -> v1::RolloutPhase {
    let mut o = v1::RolloutPhase::default();
    use v1::RolloutWord as W;
    let w = match p {
        RolloutPhase::Queued => W::Queued,
        RolloutPhase::Staging => W::Staging,
        RolloutPhase::Migrating => W::Migrating,
        RolloutPhase::Rolling => W::Rolling,
        RolloutPhase::RollingBack { by } => {
            o.rolling_back_by = Some(by.0);
            W::RollingBack
        }
        RolloutPhase::Halted { why, .. } => {
            o.halt = Some(v1::Halt { text: why.to_string(), why: None });
            W::Halted
        }
        RolloutPhase::Ended { outcome: oc } => {
            o.outcome = outcome(oc).into();
            W::Ended
        }
    };
    o.word = w.into();
    o
}
pub(super) fn rkind(k: RolloutKind) -> v1::RolloutKind {
    match k {
        RolloutKind::Push => v1::RolloutKind::Push,
        RolloutKind::RollbackOf { .. } => v1::RolloutKind::RollbackOf,
        RolloutKind::Rollback => v1::RolloutKind::Rollback,
        RolloutKind::Restart => v1::RolloutKind::Restart,
    }
}
pub(super) fn rollout(r: &Rollout) -> v1::Rollout {
    v1::Rollout {
        id: r.id.0,
        service: r.service.to_string(),
        target: r.target.as_ref().map(release),
        before: r.before.as_ref().map(release),
        kind: rkind(r.kind).into(),
        by: Some(operator(&r.by)),
        phase: Some(rphase(&r.phase)),
        paused: r.paused.as_ref().map(operator),
        parts: r
            .parts
            .iter()
            .map(|(h, p)| v1::Part { host: h.to_string(), wave: p.wave, state: part(p.state).into() })
            .collect(),
        waves: r.waves,
        wave_soaked: r.wave_soaked,
        failures: r.failures.iter().map(|(h, f)| failure(h, f)).collect(),
        began_ms: r.began.0,
        ended_ms: r.ended.map(|e| e.0),
        ..Default::default()
    }
}
pub(super) fn event(e: &f::Event) -> v1::Event {
    use v1::event::Detail as D;
    let detail = match &e.kind {
        EventKind::HostMoved { from, to, reason } => Some(D::HostMoved(v1::HostMoved {
            from: phase(*from).into(),
            to: phase(*to).into(),
            reason: reason.clone(),
        })),
        EventKind::HostFailed { failure: fl, .. } => {
            Some(D::HostFailed(failure(e.host.as_ref().unwrap(), fl)))
        }
        EventKind::HostSettled { .. } => Some(D::HostSettled(v1::HostSettled::default())),
        _ => None,
    };
    v1::Event {
        cursor: Some(v1::Cursor { revision: e.revision.0, index: e.index }),
        at_ms: e.at.0,
        service: e.service.as_ref().map(ToString::to_string),
        rollout: e.rollout.map(|r| r.0),
        host: e.host.as_ref().map(ToString::to_string),
        kind: e.kind.name().into(),
        text: e.kind.to_string(),
        tail: e.kind.tail().into(),
        detail,
    }
}
