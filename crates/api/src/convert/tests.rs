//! What is written is read back as it was.

use std::{collections::BTreeMap, time::Duration};

use model::{
    Fence, Incarnation, Policy, Release, Revision, RolloutId,
    fleet::{
        Availability, Cause, Event, EventKind, Evidence, Failure, Halt, Halting, MigrationState, Operator,
        Outcome, Part, PartState, PhaseKind, Request, Rollout, RolloutKind, RolloutPhase, Settled, Verdict,
    },
    host::health::{Health, Instance, Probe},
    planner::preview::{Ahead, End, Going, MigrationAhead, Start, Turn, Wave},
    policy::{MigratePer, OnFailure},
    time::WallTime,
};

use super::{Invalid, words::Word};
use crate::{v1, view};

fn by() -> Operator {
    Operator { name: "ada".into(), reason: "as told".into() }
}

fn release(name: &str) -> Release {
    Release { id: name.parse().unwrap(), source: format!("/srv/{name}"), migrates: true }
}

fn failure() -> Failure {
    Failure {
        phase: PhaseKind::Probing,
        cause: Cause::Release,
        reason: "exited with code 3".into(),
        tail: "line\nlast".into(),
    }
}

fn fence() -> Fence {
    Fence { incarnation: Incarnation(2), revision: Revision(17) }
}

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

fn rollout(phase: RolloutPhase, kind: RolloutKind) -> Rollout {
    let part = |state, wave| Part { wave, state };
    Rollout {
        id: RolloutId(12),
        service: "web".parse().unwrap(),
        target: Some(release("abc-web-2")),
        before: None,
        kind,
        by: by(),
        phase,
        paused: Some(by()),
        parts: BTreeMap::from([
            ("h1".parse().unwrap(), part(PartState::Failed, Some(0))),
            ("h2".parse().unwrap(), part(PartState::Pending, None)),
        ]),
        waves: 1,
        wave_soaked: true,
        failures: vec![("h1".parse().unwrap(), failure())],
        elapsed: Vec::new(),
        began: WallTime(5),
        ended: Some(WallTime(6)),
    }
}

#[test]
fn every_phase_and_kind_of_a_rollout_comes_back_as_it_was() {
    let host = || "h1".parse().unwrap();
    let halted = |why| RolloutPhase::Halted { during: Halting::Staging, why };
    let ended = |outcome| RolloutPhase::Ended { outcome };
    let phases = [
        RolloutPhase::Queued,
        RolloutPhase::Staging,
        RolloutPhase::Migrating,
        RolloutPhase::Rolling,
        RolloutPhase::RollingBack { by: RolloutId(13) },
        halted(Halt::NotStaged { hosts: vec![(host(), "no space".into())] }),
        halted(Halt::MigrationUnknown { host: host() }),
        halted(Halt::Failed { host: host() }),
        ended(Outcome::Completed),
        ended(Outcome::FailedInMigration),
        ended(Outcome::Failed),
        ended(Outcome::RolledBack),
        ended(Outcome::RollbackFailed),
        ended(Outcome::Aborted),
        ended(Outcome::Superseded { by: RolloutId(14) }),
    ];
    for phase in phases {
        let before = rollout(phase, RolloutKind::Push);
        assert_eq!(Rollout::try_from(v1::Rollout::from(before.clone())).unwrap(), before);
    }
    let of = RolloutKind::RollbackOf { rollout: RolloutId(3), aborted: true };
    for kind in [RolloutKind::Push, of, RolloutKind::Rollback, RolloutKind::Restart] {
        let before = rollout(RolloutPhase::Rolling, kind);
        assert_eq!(Rollout::try_from(v1::Rollout::from(before.clone())).unwrap(), before);
    }
}

fn policy() -> Policy {
    Policy {
        max_unavailable: 3.try_into().unwrap(),
        wave: Some(2.try_into().unwrap()),
        soak: Duration::from_millis(1500),
        failure_tolerance: 1,
        on_failure: OnFailure::Pause,
        migrate: MigratePer::Host,
        ..Policy::default()
    }
}

