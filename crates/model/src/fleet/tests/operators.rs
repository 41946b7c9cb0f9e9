//! What operators ask.

use super::*;

#[test]
fn what_overrides_a_promise_owes_a_reason() {
    let table = [
        Request::ResolveMigration { release: id("m1"), verdict: Verdict::Retry },
        Request::ReleaseQuarantine { release: id("b") },
        Request::BreakSlot { host: h(1) },
        Request::BreakMigrationLock,
        Request::BreakGrant {
            lock: Lock::Migration,
            fence: Fence { incarnation: Incarnation(1), revision: Revision(1) },
        },
        Request::Exclude { host: h(1) },
    ];
    for request in table {
        let mut lab = Lab::serving(1);
        let asks = Act::Ask { service: web(), by: by(" "), request: request.clone() };
        assert_refused(&lab.apply(asks), "reason missing");
    }
}

#[test]
fn without_a_rollout_there_is_nothing_to_pause_resume_or_abort() {
    for request in [Request::Pause, Request::Resume, Request::Abort { leave: false }] {
        assert_refused(&Lab::serving(1).ask(request), "no rollout");
    }
    let mut lab = Lab::serving(1);
    lab.pushed("b");
    assert_refused(&lab.ask(Request::Resume), "not now");
}

#[test]
fn a_pause_takes_back_what_has_not_begun_and_lets_the_rest_finish() {
    let mut lab = Lab::serving_with(3, policy(2));
    let rollout = lab.staged("b");
    lab.wave(&[1, 2, 3]);
    lab.grant(1).unwrap();
    lab.grant(2).unwrap();
    lab.begins(1);
    lab.ask(Request::Pause);
    assert_eq!((lab.here(2).change.clone(), lab.part(rollout, 2)), (None, PartState::Pending));
    assert_no(&lab.grant(2), "outdated");
    lab.changes(1);
    lab.ask(Request::Resume);
    lab.finishes();
}

#[test]
fn an_abort_before_anything_was_touched_just_ends() {
    type Prepare = fn(&mut Lab);
    let table: &[(&str, Prepare)] = &[
        ("staging", |lab| {
            lab.pushed("b");
        }),
        ("migrating", |lab| {
            lab.staged("m1");
        }),
        ("migration unknown", |lab| {
            lab.staged("m1");
            lab.migrates(1, "m1", MigrationEnd::Unknown { reason: "lost".into() });
        }),
        ("rolling, no wave yet", |lab| {
            lab.staged("b");
        }),
    ];
    for (what, prepare) in table {
        let mut lab = Lab::serving(2);
        prepare(&mut lab);
        let rollout = lab.active();
        assert_eq!(lab.ask(Request::Abort { leave: false }), Reply::Done, "{what}");
        assert_eq!(lab.outcome(rollout), Some(&Outcome::Aborted), "{what}");
        assert_eq!((lab.service().active, lab.service().mixed), (None, false), "{what}");
        assert!(lab.service().quarantine.is_empty(), "{what}");
    }
}

fn half_way() -> (Lab, RolloutId) {
    let mut lab = Lab::serving_with(3, policy(2));
    let rollout = lab.staged("b");
    lab.wave(&[1, 2, 3]);
    lab.grant(1).unwrap();
    lab.changes(1);
    lab.grant(2).unwrap();
    lab.begins(2);
    (lab, rollout)
}

#[test]
fn an_abort_takes_changed_hosts_back_and_cannot_be_aborted_itself() {
    let (mut lab, rollout) = half_way();
    lab.ask(Request::Abort { leave: false });
    assert!(lab.here(2).change.as_ref().unwrap().revert);
    assert_refused(&lab.ask(Request::Abort { leave: false }), "busy");
    lab.moves(2, &[PhaseKind::Reverting]);
    lab.reverts(2);
    lab.finishes();
    assert_eq!(lab.outcome(rollout), Some(&Outcome::Aborted));
    assert_eq!(lab.here(1).current_id(), Some(&id("a")));
    assert!(lab.service().quarantine.is_empty());
}

