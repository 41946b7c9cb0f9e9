//! An old log means for ever what it meant: entry by entry the same answers, and the same state at the end.
//!
//! `history.golden` holds what this machine did at level 1: one entry and its reply a line, and the state in the last one. When a change of
//! `apply` breaks this test, replicas of two releases would differ: gate the change, as ARCHITECTURE says under *Changing what apply
//! does*. What no release has applied yet may be recorded anew: `cargo test -p model played_again -- --nocapture`, which prints it.

use std::cell::RefCell;

use super::{
    format::{every_act, rich},
    *,
};

const GOLDEN: &str = include_str!("history.golden");

thread_local! {
    static RECORD: RefCell<Vec<(Command, Reply)>> = const { RefCell::new(Vec::new()) };
}

/// Takes note of an entry that was applied in this test.
pub(super) fn record(command: &Command, reply: &Reply) {
    RECORD.with_borrow_mut(|record| record.push((command.clone(), reply.clone())));
}

fn line(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

/// Plays what was written, entry by entry; the state in the last line is what it owes.
fn play(history: &str) -> Fleet {
    let (log, state) = history.trim_end().rsplit_once('\n').unwrap();
    let mut fleet = Fleet::default();
    for (number, recorded) in log.lines().enumerate() {
        let (command, reply): (Command, Reply) = serde_json::from_str(recorded).unwrap();
        let now = fleet.apply(Revision(number as u64 + 1), &command);
        assert_eq!(line(&now), line(&reply), "entry {} is {command:?}", number + 1);
    }
    let recorded: Fleet = serde_json::from_str(state).unwrap();
    assert_eq!(fleet, recorded);
    fleet
}

#[test]
fn the_log_of_an_earlier_release_has_the_same_answers_and_ends_in_the_same_state() {
    assert_eq!(play(GOLDEN).level, 1);
}

#[test]
fn what_was_written_down_is_played_again_to_the_same_end() {
    let mut lab = rich();
    // Whoever departs takes what follows with it.
    let (last, first): (Vec<Act>, Vec<Act>) =
        every_act().into_iter().partition(|act| matches!(act, Act::Depart { .. }));
    for act in first.into_iter().chain(last).filter(|act| !matches!(act, Act::RaiseLevel { .. })) {
        lab.apply(act);
    }
    let mut history =
        RECORD.with_borrow(|record| record.iter().map(|entry| line(entry) + "\n").collect::<String>());
    history += &line(&lab.fleet);
    println!("{history}");
    assert_eq!(play(&history), lab.fleet);
}