fn host_status() -> view::HostStatus {
    view::HostStatus {
        host: "h1".parse().unwrap(),
        address: "10.0.0.1:7100".into(),
        zone: Some("a".into()),
        current: Some(release("abc-web-1")),
        change: Some(view::ChangeStatus {
            fence: fence(),
            to: Some(release("abc-web-2")),
            from: None,
            phase: PhaseKind::Joining,
            since: Duration::from_millis(3200),
            revert: true,
            rollout: Some(RolloutId(12)),
            park: false,
            granted_at: Some(WallTime(1_700_000_000_000)),
        }),
        availability: Availability::Out,
        counted: true,
        excluded: Some(by()),
        parked: None,
        staged: vec!["abc-web-2".parse().unwrap()],
        stage_trouble: Some("no space".into()),
        silent: Some(Duration::from_secs(9)),
        pid: Some(77),
        restarts: Some(0),
        trouble: "target is initial".into(),
        waits_for: "the balancer to say in service".into(),
        health: Some(Health {
            instances: vec![
                Instance { pid: Some(77), restarts: 0, ended: None },
                Instance { pid: None, restarts: 2, ended: Some("exited with code 1".into()) },
            ],
            instances_wanted: Some(3),
            ready: Some(true),
            status: Some("warm".into()),
            probe: Some(Probe {
                passed: false,
                ago: Duration::from_millis(400),
                reason: "instance 1: connect: connection refused".into(),
            }),
            standing: Some("initial".into()),
        }),
        last_failure: Some(view::HostFailure {
            host: "h1".parse().unwrap(),
            release: None,
            failure: failure(),
        }),
        part: Some(PartState::Changing),
    }
}

fn status() -> view::Status {
    let states = [
        MigrationState::Never,
        MigrationState::NotNeeded,
        MigrationState::Running { host: "h1".parse().unwrap(), started: true },
        MigrationState::Succeeded,
        MigrationState::Failed { reason: "exit code 3".into(), tail: "boom".into() },
    ];
    let migration =
        |state| view::MigrationStatus { release: "abc-web-2".parse().unwrap(), host: None, state };
    view::Status {
        cluster: "main".into(),
        leader: Some("h1".parse().unwrap()),
        revision: Revision(40),
        answered_by: "h2".parse().unwrap(),
        stale: Some(view::Stale {
            reason: "h3 does not answer".into(),
            missing: vec!["h3".parse().unwrap()],
        }),
        services: vec![view::ServiceStatus {
            service: "web".parse().unwrap(),
            policy: policy(),
            active: Some(rollout(RolloutPhase::Rolling, RolloutKind::Push)),
            next: None,
            completed: Some(release("abc-web-1")),
            quarantine: vec![view::QuarantineStatus {
                release: "abc-web-0".parse().unwrap(),
                reason: "exited".into(),
                rollout: Some(RolloutId(3)),
            }],
            migrations: states.map(migration).into(),
            holds: vec![view::HoldStatus {
                name: "no_free_slot".into(),
                text: "no free slot".into(),
                ends_when: "a holder is done".into(),
                lasted: Duration::from_millis(3100),
                ends_in: Some(Duration::from_secs(4)),
                host: None,
                rollout: Some(RolloutId(12)),
            }],
            hosts: vec![host_status()],
            slots: view::Slots { limit: 1, holders: vec!["h1".parse().unwrap()] },
            migration_lock: Some(view::MigrationLockStatus {
                host: "h1".parse().unwrap(),
                fence: fence(),
                release: release("abc-web-2"),
                granted_at: Some(WallTime(1_700_000_000_000)),
            }),
            mixed: true,
        }],
        cursor: "40.3".parse().unwrap(),
    }
}

#[test]
fn a_status_comes_back_as_it_was() {
    assert_eq!(view::Status::try_from(v1::StatusResponse::from(status())).unwrap(), status());
}

