//! Why a command did not do what was asked.

use std::io::Write as _;

use api::{Exit, refusal};
use serde_json::json;
use tonic::{Code, Status};

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

    /// An agent's "no".
    pub(crate) fn refused(status: &Status) -> Self {
        let exit = refusal::exit_of(status).unwrap_or(match status.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::Cancelled => Exit::Unavailable,
            _ => Exit::Rejected,
        });
        Self { exit, text: status.message().to_owned(), next: refusal::next_of(status) }
    }

    pub(crate) fn print(&self, json: bool) {
        if json {
            let text = json!({ "error": self.text, "next": self.next, "exit_code": self.exit.code() });
            // The exit code says it all the same.
            let _ = writeln!(std::io::stdout(), "{text}");
            return;
        }
        eprintln!("deployinator: {}", self.text);
        if let Some(next) = &self.next {
            eprintln!("  next: {next}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_exit_code_and_next_step() {
        let status = refusal::rejected("no", Some("do this"));
        assert_eq!(Failure::refused(&status), Failure::new(Exit::Rejected, "no", Some("do this")));
    }

    #[test]
    fn an_agent_that_is_gone_is_no_refusal() {
        assert_eq!(Failure::refused(&Status::unavailable("gone")).exit, Exit::Unavailable);
        assert_eq!(Failure::refused(&Status::invalid_argument("bad")).exit, Exit::Rejected);
    }
}
