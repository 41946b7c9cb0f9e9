//! Events. What is not known in fields still has its name, sentence and tail.

use model::{
    Revision, RolloutId,
    fleet::{Event, EventKind, Evidence, Settled},
    time::WallTime,
};

use super::{
    Invalid, all_named, maybe_named, named, needed, read,
    rollouts::{read_kind, read_verdict, write_kind, write_outcome},
    types::{failure, id_text, migration_state, operator},
    words::Word,
};
use crate::{
    v1::{self, event::Detail},
    view::{SeenEvent, Verdict},
};

impl From<&Event> for v1::Event {
    fn from(event: &Event) -> Self {
        SeenEvent::from(event).into()
    }
}

impl From<SeenEvent> for v1::Event {
    fn from(event: SeenEvent) -> Self {
        let host = event.host.as_ref().map(|host| host.as_str().to_owned()).unwrap_or_default();
        Self {
            cursor: Some(event.cursor.into()),
            at_ms: event.at.0,
            service: event.service.map(Into::into),
            rollout: event.rollout.map(|rollout| rollout.0),
            host: event.host.map(Into::into),
            kind: event.kind,
            text: event.text,
            tail: event.tail,
            detail: event.detail.and_then(|kind| write_detail(kind, host)),
        }
    }
}

impl TryFrom<v1::Event> for SeenEvent {
    type Error = Invalid;
    fn try_from(event: v1::Event) -> Result<Self, Invalid> {
        let detail = match (event.detail, event.kind.as_str()) {
            (Some(detail), _) => read_detail(detail).ok(),
            (None, "enrolled") => Some(EventKind::Enrolled),
            (None, _) => None,
        };
        Ok(Self {
            cursor: needed("cursor", event.cursor)?.into(),
            at: WallTime(event.at_ms),
            service: maybe_named("service", event.service.as_deref())?,
            rollout: event.rollout.map(RolloutId),
            host: maybe_named("host", event.host.as_deref())?,
            kind: event.kind,
            text: event.text,
            tail: event.tail,
            detail,
        })
    }
}

fn write_detail(kind: EventKind, host: String) -> Option<Detail> {
    Some(match kind {
        EventKind::RolloutBegan { release, why, by } => {
            let (kind, rollback_of, aborted) = write_kind(why);
            let by = Some(by.into());
            Detail::RolloutBegan(v1::RolloutBegan {
                release: id_text(release),
                kind,
                rollback_of,
                aborted,
                by,
            })
        }
        EventKind::RolloutMoved { phase } => Detail::RolloutMoved(phase.into()),
        EventKind::RolloutEnded { outcome } => {
            let (outcome, superseded_by) = write_outcome(&outcome);
            Detail::RolloutEnded(v1::RolloutEnded { outcome, superseded_by })
        }
        EventKind::Paused { by } => Detail::Paused(by.into()),
        EventKind::Resumed { by } => Detail::Resumed(by.into()),
        EventKind::WaveStarted { wave, hosts } => Detail::WaveStarted(v1::WaveStarted {
            wave,
            hosts: hosts.into_iter().map(String::from).collect(),
        }),
        EventKind::WaveSoaked { wave } => Detail::WaveSoaked(wave),
        EventKind::Staged { release } => Detail::Staged(release.into()),
        EventKind::NotStaged { release, reason } => {
            Detail::NotStaged(v1::ReleaseReason { release: release.into(), reason })
        }
        EventKind::Dropped { reason } => Detail::Dropped(reason),
        EventKind::Migration { release, state } => {
            Detail::Migration(v1::MigrationMoved { release: release.into(), state: Some(state.into()) })
        }
        EventKind::Granted { fence, to } => {
            Detail::Granted(v1::Granted { fence: Some(fence.into()), to: id_text(to) })
        }
        EventKind::HostMoved { from, to, reason } => {
            Detail::HostMoved(v1::HostMoved { from: from.write(), to: to.write(), reason })
        }
        EventKind::HostFailed { release, failure } => Detail::HostFailed(v1::HostFailure {
            host,
            phase: failure.phase.write(),
            cause: failure.cause.write(),
            reason: failure.reason,
            tail: failure.tail.to_string(),
            release: id_text(release),
        }),
        EventKind::HostSettled { release, end } => Detail::HostSettled(write_settled(id_text(release), end)),
        EventKind::Availability { availability, reason, tail } => {
            Detail::Availability(v1::AvailabilityChanged {
                availability: availability.write(),
                reason,
                tail: tail.to_string(),
            })
        }
        EventKind::Quarantined { release, reason } => {
            Detail::Quarantined(v1::ReleaseReason { release: release.into(), reason })
        }
        EventKind::QuarantineReleased { release, by } => {
            Detail::QuarantineReleased(v1::ReleaseBy { release: release.into(), by: Some(by.into()) })
        }
        EventKind::LockBroken { lock, by } => {
            Detail::LockBroken(v1::LockBroken { lock, by: Some(by.into()) })
        }
        EventKind::Asked { what, by } => Detail::Asked(v1::Asked { what, by: Some(by.into()) }),
        EventKind::Enrolled => return None,
        EventKind::Departed { evidence } => Detail::Departed(v1::Departed {
            removed_by: match evidence {
                Evidence::Terminated => None,
                Evidence::Removed(by) => Some(by.into()),
            },
        }),
        EventKind::Rebuilt { from, last, by } => {
            Detail::Rebuilt(v1::Rebuilt { from: from.into(), last: last.0, by: Some(by.into()) })
        }
        EventKind::ChannelRefused { channel, reason } => {
            Detail::ChannelRefused(v1::ChannelRefused { channel, reason })
        }
        EventKind::LevelRaised { level } => Detail::LevelRaised(level),
    })
}

