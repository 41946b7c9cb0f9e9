//! Whatever the order, one group forms.

use super::world::*;

const SEEDS: u64 = 1500;
const TURNS: usize = 250;

const BASE: Scenario = Scenario { hosts: 3, expected: 2, partial: true, terminates: false };

/// Runs many seeds; gives how many formed a group.
#[track_caller]
fn all_end_well(scenario: Scenario) -> usize {
    let end = |seed| match World::new(scenario, seed).run(TURNS) {
        Ok(end) => end,
        Err(problem) => panic!("seed {seed} of {scenario:?}: {problem}"),
    };
    (0..SEEDS).filter(|seed| end(*seed) == End::Formed).count()
}

#[test]
fn two_of_three_expected_hosts_form_one_group() {
    assert_eq!(all_end_well(BASE), SEEDS as usize);
}

#[test]
fn three_of_three_expected_hosts_form_one_group() {
    assert_eq!(all_end_well(Scenario { expected: 3, ..BASE }), SEEDS as usize);
}

#[test]
fn five_hosts_form_one_group() {
    assert_eq!(all_end_well(Scenario { hosts: 5, expected: 3, ..BASE }), SEEDS as usize);
}

#[test]
fn one_host_alone_forms_a_group() {
    assert_eq!(all_end_well(Scenario { hosts: 1, expected: 1, ..BASE }), SEEDS as usize);
}

#[test]
fn a_host_may_be_terminated_and_replaced() {
    let formed = all_end_well(Scenario { expected: 3, terminates: true, ..BASE });
    assert!(formed > SEEDS as usize / 2, "only {formed} runs formed a group");
}

#[test]
fn each_host_with_a_whole_list_and_none_expected_forms_one_group() {
    assert_eq!(all_end_well(Scenario { expected: 1, partial: false, ..BASE }), SEEDS as usize);
}
