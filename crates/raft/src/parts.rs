//! The state of a snapshot on its way: it may be larger than a message, and arrives in parts.
//!
//! Promise: a state is handed out whole and in order, or not at all. Only one is assembled at a time; whoever begins another one ends it.

use std::sync::{Mutex, PoisonError};

/// Longest state that is taken, in bytes. Far above what the bounds of the state allow: a peer gone wrong must not fill the memory.
const STATE_LIMIT_BYTES: usize = 1 << 30;

/// What has arrived of a state.
#[derive(Default)]
pub(crate) struct Parts(Mutex<Option<Arrived>>);

struct Arrived {
    /// Who sends it, and what it covers.
    of: String,
    state: Vec<u8>,
}

impl Parts {
    /// Takes one part, if it is the next one. Returns how much of this state is held now.
    pub(crate) fn take(&self, of: &str, offset: u64, part: &[u8]) -> u64 {
        let mut arrived = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if offset == 0 {
            *arrived = Some(Arrived { of: of.to_owned(), state: Vec::new() });
        }
        let Some(Arrived { state, .. }) = arrived.as_mut().filter(|arrived| arrived.of == of) else {
            return 0;
        };
        if state.len() as u64 == offset && part.len() <= STATE_LIMIT_BYTES - state.len() {
            state.extend_from_slice(part);
        }
        state.len() as u64
    }

    /// The whole state, with its end; nothing if what came before is not here.
    pub(crate) fn finish(&self, of: &str, before: u64, end: Vec<u8>) -> Option<Vec<u8>> {
        if before == 0 {
            return Some(end);
        }
        let mut arrived = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = arrived.take_if(|arrived| arrived.of == of && arrived.state.len() as u64 == before)?;
        let mut state = whole.state;
        state.extend_from_slice(&end);
        Some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_whole_and_in_order_or_not_there() {
        let parts = Parts::default();
        assert_eq!(parts.finish("a", 0, b"all".to_vec()), Some(b"all".to_vec()), "a small one has no parts");
        assert_eq!(parts.take("a", 0, b"one"), 3);
        assert_eq!(parts.take("a", 3, b"two"), 6);
        assert_eq!(parts.take("a", 3, b"two"), 6, "twice is once");
        assert_eq!(parts.take("a", 9, b"four"), 6, "the third is missing");
        assert_eq!(parts.finish("a", 9, b"!".to_vec()), None);
        assert_eq!(parts.finish("b", 6, b"!".to_vec()), None, "it is another one's");
        assert_eq!(parts.finish("a", 6, b"!".to_vec()), Some(b"onetwo!".to_vec()));
        assert_eq!(parts.finish("a", 6, b"!".to_vec()), None, "it is handed out once");
    }

    #[test]
    fn whoever_begins_ends_what_was_there() {
        let parts = Parts::default();
        parts.take("a", 0, b"one");
        assert_eq!(parts.take("b", 3, b"two"), 0, "its beginning is missing");
        assert_eq!(parts.take("b", 0, b"one"), 3);
        assert_eq!(parts.take("a", 3, b"two"), 0);
        assert_eq!(parts.take("b", 0, b"1"), 1, "from the beginning again");
    }
}