#[test]
fn an_abort_with_leave_leaves_the_fleet_mixed_until_something_completes() {
    let (mut lab, rollout) = half_way();
    lab.ask(Request::Abort { leave: true });
    assert_eq!(lab.outcome(rollout), Some(&Outcome::Aborted));
    assert!(lab.service().mixed);
    lab.changes(2);
    lab.completes("c");
    assert!(!lab.service().mixed);
}

#[test]
fn rollback_goes_to_the_release_completed_before() {
    let mut lab = Lab::serving(2);
    assert_refused(&lab.ask(Request::Rollback), "nothing before");
    lab.completes("b");
    let Reply::Accepted(rollout) = lab.ask(Request::Rollback) else { panic!("refused") };
    assert_eq!(lab.rollout(rollout).target, Some(release("a")));
    lab.stages("a");
    lab.step(Step::EndStaging { rollout, dropped: Vec::new() }).unwrap();
    lab.finishes();
    assert_eq!(lab.service().last_completed(), Some(&release("a")));
    assert!(lab.service().quarantine.is_empty());
}

#[test]
fn rollback_of_a_rollout_under_way_takes_it_back_and_drops_what_waits() {
    let (mut lab, rollout) = half_way();
    let next = lab.pushed("c");
    let Reply::Accepted(rollback) = lab.ask(Request::Rollback) else { panic!("refused") };
    assert_eq!(lab.rollout(rollout).phase, RolloutPhase::RollingBack { by: rollback });
    assert_eq!((lab.outcome(next), lab.service().next), (Some(&Outcome::Aborted), None));
    assert_eq!(lab.ask(Request::Rollback), Reply::Joined(rollback));
}

#[test]
fn restart_takes_every_host_through_a_change() {
    let mut lab = Lab::bare(1);
    assert_refused(&lab.ask(Request::Restart), "not now");
    let mut lab = Lab::serving(2);
    let Reply::Accepted(rollout) = lab.ask(Request::Restart) else { panic!("refused") };
    assert_refused(&lab.ask(Request::Restart), "busy");
    lab.step(Step::EndStaging { rollout, dropped: Vec::new() }).unwrap();
    assert_eq!((lab.part(rollout, 1), lab.part(rollout, 2)), (PartState::Pending, PartState::Pending));
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.begins(1);
    lab.fails(1);
    assert_eq!(lab.outcome(rollout), Some(&Outcome::Failed));
    assert!(lab.service().quarantine.is_empty(), "it was good before");
    lab.reverts(1);
}

#[test]
fn a_restart_that_is_given_up_leaves_no_mixed_fleet() {
    let mut lab = Lab::serving(2);
    let Reply::Accepted(rollout) = lab.ask(Request::Restart) else { panic!("refused") };
    lab.step(Step::EndStaging { rollout, dropped: Vec::new() }).unwrap();
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.changes(1);
    assert_eq!(lab.ask(Request::Abort { leave: true }), Reply::Done);
    assert_eq!((lab.outcome(rollout), lab.service().mixed), (Some(&Outcome::Aborted), false));
}

#[test]
fn a_broken_slot_makes_its_fence_worthless() {
    let (mut lab, rollout) = half_way();
    assert_refused(&lab.ask(Request::BreakSlot { host: h(3) }), "not now");
    let fence = lab.fence(2);
    lab.ask(Request::BreakSlot { host: h(2) });
    assert_refused(&lab.report(2, Report::Changed { fence }), "outdated");
    assert_eq!(lab.part(rollout, 2), PartState::Pending);
}

