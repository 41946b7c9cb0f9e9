//! Waves: who may begin, and when the next ones may.

use super::*;

fn start(rollout: RolloutId, hosts: &[u32]) -> Step {
    Step::StartWave { rollout, hosts: hosts.iter().copied().map(h).collect() }
}

#[test]
fn a_wave_is_started_once_the_last_has_soaked_with_hosts_that_wait() {
    let mut lab = Lab::serving(3);
    let rollout = lab.staged("b");
    assert_no(&lab.step(Step::EndWave { rollout }), "outdated");
    assert_no(&lab.step(start(rollout, &[])), "outdated");
    assert_no(&lab.step(start(rollout, &[1, 9])), "outdated");
    lab.wave(&[1]);
    assert_no(&lab.step(start(rollout, &[2])), "outdated");
    assert_no(&lab.step(Step::EndWave { rollout }), "outdated");
    lab.grant(1).unwrap();
    lab.changes(1);
    assert_no(&lab.step(start(rollout, &[2])), "outdated");
    lab.end_wave();
    assert_no(&lab.step(Step::EndWave { rollout }), "outdated");
    assert_no(&lab.step(start(rollout, &[1])), "outdated");
    assert_eq!(lab.rollout(rollout).waves, 1, "what was refused has changed nothing");
    lab.wave(&[2]);
    assert_eq!(lab.rollout(rollout).parts[&h(2)].wave, Some(1));
}