#[test]
fn what_cannot_be_read_is_named_by_its_path() {
    let mut wire = v1::StatusResponse::from(status());
    wire.services[0].hosts[0].change.as_mut().unwrap().phase = 99;
    let field = "services.hosts.change.phase".to_owned();
    let problem = "99 is not known to this version".to_owned();
    assert_eq!(view::Status::try_from(wire), Err(Invalid { field, problem }));
}

#[test]
fn fields_that_a_policy_does_not_have_are_the_defaults() {
    assert_eq!(Policy::try_from(v1::Policy::default()).unwrap(), Policy::default());
    assert_eq!(Policy::try_from(v1::Policy::from(policy())).unwrap(), policy());
    let zero = v1::Policy { canary: Some(0), ..v1::Policy::default() };
    assert_eq!(Policy::try_from(zero).unwrap_err().to_string(), "canary: must be at least 1");
}

#[test]
fn words_are_all_different_and_none_is_unspecified() {
    let numbers: std::collections::BTreeSet<i32> = PhaseKind::ALL.into_iter().map(Word::write).collect();
    assert_eq!(numbers.len(), PhaseKind::ALL.len());
    assert!(!numbers.contains(&0));
    for phase in PhaseKind::ALL {
        assert_eq!(PhaseKind::read("phase", phase.write()), Ok(phase));
    }
    assert!(PhaseKind::read("phase", 0).unwrap_err().to_string().contains("must be given"));
}

#[test]
fn requests_become_what_is_asked() {
    let service = "web".to_owned();
    let lock = v1::break_lock_request::Lock::SlotOf("h1".into());
    let wire = v1::BreakLockRequest { service: service.clone(), by: Some(by().into()), lock: Some(lock) };
    let ask = view::Ask::try_from(wire).unwrap();
    assert_eq!(ask.request, Request::BreakSlot { host: "h1".parse().unwrap() });
    assert_eq!(ask.by, by());

    let no = v1::break_lock_request::Lock::Migration(false);
    let wire = v1::BreakLockRequest { service: service.clone(), by: None, lock: Some(no) };
    assert_eq!(view::Ask::try_from(wire).unwrap_err().field, "migration");

    let verdict = v1::Verdict::Retry.into();
    let wire = v1::ResolveMigrationRequest { service, by: None, release: "abc-web-2".into(), verdict };
    let release = "abc-web-2".parse().unwrap();
    let expected = Request::ResolveMigration { release, verdict: Verdict::Retry };
    assert_eq!(view::Ask::try_from(wire).unwrap().request, expected);

    let wire = v1::PauseRequest { service: "a b".into(), by: None };
    assert_eq!(view::Ask::try_from(wire).unwrap_err().field, "service");
    let wire = v1::PushRequest { service: "web".into(), ..v1::PushRequest::default() };
    assert_eq!(view::Push::try_from(wire).unwrap_err().field, "source");
}

#[test]
fn ends_of_a_watch_come_back_as_they_were() {
    let failed = || view::HostFailure { host: "h1".parse().unwrap(), release: None, failure: failure() };
    let ended = |verdict, rollback| view::Ended {
        rollout: RolloutId(12),
        verdict,
        rollback,
        reason: "why".into(),
        next: "do".into(),
        failures: vec![failed()],
    };
    let over = view::Verdict::Over;
    let all = [
        ended(over(Outcome::RolledBack), Some((RolloutId(13), Some(over(Outcome::Completed))))),
        ended(over(Outcome::Superseded { by: RolloutId(14) }), None),
        ended(view::Verdict::Halted, Some((RolloutId(13), None))),
    ];
    for item in all.map(view::WatchItem::Ended) {
        assert_eq!(view::WatchItem::try_from(v1::WatchResponse::from(item.clone())).unwrap(), item);
    }
}

