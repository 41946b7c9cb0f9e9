//! P9: nothing is touched before all is staged.

use super::*;

fn ends(rollout: RolloutId, dropped: &[u32]) -> Step {
    Step::EndStaging { rollout, dropped: dropped.iter().copied().map(h).collect() }
}

#[test]
fn staging_ends_only_when_every_host_has_the_release() {
    let mut lab = Lab::serving(2);
    let rollout = lab.pushed("b");
    lab.report(1, Report::Staged { release: id("b") });
    assert_no(&lab.step(ends(rollout, &[])), "not staged");
    lab.report(2, Report::NotStaged { release: id("b"), reason: "no space".into() });
    assert_eq!(lab.here(2).stage_trouble[&id("b")], "no space");
    lab.report(2, Report::Staged { release: id("b") });
    assert!(lab.here(2).stage_trouble.is_empty());
    assert_eq!(lab.step(ends(rollout, &[])), Ok(()));
    assert_eq!(lab.rollout(rollout).phase, RolloutPhase::Rolling);
}

#[test]
fn a_release_that_was_lost_again_is_not_staged() {
    let mut lab = Lab::serving(1);
    let rollout = lab.pushed("b");
    lab.report(1, Report::Staged { release: id("b") });
    lab.report(1, Report::NotStaged { release: id("b"), reason: "damaged".into() });
    assert_no(&lab.step(ends(rollout, &[])), "not staged");
}

#[test]
fn only_hosts_whose_silence_is_a_fact_are_left_behind() {
    let mut lab = Lab::serving(3);
    let rollout = lab.pushed("b");
    lab.report(1, Report::Staged { release: id("b") });
    lab.report(2, Report::Staged { release: id("b") });
    assert_no(&lab.step(ends(rollout, &[3])), "host not free");
    lab.silent(3);
    assert_eq!(lab.step(ends(rollout, &[3])), Ok(()));
    assert_eq!(lab.part(rollout, 3), PartState::Dropped);
}

#[test]
fn somebody_must_be_left() {
    let mut lab = Lab::serving(1);
    let rollout = lab.pushed("b");
    lab.silent(1);
    assert_no(&lab.step(ends(rollout, &[1])), "not now");
}

#[test]
fn a_release_with_a_migration_goes_on_to_migrating() {
    let mut lab = Lab::serving(1);
    let rollout = lab.staged("m1");
    assert_eq!(lab.rollout(rollout).phase, RolloutPhase::Migrating);
}

#[test]
fn a_halt_ends_with_resume_and_looks_again_who_is_there() {
    let mut lab = Lab::serving(2);
    let rollout = lab.pushed("b");
    let why = Halt::NotStaged { hosts: vec![(h(2), "no space".into())] };
    let timer = Timer::Staging;
    lab.step(Step::Elapsed { rollout, timer, elapsed_ms: 600_000 }).unwrap();
    assert_eq!(lab.step(Step::Halt { rollout, why: why.clone() }), Ok(()));
    assert_eq!(lab.rollout(rollout).phase, RolloutPhase::Halted { during: Halting::Staging, why });
    lab.terminate(2);
    lab.enrol(3);
    assert_eq!(lab.ask(Request::Resume), Reply::Done);
    assert_eq!(lab.rollout(rollout).elapsed(timer).as_secs(), 0, "the deadline counts anew");
    let hosts: Vec<_> = lab.rollout(rollout).parts.keys().cloned().collect();
    assert_eq!(hosts, [h(1), h(3)]);
    lab.ask(Request::Abort { leave: false });
    assert_eq!(lab.outcome(rollout), Some(&Outcome::Aborted));
}

#[test]
fn a_plan_for_another_revision_is_refused() {
    let mut lab = Lab::serving(1);
    let rollout = lab.pushed("b");
    let planned_at = lab.service().changed;
    lab.report(1, Report::Staged { release: id("b") });
    let steps = vec![ends(rollout, &[])];
    assert_refused(&lab.apply(Act::Plan { service: web(), planned_at, steps }), "outdated");
}

#[test]
fn a_refused_step_does_not_stop_those_after_it() {
    let mut lab = Lab::serving(1);
    let rollout = lab.pushed("b");
    lab.stages("b");
    let planned_at = lab.service().changed;
    let steps = vec![Step::Complete { rollout }, ends(rollout, &[]), Step::Converge { host: h(9) }];
    let Reply::Planned(results) = lab.apply(Act::Plan { service: web(), planned_at, steps }) else {
        panic!("refused")
    };
    let words: Vec<_> = results.iter().map(|result| result.as_ref().err().map(Refusal::word)).collect();
    assert_eq!(words, [Some("outdated"), None, Some("unknown host")]);
}
