//! What people and programs see.

mod json;
mod live;
mod paint;
mod status;
mod text;

use std::io::{IsTerminal as _, Write as _};

use api::view::{Ended, Gap, Pushed, SeenEvent, Status};
use model::{ServiceName, fleet::Rollout};

use self::{live::Live, paint::Paint};
use crate::args::{Color, Output};

/// Prints what a command has to say: text in colour on a terminal with a picture that is redrawn in place, plain lines in a pipe, or
/// JSON, one object a line.
pub(crate) struct Printer {
    json: bool,
    paint: Paint,
    live: Option<Live>,
    unread: bool,
}

impl Printer {
    pub(crate) fn new(output: Output, color: Color) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let colored = match color {
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            Color::Always => true,
            Color::Never => false,
        };
        let json = output == Output::Json;
        Self { json, paint: Paint { colored }, live: (terminal && !json).then(Live::default), unread: false }
    }

    fn line(&mut self, text: &str) {
        if let Some(live) = &mut self.live {
            live.print_above(text);
        } else {
            self.write(text);
        }
    }

    /// A reader who has gone wants no more, which is no reason to end a wait with another exit code.
    fn write(&mut self, text: &str) {
        let written = writeln!(std::io::stdout(), "{text}");
        self.unread |= written.is_err();
    }

    /// Whether the reader has gone.
    pub(crate) fn is_unread(&self) -> bool {
        self.unread
    }

    pub(crate) fn status(&mut self, status: &Status) {
        let text =
            if self.json { json::status(status).to_string() } else { status::status(status, self.paint) };
        self.write(text.trim_end());
    }

    pub(crate) fn history(&mut self, rollouts: &[Rollout]) {
        let text =
            if self.json { json::history(rollouts).to_string() } else { text::history(rollouts, self.paint) };
        self.write(text.trim_end());
    }

    pub(crate) fn begun(&mut self, service: &ServiceName, pushed: &Pushed, waits: bool) {
        if self.json {
            self.write(&json::begun(service, pushed).to_string());
        } else {
            self.line(&text::begun(service, pushed, waits));
        }
    }

    pub(crate) fn event(&mut self, event: &SeenEvent) {
        if self.json {
            self.write(&json::event(event).to_string());
        } else {
            let text = text::event(event, self.paint);
            self.line(&text);
        }
    }

    pub(crate) fn gap(&mut self, gap: &Gap) {
        if self.json {
            self.write(&json::gap(gap).to_string());
        } else {
            self.line(&format!("(events before {} are no longer kept)", gap.resumes_at));
        }
    }

    pub(crate) fn picture(&mut self, service: &ServiceName, status: &Status) {
        if let Some(live) = &mut self.live {
            live.draw(&status::watched(status, service, self.paint));
        }
    }

    pub(crate) fn lost(&mut self, attempt: &api::Attempt) {
        if !self.json {
            self.line(&format!("(lost {}: {}; another agent is asked)", attempt.address, attempt.reason));
        }
    }

    pub(crate) fn ended(&mut self, ended: &Ended) {
        self.leave();
        if self.json {
            self.write(&json::ended(ended).to_string());
        } else {
            let text = text::ended(ended, self.paint);
            self.write(text.trim_end());
        }
    }

    /// Leaves the terminal as it was found, with the last picture on it.
    pub(crate) fn leave(&mut self) {
        if let Some(live) = &mut self.live {
            live.leave();
        }
        // A pipe whose reader has gone is the reader's own affair.
        let _ = std::io::stdout().flush();
    }
}
