//! What was done, on the word of an operator.

use model::{HostId, ReleaseId, Revision, RolloutId, ServiceName};
use serde_json::{Value, json};

use super::paint::Paint;

/// What was done, what stays as it is, and how to go on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Done {
    /// As it is called on the command line: "hosts drain".
    pub(crate) verb: &'static str,
    pub(crate) services: Vec<ServiceName>,
    pub(crate) revision: Option<Revision>,
    pub(crate) rollout: Option<RolloutId>,
    /// The roll back that it caused.
    pub(crate) rollback: Option<RolloutId>,
    pub(crate) host: Option<HostId>,
    pub(crate) release: Option<ReleaseId>,
    pub(crate) says: Vec<String>,
    pub(crate) next: String,
}

impl Done {
    pub(crate) fn plain(verb: &'static str) -> Self {
        Self { verb, ..Self::default() }
    }

    pub(crate) fn of(verb: &'static str, service: ServiceName, revision: Revision) -> Self {
        Self::of_all(verb, vec![service], revision)
    }

    pub(crate) fn of_all(verb: &'static str, services: Vec<ServiceName>, revision: Revision) -> Self {
        Self { verb, services, revision: Some(revision), ..Self::default() }
    }

    /// Adds a line; the first one says what was done.
    #[must_use]
    pub(crate) fn says(mut self, line: impl Into<String>) -> Self {
        self.says.push(line.into());
        self
    }

    /// How to go on.
    #[must_use]
    pub(crate) fn next(self, next: impl Into<String>) -> Self {
        Self { next: next.into(), ..self }
    }

    pub(super) fn text(&self, paint: Paint) -> String {
        let mut lines = self.says.iter();
        let mut text = lines.next().cloned().unwrap_or_else(|| self.verb.to_owned());
        for line in lines {
            text.push_str("\n  ");
            text.push_str(line);
        }
        if !self.next.is_empty() {
            text.push_str(&format!("\n  {} {}", paint.faint("next:"), self.next));
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "item": "done",
            "verb": self.verb,
            "services": self.services,
            "host": self.host,
            "release": self.release,
            "rollout": self.rollout.map(|rollout| rollout.to_string()),
            "rollback": self.rollback.map(|rollback| rollback.to_string()),
            "revision": self.revision,
            "text": self.says,
            "next": self.next,
        })
    }
}
