//! A fleet in the middle of a rollout, as an agent would tell of it: something of everything.

use std::time::Duration;

use api::{
    v1,
    view::{
        ChangeStatus, ChannelStatus, ClusterView, Cursor, FleetHost, History, HoldStatus, HostFailure,
        HostStatus, LogItem, LogLine, LogPlace, LogSource, LogSpot, LogStream, Member, MigrationLockStatus,
        MigrationStatus, PushPreview, QuarantineStatus, RecoveredVoter, Recovery, ServiceStatus, Slots,
        Staging, Status,
    },
};
use model::{
    Fence, HostId, Incarnation, Policy, Release, Revision, RolloutId, StageProgress,
    fleet::{
        Availability, Cause, Failure, MigrationState, Operator, Outcome, Part, PartState, PhaseKind,
        Provenance, Rollout, RolloutKind, RolloutPhase,
    },
    planner::preview::{Ahead, End, Going, MigrationAhead, Start, Turn, Wave},
    policy::MigratePer,
    time::WallTime,
};

/// A moment: 2026-11-21 03:04:05 UTC.
pub(crate) const AT: WallTime = WallTime(1_795_230_245_000);

pub(crate) fn named(name: &str) -> HostId {
    name.parse().unwrap()
}

pub(crate) fn release(name: &str) -> Release {
    Release { id: name.parse().unwrap(), source: format!("/srv/releases/{name}"), migrates: true }
}

fn fence(revision: u64) -> Fence {
    Fence { incarnation: Incarnation(1), revision: Revision(revision) }
}

fn by(name: &str, reason: &str) -> Operator {
    Operator { name: name.into(), reason: reason.into() }
}

pub(crate) fn failure() -> Failure {
    Failure {
        phase: PhaseKind::Probing,
        cause: Cause::Release,
        reason: "exited with code 3".into(),
        tail: "listening\nno such table: users\n".into(),
    }
}

/// A push that rolls: h1 is done, h2 is silent in the middle of its change, h3 waits, h4 is drained.
pub(crate) fn rollout() -> Rollout {
    let part = |wave, state| Part { wave, state };
    let parts = [
        (named("h1"), part(Some(0), PartState::Changed)),
        (named("h2"), part(Some(1), PartState::Changing)),
        (named("h3"), part(Some(1), PartState::Pending)),
    ];
    Rollout {
        id: RolloutId(42),
        service: "web".parse().unwrap(),
        target: Some(release("dir-2222")),
        before: Some(release("dir-1111")),
        kind: RolloutKind::Push,
        by: by("ci", "merge 12"),
        provenance: Provenance {
            git_rev: "1a2b3c4".into(),
            ci_run: "https://ci.example.com/77".into(),
            author: "ann".into(),
        },
        phase: RolloutPhase::Rolling,
        paused: None,
        parts: parts.into(),
        waves: 2,
        wave_soaked: false,
        failures: Vec::new(),
        elapsed: Vec::new(),
        began: AT,
        ended: None,
    }
}

/// The one before, which failed.
pub(crate) fn failed() -> Rollout {
    Rollout {
        id: RolloutId(30),
        target: Some(release("dir-0bad")),
        phase: RolloutPhase::Ended { outcome: Outcome::RolledBack },
        failures: vec![(named("h1"), failure())],
        ended: Some(WallTime(AT.0 + 60_000)),
        ..rollout()
    }
}

fn change(revision: u64, phase: PhaseKind) -> ChangeStatus {
    ChangeStatus {
        fence: fence(revision),
        to: Some(release("dir-2222")),
        from: Some(release("dir-1111")),
        phase,
        since: Duration::from_secs(43),
        revert: false,
        rollout: Some(RolloutId(42)),
        park: false,
        granted_at: Some(AT),
    }
}

fn host(name: &str, on: &str) -> HostStatus {
    HostStatus {
        current: Some(release(on)),
        zone: Some("eu-1a".into()),
        pid: Some(4711),
        restarts: Some(0),
        ..plain(name)
    }
}

