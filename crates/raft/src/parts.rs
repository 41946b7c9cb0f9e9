//! The state of a snapshot on its way: it may be larger than a message, and arrives in parts.
//!
//! Promise: a state is handed out whole, in order and as it was sent, or not at all. Only one is assembled at a time, never more than was
//! announced; whoever begins another one ends it, a sender that was deposed ends nothing, and what nobody goes on with is forgotten.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use crate::Checksum;

/// Longest state that is taken, in bytes. Far above what the bounds of the state allow: a peer gone wrong must not fill the memory.
const STATE_LIMIT_BYTES: u64 = 1 << 30;

/// Which state, as its sender says with each message.
#[derive(Debug, Clone)]
pub(crate) struct Announced<V> {
    /// By which right it is sent.
    pub(crate) vote: V,
    /// Who sends it, and what it covers.
    pub(crate) of: String,
    /// How long the whole is.
    pub(crate) bytes: u64,
}

/// Why a message of a state is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    #[error("a state of {0} bytes is larger than any that is taken ({STATE_LIMIT_BYTES})")]
    TooLarge(u64),
    #[error("more of this state came than the {0} bytes that were announced")]
    TooMuch(u64),
    #[error("a newer leader sends another state")]
    Deposed,
    #[error("the parts of this state are not here")]
    Missing,
    #[error("this state is not as it was sent: {bytes} bytes with checksum {sum}")]
    Damaged { bytes: usize, sum: Checksum },
}

/// What has arrived of a state.
pub(crate) struct Parts<V> {
    place: Arc<Mutex<Place<V>>>,
    /// What nobody goes on with for so long is forgotten.
    patience: Duration,
}

struct Place<V> {
    /// Counts the states that were begun.
    begun: u64,
    arrived: Option<Arrived<V>>,
}

struct Arrived<V> {
    announced: Announced<V>,
    state: Vec<u8>,
    sum: Checksum,
    touched: Instant,
}

impl<V> Arrived<V> {
    fn is(&self, announced: &Announced<V>) -> bool {
        (&self.announced.of, self.announced.bytes) == (&announced.of, announced.bytes)
    }
}

impl<V: PartialOrd + Clone + Send + 'static> Parts<V> {
    /// Nothing yet.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { place: Arc::new(Mutex::new(Place { begun: 0, arrived: None })), patience }
    }

    fn place(&self) -> MutexGuard<'_, Place<V>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one part, if it is the next one. Returns how much of this state is held now.
    pub(crate) fn take(&self, announced: &Announced<V>, offset: u64, part: &[u8]) -> Result<u64, NotTaken> {
        let end = offset.saturating_add(part.len() as u64);
        let mut place = self.place();
        check(&place, announced, end)?;
        if offset == 0 {
            place.begun += 1;
            let (state, sum, touched) = (Vec::new(), Checksum::default(), Instant::now());
            place.arrived = Some(Arrived { announced: announced.clone(), state, sum, touched });
            tokio::spawn(forget(Arc::downgrade(&self.place), place.begun, self.patience));
        }
        let Some(arrived) = place.arrived.as_mut().filter(|arrived| arrived.is(announced)) else {
            return Ok(0);
        };
        if arrived.state.len() as u64 == offset && !part.is_empty() {
            arrived.state.extend_from_slice(part);
            (arrived.sum, arrived.touched) = (arrived.sum.and(part), Instant::now());
        }
        Ok(arrived.state.len() as u64)
    }

    /// The whole state, with its end after the first `before` bytes. It is handed out once.
    pub(crate) fn finish(
        &self,
        announced: &Announced<V>,
        before: u64,
        end: Vec<u8>,
        checksum: &str,
    ) -> Result<Vec<u8>, NotTaken> {
        let mut place = self.place();
        check(&place, announced, before.saturating_add(end.len() as u64))?;
        let (state, sum) = if before == 0 {
            let sum = Checksum::of(&end);
            (end, sum)
        } else {
            let is = |arrived: &mut Arrived<V>| arrived.is(announced) && arrived.state.len() as u64 == before;
            let Arrived { mut state, sum, .. } = place.arrived.take_if(is).ok_or(NotTaken::Missing)?;
            state.extend_from_slice(&end);
            (state, sum.and(&end))
        };
        if (state.len() as u64, sum.to_string().as_str()) != (announced.bytes, checksum) {
            return Err(NotTaken::Damaged { bytes: state.len(), sum });
        }
        Ok(state)
    }
}

fn check<V: PartialOrd>(place: &Place<V>, announced: &Announced<V>, end: u64) -> Result<(), NotTaken> {
    if STATE_LIMIT_BYTES < announced.bytes {
        return Err(NotTaken::TooLarge(announced.bytes));
    }
    if announced.bytes < end {
        return Err(NotTaken::TooMuch(announced.bytes));
    }
    match &place.arrived {
        Some(arrived) if announced.vote < arrived.announced.vote => Err(NotTaken::Deposed),
        _ => Ok(()),
    }
}

