//! Events.

use model::{
    Revision, RolloutId,
    fleet::{
        Availability, Event, EventKind, Evidence, MigrationState, Operator, Outcome, PhaseKind, RolloutKind,
        RolloutPhase, Settled,
    },
    time::WallTime,
};

use super::{by, failure, fence};
use crate::{v1, view};

fn kinds() -> Vec<EventKind> {
    let id = || "abc-web-2".parse().unwrap();
    let host = || "h1".parse().unwrap();
    let reason = || "why".to_owned();
    vec![
        EventKind::RolloutBegan { release: Some(id()), why: RolloutKind::Push, by: by() },
        EventKind::RolloutBegan {
            release: None,
            why: RolloutKind::RollbackOf { rollout: RolloutId(4), aborted: true },
            by: by(),
        },
        EventKind::RolloutMoved { phase: RolloutPhase::RollingBack { by: RolloutId(9) } },
        EventKind::RolloutEnded { outcome: Outcome::Superseded { by: RolloutId(8) } },
        EventKind::Paused { by: by() },
        EventKind::Resumed { by: by() },
        EventKind::WaveStarted { wave: 0, hosts: vec![host()] },
        EventKind::WaveSoaked { wave: 3 },
        EventKind::Staged { release: id() },
        EventKind::NotStaged { release: id(), reason: reason() },
        EventKind::Dropped { reason: reason() },
        EventKind::Migration {
            release: id(),
            state: MigrationState::Unknown { host: host(), reason: reason(), tail: "t".into() },
        },
        EventKind::Granted { fence: fence(), to: Some(id()) },
        EventKind::HostMoved { from: PhaseKind::Granted, to: PhaseKind::Draining, reason: Some(reason()) },
        EventKind::HostFailed { release: Some(id()), failure: failure() },
        EventKind::HostSettled { release: None, end: Settled::Abandoned { reason: reason() } },
        EventKind::HostSettled { release: Some(id()), end: Settled::Parked },
        EventKind::Availability { availability: Availability::Unknown, reason: reason(), tail: "t".into() },
        EventKind::Quarantined { release: id(), reason: reason() },
        EventKind::QuarantineReleased { release: id(), by: by() },
        EventKind::LockBroken { lock: "slot of h1".into(), by: by() },
        EventKind::Asked { what: "drain".into(), by: by() },
        EventKind::Enrolled,
        EventKind::Departed { evidence: Evidence::Terminated },
        EventKind::Departed { evidence: Evidence::Removed(by()) },
        EventKind::Rebuilt {
            from: "c1-x".parse().unwrap(),
            last: Revision(40),
            by: Operator { name: "ann".into(), reason: "a zone burned".into() },
        },
        EventKind::ChannelRefused { channel: "s3://releases/web".into(), reason: reason() },
        EventKind::LevelRaised { level: 2 },
    ]
}

fn event(kind: EventKind) -> Event {
    Event {
        revision: Revision(40),
        index: 2,
        at: WallTime(1_700_000_000_123),
        service: Some("web".parse().unwrap()),
        rollout: Some(RolloutId(12)),
        host: Some("h1".parse().unwrap()),
        kind,
    }
}

#[test]
fn every_kind_of_event_comes_back_as_it_was() {
    for kind in kinds() {
        let event = event(kind);
        let back = view::SeenEvent::try_from(v1::Event::from(&event)).unwrap();
        assert_eq!(back, view::SeenEvent::from(&event));
    }
}

#[test]
fn an_event_of_a_newer_agent_keeps_its_name_and_sentence() {
    let mut newer = v1::Event::from(&event(EventKind::WaveSoaked { wave: 1 }));
    (newer.kind, newer.text, newer.detail) = ("moon_phase".into(), "the moon is full".into(), None);
    let seen = view::SeenEvent::try_from(newer).unwrap();
    assert_eq!(
        (seen.kind.as_str(), seen.text.as_str(), seen.detail),
        ("moon_phase", "the moon is full", None)
    );

    let moved = EventKind::HostMoved { from: PhaseKind::Granted, to: PhaseKind::Draining, reason: None };
    let mut newer = v1::Event::from(&event(moved));
    if let Some(v1::event::Detail::HostMoved(moved)) = &mut newer.detail {
        moved.to = 99;
    }
    let seen = view::SeenEvent::try_from(newer).unwrap();
    assert_eq!((seen.text.as_str(), seen.detail), ("granted → draining", None));
}
