//! Why a command did not do what was asked.

use std::io::Write as _;

use api::{ClientError, Exit};
use serde_json::json;

use crate::render;

/// What was tried on what, why it failed, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What the command ends with.
    pub(crate) exit: Exit,
    /// What was tried, and why it failed.
    pub(crate) text: String,
    /// What to do.
    pub(crate) next: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl Into<String>, next: Option<&str>) -> Self {
        Self { exit, text: text.into(), next: next.map(str::to_owned) }
    }

    pub(crate) fn print(&self, json: bool) {
        if json {
            let text = json!({ "error": self.text, "next": self.next, "exit_code": self.exit.code() });
            // The exit code says it all the same.
            let _ = writeln!(std::io::stdout(), "{text}");
            return;
        }
        eprintln!("{}", render::for_errors(&format!("deployinator: {}", self.text)));
        if let Some(next) = &self.next {
            eprintln!("{}", render::for_errors(&format!("  next: {next}")));
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let mut text = error.to_string();
        let mut next = std::error::Error::source(&error);
        while let Some(source) = next {
            text = format!("{text}: {source}");
            next = source.source();
        }
        Self { exit: error.exit(), text, next: error.next() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_is_gone_says_what_was_tried_and_what_to_do() {
        let failure = Failure::from(ClientError::Unreachable {
            attempted: "push x to web".into(),
            attempts: Vec::new(),
        });
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(failure.text.starts_with("push x to web: "), "{}", failure.text);
        assert!(failure.next.is_some_and(|next| next.contains("--agent")));
    }
}
