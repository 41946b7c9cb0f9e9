//! One host's change, from its grant to its end.

use super::*;
use PhaseKind::{
    Aborting, Draining, Granted, Joining, Parked, Probing, Reverting, Soaking, Starting, Stopping, Stuck,
};

/// `h1` has a slot for `b`.
fn granted() -> Lab {
    let mut lab = Lab::serving(2);
    lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab
}

#[test]
fn phases_follow_each_other_and_nothing_else() {
    let way = [Draining, Stopping, Starting, Probing, Joining, Soaking];
    for (at, from) in way.into_iter().enumerate() {
        for to in PhaseKind::ALL {
            let mut lab = granted();
            lab.moves(1, &way[..=at]);
            let fence = lab.fence(1);
            let reply = lab.report(1, Report::Moved { fence, from, to, reason: None });
            let goes_on = way.get(at + 1) == Some(&to);
            let skips = matches!((from, to), (Starting | Probing, Soaking));
            let back = to == Reverting || (from, to) == (Draining, Aborting);
            let again = (from, to) == (Draining, Draining);
            let good = goes_on || skips || back || again;
            assert_eq!(reply == Reply::Done, good, "{from} to {to}: {reply:?}");
        }
    }
}

#[test]
fn a_change_begins_only_with_its_own_grant_and_only_once() {
    let mut lab = granted();
    let fence = lab.fence(1);
    let moved = |fence, from, to| Report::Moved { fence, from, to, reason: None };
    let older = Fence { revision: Revision(1), ..fence };
    assert_refused(&lab.report(1, moved(older, Granted, Draining)), "outdated");
    assert_refused(&lab.report(1, moved(fence, Granted, Stopping)), "outdated");
    assert_refused(&lab.report(1, moved(fence, Stopping, Starting)), "outdated");
    assert_refused(&lab.report(2, moved(fence, Granted, Draining)), "outdated");
    assert_eq!(lab.report(1, moved(fence, Granted, Draining)), Reply::Done);
    assert_eq!(lab.here(1).availability, Availability::Out);
    assert_refused(&lab.report(1, moved(fence, Granted, Draining)), "outdated");
}

#[test]
fn a_change_ends_once_and_frees_the_slot() {
    let mut lab = granted();
    let (rollout, fence) = (lab.active(), lab.fence(1));
    lab.moves(1, &[Draining, Stopping, Starting, Probing, Joining, Soaking]);
    lab.changes(1);
    assert_refused(&lab.report(1, Report::Changed { fence }), "outdated");
    let here = lab.here(1);
    assert_eq!(
        (here.current_id(), here.availability, &here.change),
        (Some(&id("b")), Availability::In, &None)
    );
    assert_eq!(lab.part(rollout, 1), PartState::Changed);
}

#[test]
fn a_fault_of_the_surroundings_gives_the_host_its_turn_again() {
    let mut lab = granted();
    let (rollout, fence) = (lab.active(), lab.fence(1));
    lab.begins(1);
    lab.report(1, Report::Failed { fence, failure: failure(Cause::Surroundings) });
    assert_eq!(lab.part(rollout, 1), PartState::Changing);
    lab.reverts(1);
    assert_eq!(lab.part(rollout, 1), PartState::Pending);
    let here = lab.here(1);
    assert_eq!((here.abandoned, here.abandoned_reason.as_deref()), (1, Some("probe answered 503")));
    assert_eq!((here.current_id(), here.availability), (Some(&id("a")), Availability::In));
    assert!(lab.service().quarantine.is_empty());
    lab.grant(1).unwrap();
    lab.changes(1);
    assert_eq!(lab.here(1).abandoned, 0);
}

#[test]
fn a_host_that_gave_up_before_it_stopped_anything_serves_what_it_had() {
    let mut lab = granted();
    let (rollout, fence) = (lab.active(), lab.fence(1));
    lab.moves(1, &[Draining, Aborting]);
    assert_eq!(lab.here(1).availability, Availability::Out);
    assert_eq!(lab.report(1, Report::Abandoned { fence, reason: "drain".into() }), Reply::Done);
    assert_eq!(lab.part(rollout, 1), PartState::Pending);
    assert_eq!((lab.here(1).abandoned, lab.here(1).availability), (1, Availability::In));
}

#[test]
fn a_host_that_declines_its_grant_is_as_it_was() {
    let mut lab = granted();
    lab.falls_out(1, Cause::Surroundings);
    let fence = lab.fence(1);
    assert_eq!(lab.report(1, Report::Abandoned { fence, reason: "not staged".into() }), Reply::Done);
    assert_eq!(lab.here(1).availability, Availability::Out, "it does not serve because it declined");
}

#[test]
fn the_same_failure_counts_once_however_often_it_is_reported() {
    let mut lab = Lab::serving_with(3, Policy { failure_tolerance: 1, ..policy(1) });
    let rollout = lab.staged("b");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.begins(1);
    lab.fails(1);
    let fence = lab.fence(1);
    let again = Report::Failed { fence, failure: failure(Cause::Release) };
    assert_refused(&lab.report(1, again), "outdated");
    assert_eq!(lab.rollout(rollout).failures.len(), 1);
    assert_eq!(lab.rollout(rollout).phase, RolloutPhase::Rolling);
}

