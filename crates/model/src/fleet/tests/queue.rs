//! One rollout at a time, and one behind it.

use super::*;

#[test]
fn pushes_are_checked_where_they_enter() {
    let mut lab = Lab { fleet: Fleet::default(), sequence: 0 };
    assert_refused(&lab.push("a"), "unknown service");
    lab.enrol(1);
    lab.terminate(1);
    assert_refused(&lab.push("a"), "unknown service");
    let asks = Act::Ask { service: "wbe".parse().unwrap(), by: by("because"), request: Request::Pause };
    let Reply::Refused(refusal) = lab.apply(asks) else { panic!("there is no such service") };
    assert_eq!(refusal.to_string(), "no host declares service wbe; declared are: web");
}

#[test]
fn pushing_what_is_on_its_way_joins_it() {
    let mut lab = Lab::serving(2);
    let done = lab.service().rollouts.keys().copied().next_back().unwrap();
    assert_eq!(lab.push("a"), Reply::Joined(done), "completed");
    let active = lab.staged("b");
    assert_eq!(lab.push("b"), Reply::Joined(active), "under way");
    let next = lab.pushed("c");
    assert_eq!(lab.push("c"), Reply::Joined(next), "waiting");
    let newer = lab.pushed("b");
    assert_ne!(newer, active, "c was the target, so b is a new one");
}

#[test]
fn the_same_release_from_another_source_is_the_same() {
    let mut lab = Lab::serving(1);
    let active = lab.pushed("b");
    let moved = Release { source: "/elsewhere/b".into(), ..release("b") };
    assert_eq!(
        lab.ask(Request::Push { release: moved, policy: None, provenance: Default::default() }),
        Reply::Joined(active)
    );
}

#[test]
fn where_a_release_comes_from_is_kept_with_the_rollout_that_its_push_began() {
    let mut lab = Lab::serving(1);
    let said = |rev: &str| Provenance { git_rev: rev.into(), ..Provenance::default() };
    let push = |rev| Request::Push { release: release("b"), policy: None, provenance: said(rev) };
    let Reply::Accepted(active) = lab.ask(push("1a2b")) else { panic!("it was not begun") };
    assert_eq!(lab.rollout(active).provenance, said("1a2b"));
    assert_eq!(lab.ask(push("3c4d")), Reply::Joined(active));
    assert_eq!(lab.rollout(active).provenance, said("1a2b"), "who joins adds nothing");
}

#[test]
fn a_completed_release_is_pushed_again_when_a_host_is_not_on_it() {
    let mut lab = Lab::serving(1);
    lab.enrol(2);
    let rollout = lab.pushed("a");
    assert_eq!((lab.part(rollout, 1), lab.part(rollout, 2)), (PartState::Changed, PartState::Pending));
}

#[test]
fn a_pause_holds_the_successor_too() {
    let mut lab = Lab::serving(2);
    let old = lab.staged("b");
    lab.wave(&[1, 2]);
    assert_eq!(lab.ask(Request::Pause), Reply::Done);
    let new = lab.pushed("c");
    lab.stages("c");
    assert_no(&lab.step(Step::EndStaging { rollout: new, dropped: Vec::new() }), "busy");
    assert_eq!(lab.active(), old);
    assert_eq!(lab.ask(Request::Resume), Reply::Done);
    assert_eq!(lab.step(Step::EndStaging { rollout: new, dropped: Vec::new() }), Ok(()));
    assert_eq!(lab.outcome(old), Some(&Outcome::Superseded { by: new }));
}