fn preview(end: End) -> view::PushPreview {
    let host = |name: &str| name.parse().unwrap();
    let turn = Turn { hosts: vec![Going { host: host("h1"), sick: true }], out: 2 };
    let soak = Duration::from_secs(30);
    let wave = Wave { number: 1, canary: false, turns: vec![turn], waiting: vec![host("h2")], soak };
    view::PushPreview {
        answered_by: host("h1"),
        revision: Revision(9),
        ahead: Ahead {
            service: "web".parse().unwrap(),
            release: release("abc-web-2"),
            start: Start::Supersedes { rollout: RolloutId(4) },
            replaces: Some(RolloutId(5)),
            max_unavailable: 2,
            out: vec![(host("h3"), "silent".into())],
            busy: vec![(host("h4"), PhaseKind::Parked)],
            there: vec![host("h5")],
            fetch: vec![host("h1"), host("h2")],
            migration: MigrationAhead::Runs { per: MigratePer::Host, hosts: vec![host("h1"), host("h2")] },
            waves: vec![wave],
            left_out: vec![(host("h6"), "excluded".into())],
            end,
        },
        holds: status().services[0].holds.clone(),
        troubles: vec![(host("h1"), "throttled".into())],
    }
}

#[test]
fn a_preview_is_read_back_as_it_was() {
    let superseded = Outcome::Superseded { by: RolloutId(7) };
    for end in [End::Over(Outcome::Completed), End::Over(superseded), End::Held, End::Cut] {
        let shown = preview(end);
        let wire = v1::PreviewPushResponse::from(shown.clone());
        assert_eq!(view::PushPreview::try_from(wire), Ok(shown));
    }
    let wire = v1::PreviewPushResponse { other: None, ..preview(End::Held).into() };
    let invalid = view::PushPreview::try_from(wire).unwrap_err();
    assert_eq!(invalid.to_string(), "other: must be present");
}

#[test]
fn what_is_too_long_or_too_large_is_refused_with_its_field() {
    let long = "x".repeat(5 << 20);
    let push = || v1::PushRequest { service: "web".into(), source: "/r".into(), ..Default::default() };
    let by = |name: &str, reason: &str| Some(v1::Operator { name: name.into(), reason: reason.into() });
    let policy = |policy| v1::PushRequest { policy: Some(policy), ..push() };
    let year_ms = Some(365 * 24 * 3_600_000);
    for (wire, expected) in [
        (v1::PushRequest { service: long.clone(), ..push() }, "service: "),
        (
            v1::PushRequest { source: long.clone(), ..push() },
            "source: must be at most 4096 bytes long, and has 5242880",
        ),
        (v1::PushRequest { by: by(&long, ""), ..push() }, "by.name: must be at most 256 bytes long"),
        (v1::PushRequest { by: by("", &long), ..push() }, "by.reason: must be at most 2048 bytes long"),
        (
            policy(v1::Policy { max_unavailable: Some(u32::MAX), ..Default::default() }),
            "policy.max_unavailable: ",
        ),
        (
            policy(v1::Policy { wave: Some(10_001), ..Default::default() }),
            "policy.wave: must be at most 10000",
        ),
        (
            policy(v1::Policy { failure_tolerance: Some(10_001), ..Default::default() }),
            "policy.failure_tolerance: ",
        ),
        (
            policy(v1::Policy { soak_ms: Some(u64::MAX), ..Default::default() }),
            "policy.soak_ms: must be at most 86400000",
        ),
        (policy(v1::Policy { stop_grace_ms: year_ms, ..Default::default() }), "policy.stop_grace_ms: "),
        (policy(v1::Policy { join_deadline_ms: year_ms, ..Default::default() }), "policy.join_deadline_ms: "),
    ] {
        let told = view::Push::try_from(wire).unwrap_err().to_string();
        assert!(told.starts_with(expected) && told.len() < 400, "{expected:?}: {told}");
    }
    let most = v1::PushRequest {
        source: format!("/{}", "x".repeat(4095)),
        by: by(&"n".repeat(256), &"r".repeat(2048)),
        ..push()
    };
    assert!(view::Push::try_from(most).is_ok());
}
