//! For programs. The shapes are documented in docs/json.md, and only ever gain fields.

use api::view::{
    Ended, Gap, History, HostFailure, HostStatus, MigrationStatus, Pushed, QuarantineStatus, SeenEvent,
    ServiceStatus, Stale, Status, Verdict,
};
use model::{
    ServiceName,
    fleet::{Outcome, Rollout},
    host::Health,
};
use serde_json::{Value, json};

pub(crate) fn event(event: &SeenEvent) -> Value {
    json!({
        "item": "event",
        "cursor": event.cursor.to_string(),
        "at_ms": event.at.0,
        "service": event.service,
        "rollout": event.rollout.map(|rollout| rollout.to_string()),
        "host": event.host,
        "kind": event.kind,
        "text": event.text,
        "tail": event.tail,
        "detail": event.detail,
    })
}

pub(crate) fn gap(gap: &Gap) -> Value {
    json!({ "item": "gap", "resumes_at": gap.resumes_at.to_string() })
}

pub(crate) fn begun(service: &ServiceName, pushed: &Pushed) -> Value {
    json!({
        "item": "begun",
        "service": service,
        "rollout": pushed.rollout.to_string(),
        "joined": pushed.joined,
        "release": pushed.release.as_ref().map(|release| &release.id),
    })
}

pub(crate) fn ended(ended: &Ended) -> Value {
    json!({
        "item": "ended",
        "rollout": ended.rollout.to_string(),
        "outcome": ended.verdict.word(),
        "exit_code": ended.verdict.exit_code(),
        "superseded_by": match &ended.verdict {
            Verdict::Over(Outcome::Superseded { by }) => Some(by.to_string()),
            _ => None,
        },
        "rollback": ended.rollback.as_ref().map(|(rollout, verdict)| json!({
            "rollout": rollout.to_string(),
            "outcome": verdict.as_ref().map(Verdict::word),
        })),
        "reason": ended.reason,
        "next": ended.next,
        "failures": ended.failures.iter().map(failure).collect::<Vec<_>>(),
    })
}

fn failure(failure: &HostFailure) -> Value {
    json!({
        "host": failure.host,
        "release": failure.release,
        "phase": failure.failure.phase,
        "cause": failure.failure.cause,
        "reason": failure.failure.reason,
        "tail": failure.failure.tail,
    })
}

pub(crate) fn history(history: &History) -> Value {
    json!({
        "rollouts": history.rollouts.iter().map(rollout).collect::<Vec<_>>(),
        "answered_by": history.answered_by,
        "revision": history.revision,
        "stale": stale(history.stale.as_ref()),
    })
}

pub(super) fn stale(stale: Option<&Stale>) -> Value {
    json!(stale.map(|stale| json!({ "reason": stale.reason, "missing": stale.missing })))
}

fn rollout(rollout: &Rollout) -> Value {
    json!({
        "rollout": rollout.id.to_string(),
        "service": rollout.service,
        "release": rollout.target.as_ref().map(|release| &release.id),
        "before": rollout.before.as_ref().map(|release| &release.id),
        "why": rollout.kind,
        "by": rollout.by,
        "provenance": (!rollout.provenance.is_empty()).then_some(&rollout.provenance),
        "state": rollout.phase.word(),
        "exit_code": rollout.outcome().map(Outcome::exit_code),
        "paused": rollout.paused,
        "began_ms": rollout.began.0,
        "ended_ms": rollout.ended.map(|ended| ended.0),
        "parts": rollout.parts,
        "failures": rollout.failures.iter().map(|(host, failure)| json!({
            "host": host, "phase": failure.phase, "cause": failure.cause, "reason": failure.reason, "tail": failure.tail,
        })).collect::<Vec<_>>(),
    })
}

pub(crate) fn status(status: &Status) -> Value {
    json!({
        "cluster": status.cluster,
        "leader": status.leader,
        "revision": status.revision,
        "answered_by": status.answered_by,
        "stale": stale(status.stale.as_ref()),
        "services": status.services.iter().map(service).collect::<Vec<_>>(),
    })
}

