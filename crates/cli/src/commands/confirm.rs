//! A word that replaces evidence is confirmed, or said with `--yes`.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use api::Exit;

use crate::{failure::Failure, render};

/// What somebody's word is about to replace.
pub(super) struct Override {
    /// What is asked for: "break the slot of h2 for web".
    pub(super) what: String,
    /// How it stands now, as far as that is known.
    pub(super) now: Vec<String>,
    /// The evidence that it replaces.
    pub(super) replaces: String,
    /// What follows when the word is wrong.
    pub(super) risk: String,
}

impl Override {
    /// Says what the word replaces, and asks for a confirmation unless there is one already.
    pub(super) fn confirm(&self, confirmed: bool) -> Result<(), Failure> {
        let Self { what, now, replaces, risk } = self;
        let asks = !confirmed && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if !confirmed && !asks {
            let text = format!("{what}: your word replaces {replaces}, and nobody is there to confirm it");
            let next = format!("add --yes, if you are sure; {risk}");
            return Err(Failure::new(Exit::Usage, text, Some(&next)));
        }
        let mut err = std::io::stderr().lock();
        // A terminal that is gone cannot be told; what was said is recorded all the same.
        let now = now.iter().map(|line| format!("  now: {line}"));
        let rest = [format!("  your word replaces {replaces}"), format!("  {risk}")];
        for line in [what.clone()].into_iter().chain(now).chain(rest) {
            let _ = writeln!(err, "{}", render::for_errors(&line));
        }
        if !asks {
            return Ok(());
        }
        let _ = write!(err, "type yes to go on: ");
        let _ = err.flush();
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        if read.is_ok() && answer.trim().eq_ignore_ascii_case("yes") {
            return Ok(());
        }
        Err(Failure::new(Exit::Rejected, format!("{what}: not confirmed, and nothing was changed"), None))
    }
}
