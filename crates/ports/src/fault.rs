//! What can go wrong outside, in three words.

use std::error::Error;

/// How an adapter classifies what went wrong; retries and limits are policy and decided elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The other side asked us to slow down.
    Throttled,
    /// It may work when tried again. What is not known is transient.
    Transient,
    /// Trying again changes nothing.
    Permanent,
}

/// A call to the outside that did not work: what was attempted on what, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("{attempted}")]
pub struct Fault {
    /// How it is classified.
    pub kind: FaultKind,
    /// What was attempted on what: "deregister h1 from target group web".
    pub attempted: String,
    /// Why it failed.
    pub source: Box<dyn Error + Send + Sync>,
}

impl Fault {
    /// A fault of `kind` in `attempted`.
    pub fn new(
        kind: FaultKind,
        attempted: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { kind, attempted: attempted.into(), source: source.into() }
    }
}

/// An error and all its sources on one line, for the one place that prints it.
pub struct Chain<'a>(pub &'a dyn Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(source) = next {
            write!(f, ": {source}")?;
            next = source.source();
        }
        Ok(())
    }
}
