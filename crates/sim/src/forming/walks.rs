//! Drawn histories, for more hosts than can be looked at one state at a time.

use super::{
    found::{Ends, Explored, Found},
    local::Happens,
    scenario::Scenario,
    search::{Action, Search},
    words,
};
use crate::Chance;

/// Events of a history.
const EVENTS: usize = 200;
/// Histories that every change has to pass, and how many times as many the long run has.
const HISTORIES: u64 = 100;
const LONGER: u64 = 100;

/// Plays histories; each ends when nothing can happen any more, and must end well from wherever it is.
pub(super) fn walk(scenario: Scenario, is_full: bool) -> Explored {
    let mut search = Search::new(scenario);
    let mut explored = Explored { states: 0, depth: 0, ends: Ends::Drawn, found: None };
    for seed in 0..HISTORIES * if is_full { LONGER } else { 1 } {
        let mut chance = Chance::new(seed, 7);
        let mut state = search.first();
        let mut path = Vec::new();
        while path.len() < EVENTS {
            let actions = search.actions(&state);
            let Some(action) = draw(&mut chance, &actions) else { break };
            let Some(then) = search.then(&state, action) else { break };
            state = then;
            path.push(action);
            explored.states += 1;
            explored.depth = explored.depth.max(path.len());
            if let Some(text) = search.wrong(&state) {
                let steps = words::story(&mut search, &path);
                explored.found = Some(Found { text, steps });
                return explored;
            }
        }
    }
    explored
}

/// One of the kinds first, then one of them: else the many messages would leave no room for what is rare.
fn draw(chance: &mut Chance, actions: &[Action]) -> Option<Action> {
    let kind = |action: &Action| match action.happens {
        _ if 0 < action.cut => 3,
        Happens::Arrives(_) => 0,
        Happens::Late | Happens::Started => 1,
        Happens::Listed { .. } => 2,
        _ => 3,
    };
    let wanted = match chance.below(100) {
        0..70 => 0,
        70..85 => 1,
        85..96 => 2,
        _ => 3,
    };
    let of_kind: Vec<&Action> = actions.iter().filter(|action| kind(action) == wanted).collect();
    match (of_kind.is_empty(), actions.is_empty()) {
        (_, true) => None,
        (true, false) => Some(*chance.pick(actions)),
        (false, false) => Some(**chance.pick(&of_kind)),
    }
}