fn plain(name: &str) -> HostStatus {
    let wire = v1::HostStatus {
        host: name.into(),
        address: format!("10.0.0.{}:7100", &name[1..]),
        availability: v1::Availability::In.into(),
        counted: true,
        ..Default::default()
    };
    HostStatus::try_from(wire).unwrap()
}

fn hosts() -> Vec<HostStatus> {
    let h1 = HostStatus {
        part: Some(PartState::Changed),
        last_failure: Some(HostFailure {
            host: named("h1"),
            release: Some("dir-0bad".parse().unwrap()),
            failure: failure(),
        }),
        ..host("h1", "dir-2222")
    };
    let h2 = HostStatus {
        part: Some(PartState::Changing),
        change: Some(change(44, PhaseKind::Probing)),
        availability: Availability::Unknown,
        silent: Some(Duration::from_secs(43)),
        staged: vec!["dir-2222".parse().unwrap()],
        ..host("h2", "dir-1111")
    };
    let h3 = HostStatus {
        part: Some(PartState::Pending),
        excluded: Some(by("ann", "broken fan")),
        staging: Some(Staging {
            release: "dir-2222".parse().unwrap(),
            progress: StageProgress { paths_done: 12, paths: 40, bytes_done: 80_000_000, bytes: 200_000_000 },
        }),
        ..host("h3", "dir-1111")
    };
    let park = ChangeStatus { park: true, rollout: None, to: None, ..change(40, PhaseKind::Parked) };
    let h4 = HostStatus {
        availability: Availability::Out,
        change: Some(park),
        parked: Some(by("ann", "new disk")),
        ..host("h4", "dir-1111")
    };
    vec![h1, h2, h3, h4]
}

pub(crate) fn service() -> ServiceStatus {
    let migration =
        |release: &str, state| MigrationStatus { release: release.parse().unwrap(), host: None, state };
    ServiceStatus {
        service: "web".parse().unwrap(),
        policy: Policy::default(),
        active: Some(rollout()),
        next: None,
        completed: Some(release("dir-1111")),
        quarantine: vec![QuarantineStatus {
            release: "dir-0bad".parse().unwrap(),
            reason: "failed on h1: exited with code 3".into(),
            rollout: Some(RolloutId(30)),
        }],
        migrations: vec![
            migration("dir-1111", MigrationState::Succeeded),
            migration(
                "dir-2222",
                MigrationState::Unknown {
                    host: named("h2"),
                    reason: "its keeper was killed".into(),
                    tail: "adding a column\n".into(),
                },
            ),
        ],
        holds: vec![HoldStatus {
            name: "host_silent".into(),
            text: "h2 is silent and holds a slot".into(),
            ends_when: "h2 is back or terminated; or `deployinator hosts remove h2 --reason WHY`".into(),
            lasted: Duration::from_millis(43_500),
            ends_in: None,
            host: Some(named("h2")),
            rollout: Some(RolloutId(42)),
        }],
        hosts: hosts(),
        slots: Slots { limit: 1, holders: vec![named("h2"), named("h4")] },
        migration_lock: Some(MigrationLockStatus {
            host: named("h2"),
            fence: fence(41),
            release: release("dir-2222"),
            granted_at: Some(AT),
        }),
        mixed: false,
        channel: Some(ChannelStatus {
            url: "s3://releases/web".into(),
            release: Some("dir-2222".parse().unwrap()),
            refused: None,
            trouble: None,
        }),
    }
}

pub(crate) fn status() -> Status {
    Status {
        cluster: "c1".into(),
        leader: Some(named("h1")),
        revision: Revision(45),
        answered_by: named("h1"),
        stale: None,
        services: vec![service()],
        cursor: Cursor::end_of(Revision(45)),
    }
}

