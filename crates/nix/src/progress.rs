//! How far Nix is, as it says with `--log-format internal-json`, one object a line.

use std::collections::BTreeMap;

use model::StageProgress;
use serde_json::Value;

/// Kinds of what Nix is about, by its own numbers.
const COPY_PATH: u64 = 100;
const COPY_PATHS: u64 = 103;
/// Kinds of news about it.
const PROGRESS: u64 = 105;
const EXPECTED: u64 = 106;

/// What a line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Something for people, as plain text.
    Text(String),
    /// It is further than before.
    Further(StageProgress),
    /// Neither.
    Nothing,
}

/// Puts together what Nix says of its parts.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    now: StageProgress,
    /// Bytes of each path that is or was copied.
    copied: BTreeMap<u64, u64>,
    /// What counts paths.
    counters: Vec<u64>,
}

impl Meter {
    /// Begins with what a plan says.
    pub(crate) fn new(paths: u64, bytes: u64) -> Self {
        Self { now: StageProgress { paths, bytes, ..StageProgress::default() }, ..Self::default() }
    }

    /// How far it is.
    pub(crate) fn now(&self) -> StageProgress {
        self.now
    }

    /// Takes a line.
    pub(crate) fn hear(&mut self, line: &str) -> Heard {
        let Some(json) = line.strip_prefix("@nix ") else { return Heard::Text(line.to_owned()) };
        let Ok(value) = serde_json::from_str::<Value>(json) else { return Heard::Text(line.to_owned()) };
        let number = |name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(u64::MAX);
        let fields = value.get("fields").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let before = self.now;
        match value.get("action").and_then(Value::as_str) {
            Some("msg") => return text(&value).map_or(Heard::Nothing, Heard::Text),
            Some("start") if number("type") == COPY_PATH => drop(self.copied.insert(number("id"), 0)),
            Some("start") if number("type") == COPY_PATHS => self.counters.push(number("id")),
            Some("result") => self.result(number("id"), number("type"), fields),
            _ => (),
        }
        if self.now == before { Heard::Nothing } else { Heard::Further(self.now) }
    }

    fn result(&mut self, id: u64, kind: u64, fields: &[Value]) {
        let field = |at: usize| fields.get(at).and_then(Value::as_u64).unwrap_or(0);
        if kind == EXPECTED && field(0) == COPY_PATH {
            // Nix learns of paths one after the other; the plan knew of all.
            self.now.bytes = self.now.bytes.max(field(1));
        } else if kind == PROGRESS && self.counters.contains(&id) {
            self.now.paths = self.now.paths.max(field(1));
            self.now.paths_done = field(0).min(self.now.paths);
        } else if kind == PROGRESS
            && let Some(copied) = self.copied.get_mut(&id)
        {
            *copied = field(0);
            self.now.bytes_done = self.copied.values().sum::<u64>().min(self.now.bytes);
        }
    }
}

/// A message without its colours, with its rank before it as Nix writes it elsewhere.
fn text(value: &Value) -> Option<String> {
    let plain = |name: &str| value.get(name).and_then(Value::as_str).map(without_colours);
    match (plain("raw_msg"), value.get("level").and_then(Value::as_u64)) {
        (Some(error), Some(0)) => Some(format!("error: {error}")),
        _ => plain("msg"),
    }
}

fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once(|letter: char| letter.is_ascii_alphabetic()).map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(paths_done: u64, paths: u64, bytes_done: u64, bytes: u64) -> Heard {
        Heard::Further(StageProgress { paths_done, paths, bytes_done, bytes })
    }

    #[test]
    fn paths_and_bytes_are_counted_from_what_nix_says() {
        let mut meter = Meter::new(2, 900);
        let mut hear = |line: &str| meter.hear(&format!("@nix {line}"));
        let copy = r#""text":"copying path","type":100}"#;
        assert_eq!(hear(r#"{"action":"start","id":7,"level":0,"text":"","type":103}"#), Heard::Nothing);
        assert_eq!(hear(r#"{"action":"result","fields":[0,1,0,0],"id":7,"type":105}"#), Heard::Nothing);
        assert_eq!(
            hear(r#"{"action":"result","fields":[100,1000],"id":6,"type":106}"#),
            progress(0, 2, 0, 1000)
        );
        assert_eq!(hear(r#"{"action":"result","fields":[101,4000],"id":6,"type":106}"#), Heard::Nothing);
        assert_eq!(
            hear(&format!(r#"{{"action":"start","fields":["/s/a","c"],"id":8,{copy}"#)),
            Heard::Nothing
        );
        assert_eq!(
            hear(r#"{"action":"result","fields":[300,600,0,0],"id":8,"type":105}"#),
            progress(0, 2, 300, 1000)
        );
        assert_eq!(
            hear(&format!(r#"{{"action":"start","fields":["/s/b","c"],"id":9,{copy}"#)),
            Heard::Nothing
        );
        assert_eq!(
            hear(r#"{"action":"result","fields":[400,400,0,0],"id":9,"type":105}"#),
            progress(0, 2, 700, 1000)
        );
        assert_eq!(hear(r#"{"action":"stop","id":9}"#), Heard::Nothing);
        assert_eq!(
            hear(r#"{"action":"result","fields":[1,2,1,0],"id":7,"type":105}"#),
            progress(1, 2, 700, 1000)
        );
        assert_eq!(
            hear(r#"{"action":"result","fields":[5,5,0,0],"id":5,"type":105}"#),
            Heard::Nothing,
            "of a build"
        );
    }

    #[test]
    fn what_is_for_people_is_kept_as_they_read_it_elsewhere() {
        let mut meter = Meter::default();
        let error = r#"@nix {"action":"msg","level":0,"msg":"\u001b[31;1merror:\u001b[0m it broke","raw_msg":"it \u001b[1mbroke\u001b[0m"}"#;
        assert_eq!(meter.hear(error), Heard::Text("error: it broke".into()));
        let warning = r#"@nix {"action":"msg","level":1,"msg":"\u001b[35;1mwarning:\u001b[0m not signed"}"#;
        assert_eq!(meter.hear(warning), Heard::Text("warning: not signed".into()));
        assert_eq!(meter.hear("plain"), Heard::Text("plain".into()));
        assert_eq!(meter.hear("@nix {cut"), Heard::Text("@nix {cut".into()));
        assert_eq!(meter.hear(r#"@nix {"action":"new thing","id":-3}"#), Heard::Nothing);
    }
}
