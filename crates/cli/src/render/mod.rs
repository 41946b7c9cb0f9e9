//! What people and programs see.

mod done;
mod health;
mod holds;
mod hosts;
mod json;
mod json_lists;
mod lists;
mod live;
mod locks;
mod logs;
mod paint;
mod policies;
mod preview;
mod recovery;
mod status;
mod table;
mod text;

use std::io::{IsTerminal as _, Write as _};

use api::view::{ClusterView, Ended, Gap, History, PushPreview, Pushed, SeenEvent, Status};
use model::{HostId, RolloutId, ServiceName};
use serde_json::{Value, json};

pub(crate) use self::{
    done::Done,
    lists::{host_sentence, migration_line},
    locks::{Lock, locks_of},
    recovery::{Rebuilt, Saved, saved, what_is_lost},
    text::short,
};
use self::{live::Live, paint::Paint};
use crate::args::{Color, Output};

/// A line for people who see errors, broken where their terminal ends.
pub(crate) fn for_errors(line: &str) -> String {
    paint::wrap(line, live::columns_of(std::io::stderr()), 4)
}

/// Prints what a command has to say: text in colour on a terminal with a picture that is redrawn in place, plain lines in a pipe, or
/// JSON, one object a line.
pub(crate) struct Printer {
    json: bool,
    paint: Paint,
    live: Option<Live>,
    columns: logs::Columns,
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
        let live = (terminal && !json).then(Live::default);
        Self { json, paint: Paint { colored }, live, columns: logs::Columns::default(), unread: false }
    }

    /// A line of what goes on; on a terminal what is too long goes on `indent` columns further in.
    fn line_in(&mut self, text: &str, indent: usize) {
        let text = paint::wrap(text, live::width().filter(|_| !self.json), indent);
        self.line(&text);
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

    /// Prints one answer: as one object, or as text.
    fn answer(&mut self, json: impl FnOnce() -> Value, text: impl FnOnce(Paint) -> String) {
        let text =
            if self.json { json().to_string() } else { paint::wrap(&text(self.paint), live::width(), 4) };
        self.write(text.trim_end());
    }

    pub(crate) fn status(&mut self, status: &Status, all: bool) {
        let how = |paint| status::How { paint, width: live::width(), all, whole: true };
        self.answer(|| json::status(status), |paint| status::status(status, how(paint)));
    }

    pub(crate) fn history(&mut self, history: &History) {
        self.answer(|| json::history(history), |paint| text::history(history, paint));
    }

    pub(crate) fn hosts(&mut self, cluster: &ClusterView, status: &Status) {
        self.answer(|| json_lists::hosts(cluster, status), |paint| lists::hosts(cluster, status, paint));
    }

    pub(crate) fn locks(&mut self, status: &Status) {
        self.answer(|| locks::json(status), |paint| locks::text(status, paint));
    }

    pub(crate) fn migrations(&mut self, status: &Status) {
        self.answer(|| json_lists::migrations(status), |paint| lists::migrations(status, paint));
    }

    pub(crate) fn quarantine(&mut self, status: &Status) {
        self.answer(|| json_lists::quarantine(status), |paint| lists::quarantine(status, paint));
    }

    pub(crate) fn policies(&mut self, status: &Status) {
        self.answer(|| json_lists::policies(status), |_| policies::files(status));
    }

    pub(crate) fn cluster(&mut self, cluster: &ClusterView) {
        self.answer(|| json_lists::cluster(cluster), |paint| lists::cluster(cluster, paint));
    }

    pub(crate) fn saved(&mut self, saved: &Saved) {
        self.answer(|| recovery::saved_json(saved), |paint| recovery::saved_text(saved, paint));
    }

    pub(crate) fn rebuilt(&mut self, rebuilt: &Rebuilt) {
        self.answer(|| recovery::rebuilt_json(rebuilt), |paint| recovery::rebuilt_text(rebuilt, paint));
    }

    pub(crate) fn done(&mut self, done: &Done) {
        self.answer(|| done.json(), |paint| done.text(paint));
    }

    /// What a host that is waited for waits for itself.
    pub(crate) fn waits(&mut self, host: &HostId, service: &ServiceName, why: &str) {
        let json = || json!({ "item": "waits", "host": host, "service": service, "text": why });
        self.answer(json, |paint| format!("{host} {service}: {}", paint.busy(why)));
    }

    /// A host that was waited for is there.
    pub(crate) fn reached(&mut self, host: &HostId, services: &[ServiceName], state: &str) {
        let json = || json!({ "item": "reached", "host": host, "services": services, "state": state });
        self.answer(json, |paint| format!("{host} is {}", paint.good(state)));
    }

    /// The first wave has soaked, and nobody waits for the rest.
    pub(crate) fn canary(&mut self, service: &ServiceName, rollout: Option<RolloutId>, again: &str) {
        self.leave();
        let json = || {
            let rollout = rollout.map(|rollout| rollout.to_string());
            json!({ "item": "canary_soaked", "service": service, "rollout": rollout, "exit_code": 0 })
        };
        self.answer(json, |paint| {
            let named = rollout.map_or_else(|| "the rollout".to_owned(), |rollout| rollout.to_string());
            format!("\n{}; {named} goes on: `{again}` follows it", paint.good("the canary wave has soaked"))
        });
    }

    pub(crate) fn preview(&mut self, shown: &PushPreview) {
        self.answer(|| preview::json(shown), |paint| preview::text(shown, paint));
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
            self.line_in(&text, text::EVENT_INDENT);
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
        if self.json {
            let agent = attempt.address.to_string();
            return self
                .write(&json!({ "item": "lost", "agent": agent, "reason": attempt.reason }).to_string());
        }
        self.line(&format!("(lost {}: {}; another agent is asked)", attempt.address, attempt.reason));
    }

    /// Nobody can say how it goes at present.
    pub(crate) fn nobody_says(&mut self, waits: &api::Waits) {
        let api::Waits { reason, lasted, left } = waits;
        if self.json {
            let left = left.map(|left| left.as_millis());
            let line =
                json!({ "item": "waits", "text": reason, "lasted_ms": lasted.as_millis(), "left_ms": left });
            self.write(&line.to_string());
            return;
        }
        let trying = match left {
            Some(left) => format!("trying for {} more", text::seconds(*left)),
            None => "trying until the time-out".to_owned(),
        };
        let line = self.paint.bad(&format!("({reason}; {trying})"));
        self.line_in(&line, 4);
    }

    pub(crate) fn ended(&mut self, ended: &Ended) {
        self.leave();
        if self.json {
            self.write(&json::ended(ended).to_string());
        } else {
            let text = paint::wrap(&text::ended(ended, self.paint), live::width(), 6);
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
