//! How a cluster forms, from all that can happen: every order of a few hosts' events, not a drawn one.
//!
//! The shipped [`Former`](model::forming::Former) of each host is driven by everything that can happen to it next ([`local`]), and each state of
//! all hosts together is looked at once ([`search`]). Messages are never taken back: whatever was sent once may arrive at any time, again, or
//! never, which is delay, loss, doubling and disorder in one. Any time may pass between two events.
//!
//! Promise: two groups are found by the fewest events that lead to them. Absent on purpose: drawn numbers, but in [`walks`], for more hosts than can be
//! looked at one state at a time; Raft: that a group has a majority is not its forming; rules left out: what does that is planted, in a copy.

mod calm;
mod found;
mod local;
mod scenario;
mod search;
mod table;
mod walks;
mod words;

use std::{
    process::ExitCode,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use clap::Args;

use self::{
    found::Explored,
    scenario::{KEPT, LIMITS, RULES, Scenario, WALKS},
    search::Search,
};

/// A host's place, from 0.
type HostNo = usize;

/// How far it is looked, and at what.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Looks at how a cluster forms instead: every order of a few hosts' events.
    #[arg(long = "forming")]
    pub(crate) is_wanted: bool,
    /// With --forming: looks at more, which takes minutes.
    #[arg(long, requires = "is_wanted")]
    full: bool,
    /// With --forming: at most so many states of each scenario.
    #[arg(long, value_name = "N", requires = "is_wanted")]
    states: Option<usize>,
    /// With --forming: only this scenario.
    #[arg(long, value_name = "NAME", requires = "is_wanted")]
    only: Option<String>,
    /// With --forming: a rule is left out, so look for two groups and for nothing else.
    #[arg(long, requires = "only")]
    planted: bool,
}

/// Looks at everything that is asked for, as many scenarios at once as there are cores.
pub(crate) fn check(options: &Options) -> ExitCode {
    let began = Instant::now();
    let all = KEPT.iter().chain(LIMITS).chain(RULES).map(|scenario| (scenario, false));
    let all = all.chain(WALKS.iter().map(|scenario| (scenario, true)));
    let wanted: Vec<(&Scenario, bool)> = all.filter(|(scenario, _)| options.wants(scenario)).collect();
    if wanted.is_empty() {
        println!("sim: forming: there is no such scenario");
        return ExitCode::FAILURE;
    }
    let (next, states, is_well) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(true));
    let look = || {
        while let Some((scenario, is_drawn)) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            let explored = options.look(scenario, *is_drawn);
            states.fetch_add(explored.states, Ordering::Relaxed);
            print!(
                "forming: {}: {}, {}\n{}",
                scenario.name,
                explored.extent(),
                scenario.about,
                explored.story()
            );
            is_well.fetch_and(explored.found.is_some() == scenario.is_limit, Ordering::Relaxed);
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(look))));
    let (states, is_well) = (states.into_inner(), is_well.into_inner());
    let verdict = if is_well { "two groups only where no rule prevents them" } else { "not as it should be" };
    println!("sim: forming: {states} states, {verdict}, {} s", began.elapsed().as_secs());
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Options {
    fn wants(&self, scenario: &Scenario) -> bool {
        self.only.as_ref().map_or(self.full || !scenario.is_long, |name| scenario.name == *name)
    }

    fn look(&self, scenario: &Scenario, is_drawn: bool) -> Explored {
        let limit = self.states.unwrap_or(scenario.limit);
        let scenario = Scenario { limit, is_planted: self.planted, ..*scenario };
        if is_drawn { walks::walk(scenario, self.full) } else { Search::new(scenario).run() }
    }
}