#[test]
fn only_the_grant_that_was_shown_is_broken() {
    let (mut lab, _) = half_way();
    let fence = lab.fence(2);
    let breaks = |lock, fence| Request::BreakGrant { lock, fence };
    let slot = |n| Lock::SlotOf(h(n));
    // Another host's, and one that was never given.
    let Reply::Refused(refusal) = lab.ask(breaks(slot(3), fence)) else { panic!("it was broken") };
    let held =
        format!("assumed the slot of h3 with fence {fence}, but it is held by h2 with fence {fence} now");
    assert_eq!(refusal.to_string(), held);
    // Broken, and granted anew while the operator makes up his mind.
    assert_eq!(lab.ask(breaks(slot(2), fence)), Reply::Done);
    lab.grant(2).unwrap();
    let anew = lab.fence(2);
    assert_ne!(anew, fence);
    let Reply::Refused(refusal) = lab.ask(breaks(slot(2), fence)) else { panic!("it was broken") };
    assert!(refusal.to_string().ends_with(&format!("held by h2 with fence {anew} now")), "{refusal}");
    assert_eq!(lab.fence(2), anew, "the grant that nobody was shown is gone");
    assert_eq!(lab.ask(breaks(slot(2), anew)), Reply::Done);
    let Reply::Refused(refusal) = lab.ask(breaks(Lock::Migration, anew)) else { panic!("it was broken") };
    let nobody = format!("assumed the migration lock with fence {anew}, but it is held by nobody now");
    assert_eq!(refusal.to_string(), nobody);
}

#[test]
fn a_host_whose_turn_has_not_come_leaves_the_rollout_when_it_is_excluded_or_drained() {
    for request in [Request::Exclude { host: h(3) }, Request::Drain { host: h(3) }] {
        let (mut lab, rollout) = half_way();
        lab.ask(request.clone());
        assert_eq!(lab.part(rollout, 3), PartState::Dropped, "{request:?}");
        lab.changes(2);
        assert_eq!(lab.step(Step::Complete { rollout }), Ok(()), "{request:?}");
    }
}

#[test]
fn a_host_in_mid_step_that_comes_back_has_no_turn_when_it_is_excluded_or_drained() {
    for request in [Request::Exclude { host: h(2) }, Request::Drain { host: h(2) }] {
        let (mut lab, rollout) = half_way();
        lab.ask(request.clone());
        let fence = lab.fence(2);
        lab.moves(2, &[PhaseKind::Aborting]);
        lab.report(2, Report::Abandoned { fence, reason: "drain".into() });
        assert_eq!(lab.part(rollout, 2), PartState::Dropped, "{request:?}");
    }
}

#[test]
fn an_unbegun_grant_is_taken_back_from_an_excluded_host() {
    let mut lab = Lab::serving(2);
    lab.staged("b");
    lab.wave(&[1, 2]);
    lab.grant(1).unwrap();
    lab.ask(Request::Exclude { host: h(1) });
    assert_eq!(lab.here(1).change, None);
    assert_no(&lab.grant(1), "outdated");
}

#[test]
fn a_host_that_still_goes_back_has_its_turn_after_the_resume() {
    let mut lab = Lab::serving_with(2, Policy { on_failure: OnFailure::Pause, ..policy(1) });
    let rollout = lab.staged("b");
    lab.wave(&[1, 2]);
    lab.grant(1).unwrap();
    lab.begins(1);
    lab.fails(1);
    lab.ask(Request::ReleaseQuarantine { release: id("b") });
    lab.ask(Request::Resume);
    assert_eq!(lab.part(rollout, 1), PartState::Changing);
    lab.reverts(1);
    assert_eq!(lab.part(rollout, 1), PartState::Pending);
}

#[test]
fn a_pause_takes_no_grant_back_that_is_not_of_the_rollout() {
    let mut lab = Lab::serving_with(3, policy(2));
    lab.staged("b");
    lab.ask(Request::Drain { host: h(3) });
    lab.step(Step::Park { host: h(3) }).unwrap();
    lab.ask(Request::Pause);
    assert!(lab.here(3).change.is_some(), "an operator waits for the host");
}