#[test]
fn nothing_fails_before_it_has_begun() {
    let mut lab = granted();
    let fence = lab.fence(1);
    assert_refused(&lab.report(1, Report::Failed { fence, failure: failure(Cause::Release) }), "outdated");
    assert_refused(&lab.report(1, Report::Stuck { fence, failure: failure(Cause::Release) }), "outdated");
}

#[test]
fn a_stuck_host_is_out_and_keeps_its_slot_until_it_is_healthy_again() {
    let mut lab = granted();
    let rollout = lab.active();
    lab.begins(1);
    lab.fails(1);
    lab.stuck(1, Cause::Release);
    let RolloutPhase::RollingBack { by } = lab.rollout(rollout).phase else { panic!("not rolled back") };
    assert_eq!(lab.part(by, 1), PartState::Failed);
    assert_eq!(lab.here(1).change.as_ref().unwrap().phase, Stuck);
    lab.reverts(1);
    assert_eq!(lab.part(by, 1), PartState::Changed, "it came back by itself");
}

#[test]
fn a_host_that_goes_back_for_its_surroundings_and_is_stuck_holds_the_rollout_and_condemns_nothing() {
    // The release that it goes back to may be ill itself, which says nothing about the one that it comes from.
    for back in [Cause::Surroundings, Cause::Release] {
        let mut lab = granted();
        let (rollout, fence) = (lab.active(), lab.fence(1));
        lab.begins(1);
        lab.report(1, Report::Failed { fence, failure: failure(Cause::Surroundings) });
        lab.stuck(1, back);
        assert_eq!(lab.part(rollout, 1), PartState::Changing);
        assert!(lab.service().quarantine.is_empty());
        assert!(lab.rollout(rollout).failures.is_empty());
        assert_no(&lab.step(Step::EndWave { rollout }), "outdated");
    }
}

#[test]
fn maintenance_takes_a_slot_until_the_host_is_admitted() {
    let mut lab = Lab::serving(2);
    assert_no(&lab.step(Step::Park { host: h(1) }), "not now");
    lab.ask(Request::Drain { host: h(1) });
    assert_eq!(lab.step(Step::Park { host: h(1) }), Ok(()));
    let fence = lab.fence(1);
    assert_refused(&lab.report(1, Report::Parked { fence }), "outdated");
    lab.moves(1, &[Draining, Stopping]);
    assert_eq!(lab.report(1, Report::Parked { fence }), Reply::Done);
    let change = lab.here(1).change.clone().unwrap();
    assert_eq!((change.phase, change.purpose), (Parked, Purpose::Park));
    lab.ask(Request::Drain { host: h(2) });
    assert_no(&lab.step(Step::Park { host: h(2) }), "no free slot");
    assert_eq!(lab.ask(Request::Admit { host: h(1) }), Reply::Done);
    assert!(!lab.fleet.assignment(&h(1)).services[&web()].change.as_ref().unwrap().park);
    lab.moves(1, &[Starting, Probing, Joining, Soaking]);
    lab.changes(1);
    assert_eq!((lab.here(1).current_id(), lab.here(1).availability), (Some(&id("a")), Availability::In));
    assert_eq!(lab.step(Step::Park { host: h(2) }), Ok(()));
}

#[test]
fn who_ends_with_nothing_after_another_release_has_completed_counts_as_out() {
    let mut lab = Lab::bare(2);
    lab.staged("a");
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.changes(1);
    lab.ask(Request::Abort { leave: false });
    lab.wave(&[1]);
    lab.grant(1).unwrap();
    lab.begins(1);
    lab.ask(Request::Exclude { host: h(1) });
    lab.finishes();
    lab.completes("b");
    assert!(lab.here(1).counted, "it was in service");
    lab.changes(1);
    assert_eq!((lab.here(1).current_id(), lab.here(1).counted), (None, true));
}

#[test]
fn an_excluded_host_can_be_drained_too() {
    let mut lab = Lab::serving(2);
    lab.ask(Request::Exclude { host: h(1) });
    lab.ask(Request::Drain { host: h(1) });
    assert_eq!(lab.step(Step::Park { host: h(1) }), Ok(()));
}

#[test]
fn what_a_host_finds_itself_running_is_believed_outside_of_changes() {
    let mut lab = granted();
    let runs = Report::Runs { release: Some(release("z")) };
    assert_refused(&lab.report(1, runs.clone()), "outdated");
    lab.changes(1);
    let rollout = lab.active();
    assert_eq!(lab.report(1, runs), Reply::Done);
    assert_eq!(lab.here(1).current_id(), Some(&id("z")));
    assert_eq!(lab.part(rollout, 1), PartState::Pending, "it has its part still to do");
}