/// Lets go of one state once nobody has gone on with it for too long. Ends with that state.
async fn forget<V>(place: Weak<Mutex<Place<V>>>, which: u64, patience: Duration) {
    let mut until = Instant::now() + patience;
    loop {
        sleep_until(until).await;
        let Some(place) = place.upgrade() else { return };
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = place.begun;
        let Some(arrived) = place.arrived.as_ref().filter(|_| begun == which) else { return };
        until = arrived.touched + patience;
        if until <= Instant::now() {
            tracing::info!(of = %arrived.announced.of, "a snapshot was broken off on its way here");
            place.arrived = None;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn of(vote: u64, name: &str, bytes: u64) -> Announced<u64> {
        Announced { vote, of: name.to_owned(), bytes }
    }

    fn sum(whole: &str) -> String {
        Checksum::of(whole.as_bytes()).to_string()
    }

    #[tokio::test]
    async fn a_state_is_whole_in_order_and_as_it_was_sent_or_not_there() {
        let parts = Parts::new(LONG);
        let small = parts.finish(&of(1, "a", 3), 0, b"all".to_vec(), &sum("all"));
        assert_eq!(small, Ok(b"all".to_vec()), "a small one has no parts");
        let (a, whole) = (of(1, "a", 7), sum("onetwo!"));
        assert_eq!(parts.take(&a, 0, b"one"), Ok(3));
        assert_eq!(parts.take(&a, 3, b"two"), Ok(6));
        assert_eq!(parts.take(&a, 3, b"two"), Ok(6), "twice is once");
        assert_eq!(parts.finish(&of(1, "a", 10), 9, b"!".to_vec(), &whole), Err(NotTaken::Missing));
        assert_eq!(parts.finish(&of(1, "b", 7), 6, b"!".to_vec(), &whole), Err(NotTaken::Missing));
        assert_eq!(parts.finish(&a, 6, b"!".to_vec(), &whole), Ok(b"onetwo!".to_vec()));
        assert_eq!(
            parts.finish(&a, 6, b"!".to_vec(), &whole),
            Err(NotTaken::Missing),
            "it is handed out once"
        );

        for (end, announced) in [("?", 7), ("", 7)] {
            let a = of(1, "a", announced);
            parts.take(&a, 0, b"onetwo").unwrap();
            let refused = parts.finish(&a, 6, end.as_bytes().to_vec(), &whole);
            assert!(matches!(refused, Err(NotTaken::Damaged { .. })), "{end}: {refused:?}");
        }
        let refused = parts.finish(&of(1, "a", 3), 0, b"alk".to_vec(), &sum("all"));
        assert!(matches!(refused, Err(NotTaken::Damaged { .. })), "{refused:?}");
        assert!(parts.place().arrived.is_none(), "nothing is left of any of them");
    }

    #[tokio::test]
    async fn no_more_is_held_than_was_announced_and_no_more_is_announced_than_is_taken() {
        let parts = Parts::new(LONG);
        let huge = STATE_LIMIT_BYTES + 1;
        assert_eq!(parts.take(&of(1, "a", huge), 0, b"one"), Err(NotTaken::TooLarge(huge)));
        assert_eq!(parts.take(&of(1, "a", 5), 0, b"one"), Ok(3));
        assert_eq!(parts.take(&of(1, "a", 5), 3, b"two"), Err(NotTaken::TooMuch(5)));
        assert_eq!(parts.finish(&of(1, "a", 5), 3, b"two".to_vec(), ""), Err(NotTaken::TooMuch(5)));
        assert_eq!(parts.take(&of(1, "a", 6), 3, b"two"), Ok(0), "it is not the one that was announced");
        assert_eq!(parts.place().arrived.as_ref().map(|arrived| arrived.state.len()), Some(3));
    }

    #[tokio::test]
    async fn whoever_begins_ends_what_was_there_unless_he_was_deposed() {
        let parts = Parts::new(LONG);
        parts.take(&of(1, "a", 6), 0, b"one").unwrap();
        assert_eq!(parts.take(&of(2, "b", 6), 3, b"two"), Ok(0), "its beginning is missing");
        assert_eq!(parts.take(&of(2, "b", 6), 0, b"one"), Ok(3));
        assert_eq!(parts.take(&of(1, "a", 6), 0, b"one"), Err(NotTaken::Deposed));
        assert_eq!(parts.take(&of(2, "b", 6), 0, b"1"), Ok(1), "from the beginning again");
    }

    #[tokio::test]
    async fn what_nobody_goes_on_with_is_forgotten() {
        let parts = Parts::new(Duration::from_millis(200));
        parts.take(&of(1, "a", 9), 0, b"one").unwrap();
        let deadline = Instant::now() + LONG / 60;
        while parts.place().arrived.is_some() {
            assert!(Instant::now() < deadline, "it is still there");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(parts.take(&of(1, "a", 9), 3, b"two"), Ok(0), "and is begun again by whoever wants it");
        // The one that is begun next has its own time, not what was left of the last one's.
        parts.take(&of(1, "a", 9), 0, b"one").unwrap();
        let place = parts.place();
        assert_eq!((place.begun, place.arrived.is_some()), (2, true));
    }
}