pub(crate) fn cluster() -> ClusterView {
    let member = |name: &str| Member {
        host: named(name),
        node: format!("{name}.5f1d"),
        address: format!("10.0.0.{}:7100", &name[1..]),
    };
    let host = |name: &str, quiet| FleetHost {
        host: named(name),
        address: format!("10.0.0.{}:7100", &name[1..]),
        zone: Some("eu-1a".into()),
        level: 1,
        quiet: Some(Duration::from_millis(quiet)),
    };
    ClusterView {
        cluster: "c1".into(),
        leader: Some(named("h1")),
        revision: Revision(45),
        answered_by: named("h1"),
        voters: vec![member("h1"), member("h2"), member("h3")],
        learners: Vec::new(),
        silent: vec![named("h2")],
        stale: None,
        hosts: vec![host("h1", 300), host("h2", 43_000), host("h3", 200), host("h4", 100)],
        fleet_level: 1,
    }
}

pub(crate) fn history() -> History {
    History {
        rollouts: vec![rollout(), failed()],
        answered_by: Some(named("h1")),
        revision: Revision(45),
        stale: None,
    }
}

pub(crate) fn preview() -> PushPreview {
    let turn = |name: &str| Turn { hosts: vec![Going { host: named(name), sick: false }], out: 1 };
    let wave =
        |number, canary, name: &str| Wave { number, canary, turns: vec![turn(name)], ..Wave::default() };
    PushPreview {
        answered_by: named("h1"),
        revision: Revision(45),
        ahead: Ahead {
            service: "web".parse().unwrap(),
            release: release("dir-3333"),
            start: Start::Now,
            replaces: None,
            max_unavailable: 1,
            out: vec![(named("h4"), "parked".into())],
            busy: Vec::new(),
            there: Vec::new(),
            fetch: vec![named("h1"), named("h2")],
            migration: MigrationAhead::Runs { per: MigratePer::Fleet, hosts: vec![named("h1")] },
            waves: vec![wave(0, true, "h1"), wave(1, false, "h2")],
            left_out: vec![(named("h3"), "excluded by ann".into())],
            end: End::Over(Outcome::Completed),
        },
        holds: service().holds,
        troubles: vec![(named("h2"), "the probe does not pass".into())],
    }
}

/// What a host wrote.
pub(crate) fn lines() -> LogItem {
    let spot = LogSpot { host: named("h1"), instance: 0, stream: LogStream::Serve };
    let source = LogSource {
        spot,
        attempt: 3,
        fence: fence(40),
        release: Some("dir-2222".parse().unwrap()),
        restored: false,
    };
    let line = LogLine { offset: 0, next: 10, text: "listening".into(), cut: false, continued: false };
    LogItem::Lines(source, vec![line])
}

/// Where the lines of a host go on.
pub(crate) fn reached() -> LogItem {
    let spot = LogSpot { host: named("h1"), instance: 0, stream: LogStream::Serve };
    let place = LogPlace { spot, attempt: 3, offset: 0 };
    LogItem::Host(api::view::LogHost { host: named("h1"), reached: Ok(vec![place]), current: true })
}

/// The cluster that a recovery makes.
pub(crate) const NEW_CLUSTER: &str = "r2-35292c5d7a394283b99b53ef01438008";

/// A backup, and what is said of it.
pub(crate) fn backup() -> (v1::Backup, Vec<u8>) {
    let about = v1::Backup {
        cluster: "c1".into(),
        revision: 45,
        taken_at_ms: AT.0,
        taken_by: "h1".into(),
        voters: cluster().voters.into_iter().map(Into::into).collect(),
        bytes: 4,
        ..v1::Backup::default()
    };
    (about, b"file".to_vec())
}

/// A recovery of a cluster of three that lost two.
pub(crate) fn recovery() -> Recovery {
    let voter = |name: &str, holds: Option<u64>| RecoveredVoter {
        host: named(name),
        address: format!("10.0.0.{}:7100", &name[1..]),
        holds: holds.map(Revision),
    };
    Recovery {
        lost_cluster: "c1".into(),
        cluster: Some(NEW_CLUSTER.into()),
        host: named("h1"),
        address: "10.0.0.1:7100".into(),
        revision: Revision(46),
        acknowledged: Revision(45),
        voters: vec![voter("h1", Some(46)), voter("h2", None), voter("h3", None)],
        taken_at: None,
        paused: vec![("web".parse().unwrap(), RolloutId(42))],
        replaces: None,
    }
}