#[test]
fn the_newer_push_takes_over_once_it_is_staged_everywhere() {
    let mut lab = Lab::serving(3);
    let old = lab.staged("b");
    lab.wave(&[1, 2, 3]);
    lab.grant(1).unwrap();
    lab.changes(1);
    lab.grant(2).unwrap();
    lab.begins(2);
    let new = lab.pushed("c");
    assert_eq!(lab.rollout(new).phase, RolloutPhase::Staging);
    assert_no(&lab.step(Step::EndStaging { rollout: new, dropped: Vec::new() }), "not staged");
    assert_eq!(lab.active(), old, "the old one goes on meanwhile");
    lab.stages("c");
    assert_eq!(lab.step(Step::EndStaging { rollout: new, dropped: Vec::new() }), Ok(()));
    assert_eq!(lab.outcome(old), Some(&Outcome::Superseded { by: new }));
    assert_eq!(lab.outcome(old).unwrap().exit_code(), 4);
    assert_no(&lab.step(Step::Grant { rollout: old, host: h(3) }), "no rollout");
    lab.changes(2);
    assert_eq!(lab.here(2).current_id(), Some(&id("b")), "a host in mid-step finishes");
    lab.finishes();
    assert!(lab.fleet.declaring(&web()).all(|(_, here)| here.current_id() == Some(&id("c"))));
}

#[test]
fn what_the_old_rollout_changed_since_the_push_is_looked_up_again() {
    let mut lab = Lab::serving(2);
    lab.staged("b");
    lab.wave(&[1, 2]);
    let back = lab.pushed("a");
    assert_eq!(lab.part(back, 1), PartState::Changed);
    lab.grant(1).unwrap();
    lab.changes(1);
    lab.stages("a");
    lab.step(Step::EndStaging { rollout: back, dropped: Vec::new() }).unwrap();
    assert_eq!((lab.part(back, 1), lab.part(back, 2)), (PartState::Pending, PartState::Changed));
    lab.finishes();
    assert_eq!(lab.here(1).current_id(), Some(&id("a")));
}

#[test]
fn an_unbegun_grant_does_not_outlive_its_rollout() {
    let mut lab = Lab::serving(2);
    lab.staged("b");
    lab.wave(&[1, 2]);
    lab.grant(1).unwrap();
    lab.staged("c");
    assert_eq!(lab.here(1).change, None);
}

#[test]
fn the_queue_has_one_place_for_the_newest() {
    let mut lab = Lab::serving(2);
    lab.staged("b");
    lab.wave(&[1, 2]);
    let older = lab.pushed("c");
    let newer = lab.pushed("d");
    assert_eq!(lab.outcome(older), Some(&Outcome::Superseded { by: newer }));
    assert_eq!(lab.service().next, Some(newer));
}

#[test]
fn a_push_waits_while_it_may_not_take_over() {
    type Prepare = fn(&mut Lab);
    let table: &[(&str, Prepare)] = &[
        ("migrating", |lab| {
            lab.staged("m1");
        }),
        ("migration unknown", |lab| {
            lab.staged("m1");
            lab.migrates(1, "m1", MigrationEnd::Unknown { reason: "lost".into() });
        }),
        ("rolling back", |lab| {
            lab.staged("b");
            lab.wave(&[1]);
            lab.grant(1).unwrap();
            lab.begins(1);
            lab.fails(1);
        }),
    ];
    for (what, prepare) in table {
        let mut lab = Lab::serving(2);
        prepare(&mut lab);
        let next = lab.pushed("c");
        assert_eq!(lab.rollout(next).phase, RolloutPhase::Queued, "{what}");
        lab.stages("c");
        assert_no(&lab.step(Step::EndStaging { rollout: next, dropped: Vec::new() }), "outdated");
    }
}

#[test]
fn it_stages_as_soon_as_it_may_and_has_its_turn_when_the_other_ends() {
    let mut lab = Lab::serving(2);
    let first = lab.staged("m1");
    lab.grant_migration(1, "m1").unwrap();
    let next = lab.pushed("c");
    lab.migration_ended(1, MigrationEnd::Succeeded);
    assert_eq!(lab.rollout(next).phase, RolloutPhase::Queued);
    lab.step(Step::EndMigrating { rollout: first }).unwrap();
    assert_eq!(lab.rollout(next).phase, RolloutPhase::Staging);
    lab.enrol(3);
    lab.finishes();
    assert_eq!((lab.active(), lab.service().next), (next, None));
    assert!(lab.rollout(next).parts.contains_key(&h(3)), "who has joined meanwhile takes part");
    assert_eq!(lab.rollout(next).before, Some(release("m1")), "what it found is looked up again");
}

