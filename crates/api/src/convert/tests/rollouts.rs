//! Rollouts, and how a watch of one ends.

use std::collections::BTreeMap;

use model::{
    RolloutId,
    fleet::{Halt, Halting, Outcome, Part, PartState, Provenance, Rollout, RolloutKind, RolloutPhase},
    time::WallTime,
};

use super::{by, failure, release};
use crate::{v1, view};

pub(super) fn rollout(phase: RolloutPhase, kind: RolloutKind) -> Rollout {
    let part = |state, wave| Part { wave, state };
    Rollout {
        id: RolloutId(12),
        service: "web".parse().unwrap(),
        target: Some(release("abc-web-2")),
        before: None,
        kind,
        by: by(),
        provenance: Provenance { git_rev: "1a2b".into(), ..Provenance::default() },
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
        halted(Halt::SetBack { host: host(), times: 5, reason: "too many open files".into() }),
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
