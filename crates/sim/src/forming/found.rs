//! What a scenario came to, and what is said of it.

use super::words::Step;

/// What a scenario came to.
pub(super) struct Explored {
    pub(super) states: usize,
    /// Events to the farthest state.
    pub(super) depth: usize,
    pub(super) ends: Ends,
    pub(super) found: Option<Found>,
}

/// Why no more was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// There is no more.
    Whole,
    /// There is no more, but for rosters of later rounds.
    Rounds,
    /// The limit was met.
    Limit,
    /// It was drawn.
    Drawn,
}

/// What went wrong, and how it came to that.
pub(super) struct Found {
    pub(super) text: String,
    pub(super) steps: Vec<Step>,
}

impl Explored {
    pub(super) fn extent(&self) -> String {
        let how = match (&self.found, self.ends) {
            (Some(_), _) => "",
            (None, Ends::Whole) => ", which are all",
            (None, Ends::Rounds) => ", which are all of its rounds",
            (None, Ends::Limit) => ", then stopped",
            (None, Ends::Drawn) => ", drawn",
        };
        format!("{} states, up to {} events{how}", self.states, self.depth)
    }

    /// What went wrong, a line for each event; nothing if all is well.
    pub(super) fn story(&self) -> String {
        let Some(found) = &self.found else { return String::new() };
        let mut text = format!("  {}, after {} events:\n", found.text, found.steps.len());
        for (number, step) in found.steps.iter().enumerate() {
            text.push_str(&format!("  {:>3}. {step}\n", number + 1));
        }
        text
    }
}
