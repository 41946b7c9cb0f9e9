//! Between the wire and the model. Writing cannot fail; reading checks every field and names the one that is wrong.

mod asked;
mod clusters;
mod events;
mod health;
mod logs;
mod policy;
mod previews;
mod recovery;
mod rollouts;
mod staging;
mod statuses;
#[cfg(test)]
mod tests;
mod types;
mod watching;
mod words;

use std::str::FromStr;

use model::ids::InvalidId;

pub(crate) use asked::verdict;
pub use asked::{asker, service};

/// A message that makes no sense, with the field that is to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// Path of the field, such as `services.hosts.change.phase`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Invalid {
    pub(crate) fn new(field: &str, problem: impl Into<String>) -> Self {
        Self { field: field.to_owned(), problem: problem.into() }
    }

    fn within(mut self, outer: &str) -> Self {
        self.field = format!("{outer}.{}", self.field);
        self
    }
}

/// So much of what makes no sense is shown.
const SHOWN_CHARS: usize = 80;

/// Reads a name.
fn named<T: FromStr<Err = InvalidId>>(field: &str, value: &str) -> Result<T, Invalid> {
    value.parse().map_err(|error: InvalidId| {
        let shown: String = error.value.chars().take(SHOWN_CHARS).collect();
        let more = if shown.len() < error.value.len() { "…" } else { "" };
        Invalid::new(field, format!("{:?} {}", shown + more, error.problem))
    })
}

/// Takes a text of a request, which goes into the log and stays there.
fn text(field: &str, value: String, limit_bytes: usize) -> Result<String, Invalid> {
    if value.len() <= limit_bytes {
        return Ok(value);
    }
    Err(Invalid::new(field, format!("must be at most {limit_bytes} bytes long, and has {}", value.len())))
}

/// Reads a name that may be absent.
fn maybe_named<T: FromStr<Err = InvalidId>>(field: &str, value: Option<&str>) -> Result<Option<T>, Invalid> {
    value.map(|value| named(field, value)).transpose()
}

/// Reads several names.
fn all_named<T: FromStr<Err = InvalidId>>(field: &str, values: &[String]) -> Result<Vec<T>, Invalid> {
    values.iter().map(|value| named(field, value)).collect()
}

/// Takes a message that must be there.
fn needed<T>(field: &str, value: Option<T>) -> Result<T, Invalid> {
    value.ok_or_else(|| Invalid::new(field, "must be present"))
}

/// Reads a message that must be there.
fn read<M, T: TryFrom<M, Error = Invalid>>(field: &str, value: Option<M>) -> Result<T, Invalid> {
    T::try_from(needed(field, value)?).map_err(|error| error.within(field))
}

/// Reads a message that may be absent.
fn maybe<M, T: TryFrom<M, Error = Invalid>>(field: &str, value: Option<M>) -> Result<Option<T>, Invalid> {
    value.map(T::try_from).transpose().map_err(|error| error.within(field))
}

/// Reads several messages.
fn all<M, T: TryFrom<M, Error = Invalid>>(field: &str, values: Vec<M>) -> Result<Vec<T>, Invalid> {
    values
        .into_iter()
        .map(T::try_from)
        .collect::<Result<_, _>>()
        .map_err(|error: Invalid| error.within(field))
}

/// Writes several messages.
fn each<T, M: From<T>>(values: impl IntoIterator<Item = T>) -> Vec<M> {
    values.into_iter().map(M::from).collect()
}

/// Milliseconds, as the wire has them.
fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
