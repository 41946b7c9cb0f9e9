//! One thing that is wrong, and where.

use std::{cell::RefCell, fmt, rc::Rc};

/// One thing that is wrong with a configuration, in words for whoever has to put it right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, or the directory when the key is in none of its files.
    pub file: String,
    /// The line, from 1, where the text is no TOML.
    pub line: Option<usize>,
    /// The key, such as `service.web.port`; empty when it is about the file itself.
    pub key: String,
    /// What is wrong, and what would be right.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.text)
    }
}

impl std::error::Error for Problem {}

/// Where a key stands: its file and its full name.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) file: Rc<str>,
    pub(crate) key: String,
}

/// Gathers problems from everywhere, so that none hides another.
#[derive(Debug, Default)]
pub(crate) struct Sink(RefCell<Vec<Problem>>);

impl Sink {
    /// Records what is wrong at `place`.
    pub(crate) fn at(&self, place: &Place, text: impl Into<String>) {
        self.add(Problem {
            file: place.file.to_string(),
            line: None,
            key: place.key.clone(),
            text: text.into(),
        });
    }

    /// Records a problem.
    pub(crate) fn add(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }

    /// Whether nothing was found wrong so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// What was made, if nothing was wrong with it. A thing that could not be made has left a problem.
    pub(crate) fn verdict<T>(self, made: Option<T>) -> Result<T, Vec<Problem>> {
        match (made, self.0.into_inner()) {
            (Some(made), problems) if problems.is_empty() => Ok(made),
            (_, problems) => Err(problems),
        }
    }
}