fn write_settled(release: Option<String>, end: Settled) -> v1::HostSettled {
    let (word, reason) = match end {
        Settled::Changed => (v1::SettledWord::Changed, String::new()),
        Settled::Reverted => (v1::SettledWord::Reverted, String::new()),
        Settled::Abandoned { reason } => (v1::SettledWord::Abandoned, reason),
        Settled::Parked => (v1::SettledWord::Parked, String::new()),
    };
    v1::HostSettled { release, end: word.into(), reason }
}

fn read_settled(wire: v1::HostSettled) -> Result<EventKind, Invalid> {
    let end = match v1::SettledWord::try_from(wire.end) {
        Ok(v1::SettledWord::Changed) => Settled::Changed,
        Ok(v1::SettledWord::Reverted) => Settled::Reverted,
        Ok(v1::SettledWord::Abandoned) => Settled::Abandoned { reason: wire.reason },
        Ok(v1::SettledWord::Parked) => Settled::Parked,
        Ok(v1::SettledWord::Unspecified) | Err(_) => {
            return Err(Invalid::new("end", format!("{} is not known to this version", wire.end)));
        }
    };
    Ok(EventKind::HostSettled { release: maybe_named("release", wire.release.as_deref())?, end })
}

fn read_detail(detail: Detail) -> Result<EventKind, Invalid> {
    Ok(match detail {
        Detail::RolloutBegan(wire) => EventKind::RolloutBegan {
            release: maybe_named("release", wire.release.as_deref())?,
            why: read_kind(wire.kind, wire.rollback_of, wire.aborted)?,
            by: operator(wire.by),
        },
        Detail::RolloutMoved(phase) => EventKind::RolloutMoved { phase: read("phase", Some(phase))? },
        Detail::RolloutEnded(wire) => match read_verdict("outcome", wire.outcome, wire.superseded_by)? {
            Verdict::Over(outcome) => EventKind::RolloutEnded { outcome },
            Verdict::Halted => return Err(Invalid::new("outcome", "halted is no end")),
        },
        Detail::Paused(by) => EventKind::Paused { by: by.into() },
        Detail::Resumed(by) => EventKind::Resumed { by: by.into() },
        Detail::WaveStarted(wire) => {
            EventKind::WaveStarted { wave: wire.wave, hosts: all_named("hosts", &wire.hosts)? }
        }
        Detail::WaveSoaked(wave) => EventKind::WaveSoaked { wave },
        Detail::Staged(release) => EventKind::Staged { release: named("staged", &release)? },
        Detail::NotStaged(wire) => {
            EventKind::NotStaged { release: named("release", &wire.release)?, reason: wire.reason }
        }
        Detail::Dropped(reason) => EventKind::Dropped { reason },
        Detail::Migration(wire) => EventKind::Migration {
            release: named("release", &wire.release)?,
            state: migration_state(wire.state)?,
        },
        Detail::Granted(wire) => EventKind::Granted {
            fence: needed("fence", wire.fence)?.into(),
            to: maybe_named("to", wire.to.as_deref())?,
        },
        Detail::HostMoved(wire) => EventKind::HostMoved {
            from: Word::read("from", wire.from)?,
            to: Word::read("to", wire.to)?,
            reason: wire.reason,
        },
        Detail::HostFailed(wire) => EventKind::HostFailed {
            release: maybe_named("release", wire.release.as_deref())?,
            failure: failure(wire)?,
        },
        Detail::HostSettled(wire) => read_settled(wire)?,
        Detail::Availability(wire) => EventKind::Availability {
            availability: Word::read("availability", wire.availability)?,
            reason: wire.reason,
            tail: wire.tail.into(),
        },
        Detail::Quarantined(wire) => {
            EventKind::Quarantined { release: named("release", &wire.release)?, reason: wire.reason }
        }
        Detail::QuarantineReleased(wire) => {
            EventKind::QuarantineReleased { release: named("release", &wire.release)?, by: operator(wire.by) }
        }
        Detail::LockBroken(wire) => EventKind::LockBroken { lock: wire.lock, by: operator(wire.by) },
        Detail::Asked(wire) => EventKind::Asked { what: wire.what, by: operator(wire.by) },
        Detail::Departed(wire) => EventKind::Departed {
            evidence: wire.removed_by.map_or(Evidence::Terminated, |by| Evidence::Removed(by.into())),
        },
        Detail::Rebuilt(wire) => EventKind::Rebuilt {
            from: named("from", &wire.from)?,
            last: Revision(wire.last),
            by: operator(wire.by),
        },
        Detail::ChannelRefused(wire) => {
            EventKind::ChannelRefused { channel: wire.channel, reason: wire.reason }
        }
        Detail::LevelRaised(level) => EventKind::LevelRaised { level },
    })
}
