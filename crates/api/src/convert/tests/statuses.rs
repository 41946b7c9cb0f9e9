//! How a service is: status, policy, and the words for phases.

use std::time::Duration;

use model::{
    Policy, Revision, RolloutId, StageProgress,
    fleet::{Availability, MigrationState, PartState, PhaseKind, RolloutKind, RolloutPhase},
    host::health::{Health, Instance, Probe},
    policy::{MigratePer, OnFailure},
    time::WallTime,
};

use super::{by, failure, fence, release, rollouts::rollout};
use crate::{
    convert::{Invalid, words::Word},
    v1, view,
};

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
        staging: Some(view::Staging {
            release: "abc-web-2".parse().unwrap(),
            progress: StageProgress { paths_done: 12, paths: 40, bytes_done: 80, bytes: 200 },
        }),
        last_failure: Some(view::HostFailure {
            host: "h1".parse().unwrap(),
            release: None,
            failure: failure(),
        }),
        part: Some(PartState::Changing),
    }
}

pub(super) fn status() -> view::Status {
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
            channel: Some(view::ChannelStatus {
                url: "s3://releases/web".into(),
                release: Some("abc-web-2".parse().unwrap()),
                refused: Some("quarantined".into()),
                trouble: Some("no answer".into()),
            }),
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
