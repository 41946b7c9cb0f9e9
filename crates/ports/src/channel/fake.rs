//! A channel in memory.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Channel, Look, Said};
use crate::{Fault, FaultKind};

/// A channel in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct FakeChannel {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    says: Option<Vec<u8>>,
    tag: u64,
    fails: bool,
    looks: u64,
}

impl FakeChannel {
    /// From now on it says this.
    pub fn say(&self, text: &str) {
        self.with(|inner| {
            inner.says = Some(text.as_bytes().to_vec());
            inner.tag += 1;
        });
    }

    /// From now on it cannot be read, or it can.
    pub fn fail(&self, fails: bool) {
        self.with(|inner| inner.fails = fails);
    }

    /// How often somebody looked.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.with(|inner| inner.looks)
    }

    fn with<T>(&self, then: impl FnOnce(&mut Inner) -> T) -> T {
        then(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Channel for FakeChannel {
    async fn look(&self, known: Option<&str>) -> Result<Look, Fault> {
        self.with(|inner| {
            inner.looks += 1;
            if inner.fails {
                return Err(Fault::new(FaultKind::Transient, "read the channel", "it was told to fail"));
            }
            let tag = inner.tag.to_string();
            Ok(match &inner.says {
                None => Look::Nothing,
                Some(_) if known == Some(tag.as_str()) => Look::Same,
                Some(bytes) => Look::Says(Said { bytes: bytes.clone(), tag: Some(tag) }),
            })
        })
    }
}
