//! Whatever the order, one group forms; and leaving out a rule shows two.

use super::{world::*, *};

const SEEDS: u64 = 1500;
const TURNS: usize = 250;

const BASE: Scenario = Scenario { hosts: 3, expected: 2, partial: true, terminates: false, omitted: None };

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

/// The rules that chance finds, with the scenario that shows what each is for. The others need a chain of events
/// too long for chance; `answers` and `decisions` have a test for each.
const NEEDED: [(Rule, Scenario); 7] = [
    (Rule::Expected, BASE),
    (Rule::EveryHost, Scenario { expected: 1, partial: false, ..BASE }),
    (Rule::Unanimous, BASE),
    (Rule::OneAgreement, BASE),
    (Rule::AgreementStored, BASE),
    (Rule::InitialisingStored, BASE),
    (Rule::GroupIsFinal, BASE),
];

#[test]
fn without_any_one_rule_two_groups_form() {
    assert_eq!(all_end_well(NEEDED[1].1), SEEDS as usize);
    for (rule, scenario) in NEEDED {
        let scenario = Scenario { omitted: Some(rule), ..scenario };
        let mut runs = (0..10_000).map(|seed| World::new(scenario, seed).run(TURNS));
        let found = runs.any(|run| run.is_err_and(|problem| problem.starts_with("two groups")));
        assert!(found, "{rule:?} can be left out unseen");
    }
}
