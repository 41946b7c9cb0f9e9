//! How a cluster forms, from all that can happen: every order of a few hosts' events, not a drawn one.
//!
//! The shipped [`Former`](model::forming::Former) of each host is driven by everything that can happen to it next ([`local`]), and each state of
//! all hosts together is looked at once ([`search`]). Messages are never taken back: whatever was sent once may arrive at any time, again, or
//! never, which is delay, loss, doubling and disorder in one. Any time may pass between two events.
//!
//! Promise: two groups are found by the fewest events that lead to them. Absent on purpose: drawn numbers, but in [`walks`], for more hosts than can be
//! looked at one state at a time; Raft: that a group has a majority is not its forming.

mod calm;
mod local;
mod scenario;
mod search;
mod table;
mod walks;
mod words;

use std::{process::ExitCode, time::Instant};

use self::{
    scenario::{KEPT, LEFT_OUT, Scenario, WALKS},
    search::{Explored, Search},
};

/// A host's place, from 0.
type HostNo = usize;

/// Looks at everything; `is_full` looks further than every change has to, at so many `states` of each scenario.
pub(crate) fn check(is_full: bool, only: Option<&str>, states: Option<usize>) -> ExitCode {
    let began = Instant::now();
    let wanted =
        |scenario: &&Scenario| only.map_or(is_full || !scenario.is_long, |name| scenario.name == name);
    let limited = |scenario: &Scenario| Scenario { limit: states.unwrap_or(scenario.limit), ..*scenario };
    let (mut states, mut is_well) = (0, true);
    for scenario in KEPT.iter().filter(wanted) {
        let explored = Search::new(limited(scenario)).run();
        states += explored.states;
        is_well &= kept(scenario, &explored);
    }
    for scenario in WALKS.iter().filter(wanted) {
        let walked = walks::walk(*scenario, is_full);
        states += walked.states;
        is_well &= kept(scenario, &walked);
    }
    for scenario in LEFT_OUT.iter().filter(wanted) {
        let explored = Search::new(limited(scenario)).run();
        states += explored.states;
        is_well &= left_out(scenario, &explored);
    }
    let verdict = if is_well { "never two groups, and each rule is needed" } else { "not as it should be" };
    println!("sim: forming: {states} states, {verdict}, {} s", began.elapsed().as_secs());
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is said of a scenario in which all rules are kept; whether it went well.
fn kept(scenario: &Scenario, explored: &Explored) -> bool {
    println!("forming: {}: {}, {}", scenario.name, explored.extent(), scenario.about);
    explored.found.as_ref().inspect(|found| found.tell()).is_none()
}

/// What is said of a rule that was left out; whether that was noticed.
fn left_out(scenario: &Scenario, explored: &Explored) -> bool {
    let rule = scenario.omitted.map(|rule| format!("{rule:?}")).unwrap_or_default();
    println!("forming: without {rule}: {}, {}", explored.extent(), scenario.about);
    let Some(found) = &explored.found else {
        println!("  no two groups");
        return false;
    };
    found.tell();
    found.is_two_groups
}