#[test]
fn a_push_behind_a_roll_back_waits_again() {
    let mut lab = Lab::serving(2);
    lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.begins(1);
    let next = lab.pushed("c");
    lab.fails(1);
    assert_eq!(lab.rollout(next).phase, RolloutPhase::Queued);
    lab.reverts(1);
    let rollback = lab.active();
    lab.step(Step::Complete { rollout: rollback }).unwrap();
    assert_eq!((lab.active(), &lab.rollout(next).phase), (next, &RolloutPhase::Staging));
}

#[test]
fn a_push_that_stages_again_has_the_whole_deadline() {
    for promoted in [false, true] {
        let mut lab = Lab::serving(2);
        let migrating = lab.staged("m1");
        let next = lab.pushed("c");
        let timer = Timer::Staging;
        lab.step(Step::Elapsed { rollout: next, timer, elapsed_ms: 600_000 }).unwrap();
        lab.migrates(1, "m1", MigrationEnd::Succeeded);
        assert_eq!(lab.rollout(next).phase, RolloutPhase::Queued, "it waited for the migration");
        if promoted {
            lab.ask(Request::Abort { leave: true });
        } else {
            lab.step(Step::EndMigrating { rollout: migrating }).unwrap();
        }
        assert_eq!(lab.rollout(next).phase, RolloutPhase::Staging, "promoted: {promoted}");
        assert_eq!(lab.rollout(next).elapsed(timer).as_secs(), 0, "promoted: {promoted}");
    }
}

#[test]
fn a_push_that_cannot_be_staged_behind_another_is_halted_and_resumed_there() {
    let mut lab = Lab::serving(2);
    lab.staged("b");
    lab.wave(&[1, 2]);
    let next = lab.pushed("c");
    let why = Halt::NotStaged { hosts: vec![(h(1), "no space".into())] };
    lab.step(Step::Halt { rollout: next, why }).unwrap();
    assert_eq!(lab.service().next, Some(next));
    assert_eq!(lab.ask(Request::Resume), Reply::Done);
    assert_eq!(lab.rollout(next).phase, RolloutPhase::Staging);
    lab.finishes();
    assert_eq!(lab.active(), next);
}

#[test]
fn an_abort_takes_back_what_a_superseded_first_rollout_left() {
    let mut lab = Lab::bare(2);
    lab.staged("a");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.changes(1);
    let rollout = lab.staged("b");
    lab.ask(Request::Abort { leave: false });
    assert!(matches!(lab.rollout(rollout).phase, RolloutPhase::RollingBack { .. }), "h1 still runs a");
    lab.finishes();
    assert_eq!((lab.outcome(rollout), lab.here(1).current_id()), (Some(&Outcome::Aborted), None));
}

#[test]
fn what_stages_already_does_not_take_over_while_a_migration_may_run() {
    let mut lab = Lab::serving(2);
    let migrating = lab.pushed("m1");
    let next = lab.pushed("c");
    lab.stages("m1");
    lab.stages("c");
    lab.step(Step::EndStaging { rollout: migrating, dropped: Vec::new() }).unwrap();
    assert_eq!(lab.rollout(next).phase, RolloutPhase::Staging);
    assert_no(&lab.step(Step::EndStaging { rollout: next, dropped: Vec::new() }), "busy");
    lab.grant_migration(1, "m1").unwrap();
    assert_no(&lab.step(Step::EndStaging { rollout: next, dropped: Vec::new() }), "busy");
    assert_eq!(lab.active(), migrating);
}

#[test]
fn resume_is_about_the_rollout_under_way_first() {
    let mut lab = Lab::serving(2);
    let active = lab.staged("b");
    let next = lab.pushed("c");
    lab.step(Step::Halt { rollout: next, why: Halt::NotStaged { hosts: Vec::new() } }).unwrap();
    lab.ask(Request::Pause);
    assert_eq!(lab.ask(Request::Resume), Reply::Done);
    assert_eq!(lab.rollout(active).paused, None);
    assert!(matches!(lab.rollout(next).phase, RolloutPhase::Halted { .. }));
    assert_eq!(lab.ask(Request::Resume), Reply::Done);
    assert_eq!(lab.rollout(next).phase, RolloutPhase::Staging);
}
