//! What a push would do.

use std::time::Duration;

use model::{
    Revision, RolloutId,
    fleet::{Outcome, PhaseKind},
    planner::preview::{Ahead, End, Going, MigrationAhead, Start, Turn, Wave},
    policy::MigratePer,
};

use super::{release, statuses::status};
use crate::{v1, view};

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