fn service(service: &ServiceStatus) -> Value {
    json!({
        "service": service.service,
        "active": service.active.as_ref().map(rollout),
        "next": service.next.as_ref().map(rollout),
        "completed": service.completed.as_ref().map(|release| &release.id),
        "slots": { "limit": service.slots.limit, "holders": service.slots.holders },
        "migration_lock": service.migration_lock.as_ref().map(|lock| json!({
            "host": lock.host, "fence": lock.fence.to_string(), "release": lock.release.id,
            "granted_at_ms": lock.granted_at.map(|at| at.0),
        })),
        "migrations": service.migrations.iter().map(migration).collect::<Vec<_>>(),
        "quarantine": service.quarantine.iter().map(kept).collect::<Vec<_>>(),
        "mixed": service.mixed,
        "channel": service.channel.as_ref().map(|channel| json!({
            "url": channel.url, "release": channel.release, "refused": channel.refused, "trouble": channel.trouble,
        })),
        "holds": service.holds.iter().map(|hold| json!({
            "name": hold.name, "text": hold.text, "ends_when": hold.ends_when, "host": hold.host,
            "lasted_ms": hold.lasted.as_millis(), "ends_in_ms": hold.ends_in.map(|ends| ends.as_millis()),
            "rollout": hold.rollout.map(|rollout| rollout.to_string()),
        })).collect::<Vec<_>>(),
        "hosts": service.hosts.iter().map(host).collect::<Vec<_>>(),
    })
}

pub(super) fn migration(migration: &MigrationStatus) -> Value {
    json!({ "release": migration.release, "host": migration.host, "state": migration.state })
}

pub(super) fn kept(kept: &QuarantineStatus) -> Value {
    json!({
        "release": kept.release,
        "reason": kept.reason,
        "rollout": kept.rollout.map(|rollout| rollout.to_string()),
    })
}

pub(super) fn host(host: &HostStatus) -> Value {
    json!({
        "host": host.host,
        "address": host.address,
        "zone": host.zone,
        "current": host.current.as_ref().map(|release| &release.id),
        "availability": host.availability,
        "counted": host.counted,
        "change": host.change.as_ref().map(|change| json!({
            "fence": change.fence.to_string(),
            "to": change.to.as_ref().map(|release| &release.id),
            "from": change.from.as_ref().map(|release| &release.id),
            "phase": change.phase,
            "since_ms": change.since.as_millis(),
            "revert": change.revert,
            "rollout": change.rollout.map(|rollout| rollout.to_string()),
            "park": change.park,
            "granted_at_ms": change.granted_at.map(|at| at.0),
        })),
        "part": host.part,
        "staged": host.staged,
        "stage_trouble": host.stage_trouble,
        "silent_ms": host.silent.map(|silent| silent.as_millis()),
        "pid": host.pid,
        "restarts": host.restarts,
        "trouble": host.trouble,
        "waits_for": host.waits_for,
        "staging": host.staging.as_ref().map(|staging| json!({
            "release": staging.release,
            "paths_done": staging.progress.paths_done,
            "paths": staging.progress.paths,
            "bytes_done": staging.progress.bytes_done,
            "bytes": staging.progress.bytes,
        })),
        "health": host.health.as_ref().map(health),
        "excluded": host.excluded,
        "parked": host.parked,
        "last_failure": host.last_failure.as_ref().map(failure),
    })
}

fn health(health: &Health) -> Value {
    json!({
        "up": health.up(),
        "instances": health.instances.iter().map(|instance| json!({
            "pid": instance.pid, "restarts": instance.restarts, "ended": instance.ended,
        })).collect::<Vec<_>>(),
        "instances_wanted": health.instances_wanted,
        "ready": health.ready,
        "status": health.status,
        "probe": health.probe.as_ref().map(|probe| json!({
            "passed": probe.passed, "ago_ms": probe.ago.as_millis(), "reason": probe.reason,
        })),
        "standing": health.standing,
    })
}
