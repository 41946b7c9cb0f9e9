//! The log store alone, cut everywhere: all that it does to its disk is remembered, and taken off again at every place, in every way in which a
//! disk may lose what it was not told to keep.
//!
//! Promise, on an honest disk: the file opens, and shows the store exactly as it was after one of its acts, no earlier than the last that it
//! acknowledged. What an opening has shown is an acknowledgement, too. On a disk that lied about a flush: the same but for *no earlier*, or
//! [`OpenError::Damaged`].

mod disk;
mod history;

use std::{collections::BTreeMap, ops::RangeInclusive};

use futures_util::FutureExt as _;

use self::{
    disk::{Disk, Remains},
    history::{History, State, chance, live, open, read},
};
use super::OpenError;

/// How many acts a store lives for.
const ACTS: usize = 40;
/// A cut took something back that was begun.
const EARLIER: &str = "an earlier state than the last begun";
/// A file was refused.
const REFUSED: &str = "refused";

/// What is found on a disk with this content.
fn found(image: Vec<u8>) -> Result<State, OpenError> {
    let mut store = open(&Disk::of(image))?;
    let state = read(&mut store).now_or_never().expect("it awaits nothing");
    store.close();
    Ok(state)
}

/// A place in a history, and what it was like there.
struct Cut<'a> {
    seed: u64,
    history: &'a History,
    /// So many things were done to the disk.
    after: usize,
}

impl Cut<'_> {
    /// Complains with all that is needed to look at it.
    fn fail(&self, what: &str, why: &str) -> ! {
        let act = self.history.acts.iter().rfind(|(place, _)| *place <= self.after);
        panic!(
            "seed {}, {what} after operation {} of {}, amid {:?}: {why}",
            self.seed,
            self.after,
            self.history.ops.len(),
            act.map(|(_, act)| act)
        );
    }

    /// An honest disk holds this; how many acts back is what it shows?
    fn honest(&self, what: &str, image: Vec<u8>) -> usize {
        let allowed = self.history.allowed(self.after);
        let state = found(image).unwrap_or_else(|refused| self.fail(what, &format!("refused: {refused:?}")));
        match self.newest(&state) {
            Some(at) if allowed.contains(&at) => allowed.end() - at,
            at => self.fail(
                what,
                &format!("it shows state {at:?}, where {allowed:?} are right: {}", brief(&state)),
            ),
        }
    }

    /// A disk that lied, or was damaged, holds this; is it refused?
    fn dishonest(&self, what: &str, image: Vec<u8>) -> bool {
        match found(image) {
            Ok(state) if self.newest(&state).is_some() => false,
            Ok(state) => self.fail(what, &format!("it shows what never was: {}", brief(&state))),
            Err(OpenError::Damaged { .. }) => true,
            Err(other) => self.fail(what, &format!("refused, but as {other:?}")),
        }
    }

    /// The last of the store's states, begun until now, that was like this.
    fn newest(&self, state: &State) -> Option<usize> {
        let begun = *self.history.allowed(self.after).end();
        self.history.states[..=begun].iter().rposition(|(_, was)| was == state)
    }
}

fn brief(state: &State) -> String {
    format!("{state:?}").chars().take(600).collect()
}

/// How often each kind of cut was made.
type Counts = BTreeMap<&'static str, usize>;

fn cut_everywhere(seed: u64, history: &History, counts: &mut Counts) {
    let mut chance = chance(seed);
    let mut remains = Remains::default();
    for (place, op) in history.ops.iter().enumerate() {
        let cut = Cut { seed, history, after: place };
        if history.named <= place {
            let mut made = vec![("killed amid a write", remains.amid(op, &mut chance))];
            made.push(("killed", remains.most()));
            if !remains.is_durable() {
                made.push(("power lost, nothing got there", remains.least()));
                made.push(("power lost, a part got there", remains.some(&mut chance)));
                made.push(("power lost, a part got there", remains.some(&mut chance)));
            }
            for (what, image) in made {
                *counts.entry(what).or_default() += 1;
                if 0 < cut.honest(what, image) {
                    *counts.entry(EARLIER).or_default() += 1;
                }
            }
        }
        remains.then(op);
    }
}

/// Lies and damage at every place, too.
fn lie_everywhere(seed: u64, history: &History, counts: &mut Counts) {
    let mut chance = chance(seed);
    let mut remains = Remains::default();
    for (place, op) in history.ops.iter().enumerate() {
        let cut = Cut { seed, history, after: place };
        if history.named <= place {
            for (what, image) in [
                ("a part was not flushed", remains.of_a_liar(&mut chance)),
                ("sectors hold something else", remains.spoilt(&mut chance)),
                ("a byte is another one", remains.flipped(&mut chance)),
            ] {
                *counts.entry(what).or_default() += 1;
                if cut.dishonest(what, image) {
                    *counts.entry(REFUSED).or_default() += 1;
                }
            }
        }
        remains.then(op);
    }
}

/// Plays histories, cuts each everywhere, and says what was met.
async fn play(seeds: RangeInclusive<u64>, cut: fn(u64, &History, &mut Counts)) -> Counts {
    let mut counts = Counts::new();
    for seed in seeds {
        let history = live(seed, ACTS).await;
        for (_, act) in &history.acts {
            *counts.entry(act).or_default() += 1;
        }
        cut(seed, &history, &mut counts);
    }
    eprintln!("{counts:#?}");
    counts
}

#[tokio::test]
async fn whatever_is_left_of_an_honest_disk_shows_all_that_was_acknowledged_and_nothing_else() {
    let counts = play(1..=3, cut_everywhere).await;
    for met in
        ["append", "vote", "truncate", "purge", "install a snapshot", "stop", "kill", "lose power", EARLIER]
    {
        assert!(counts.contains_key(met), "{met} was not met: {counts:?}");
    }
}

#[tokio::test]
async fn a_disk_that_lied_or_was_damaged_is_refused_or_shows_what_once_was() {
    let counts = play(4..=5, lie_everywhere).await;
    assert!(counts.contains_key(REFUSED), "no damage was found at all: {counts:?}");
}
