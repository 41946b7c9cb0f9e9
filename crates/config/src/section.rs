//! One table of the tree, read key by key, so that what was not asked for is known at the end.

use std::{collections::BTreeMap, rc::Rc};

use toml::Value;

use crate::{
    problem::{Place, Sink},
    tree::{Content, Node},
    values,
};

/// What was found at a key. What is wrong with a bad one has been recorded.
#[derive(Debug)]
pub(crate) enum Field<T> {
    Absent(Place),
    Bad,
    Given(T, Place),
}

impl<T> Field<T> {
    /// The value, or `default` where there is none. A bad one is `None`.
    pub(crate) fn or(self, default: T) -> Option<T> {
        match self {
            Self::Absent(_) => Some(default),
            Self::Bad => None,
            Self::Given(value, _) => Some(value),
        }
    }

    /// The value, if there may be none. A bad one is `None` on the outside.
    pub(crate) fn optional(self) -> Option<Option<T>> {
        match self {
            Self::Absent(_) => Some(None),
            Self::Bad => None,
            Self::Given(value, _) => Some(Some(value)),
        }
    }

    /// The value; its absence is recorded as a problem.
    pub(crate) fn required(self, sink: &Sink) -> Option<T> {
        match self {
            Self::Absent(place) => {
                sink.at(&place, "is required");
                None
            }
            Self::Bad => None,
            Self::Given(value, _) => Some(value),
        }
    }

    /// The same field of something else.
    pub(crate) fn map<U>(self, with: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Self::Absent(place) => Field::Absent(place),
            Self::Bad => Field::Bad,
            Self::Given(value, place) => Field::Given(with(value), place),
        }
    }

    /// The value and its place, if it was given and good.
    pub(crate) fn given(&self) -> Option<(&T, &Place)> {
        match self {
            Self::Given(value, place) => Some((value, place)),
            Self::Absent(_) | Self::Bad => None,
        }
    }
}

/// One table that is being read.
pub(crate) struct Section<'a> {
    sink: &'a Sink,
    place: Place,
    entries: BTreeMap<String, Node>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The table at the top.
    pub(crate) fn root(node: Node, sink: &'a Sink) -> Self {
        let place = Place { file: Rc::clone(&node.file), key: String::new() };
        Self::of(node, place, sink).unwrap_or_else(|place| Self::empty(place, sink))
    }

    fn of(node: Node, place: Place, sink: &'a Sink) -> Result<Self, Place> {
        match node.content {
            Content::Table(entries) => Ok(Self { sink, place, entries, asked: Vec::new() }),
            Content::Value(value) => {
                sink.at(&place, format!("must be a table, not {}", values::kind(&value)));
                Err(place)
            }
        }
    }

    fn empty(place: Place, sink: &'a Sink) -> Self {
        Self { sink, place, entries: BTreeMap::new(), asked: Vec::new() }
    }

    /// Where this table stands.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Where problems of this table go.
    pub(crate) fn sink(&self) -> &'a Sink {
        self.sink
    }

    fn place_of(&self, key: &str, node: Option<&Node>) -> Place {
        let bare = !key.is_empty()
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        let key = if bare { key.to_owned() } else { format!("{key:?}") };
        let key = if self.place.key.is_empty() { key } else { format!("{}.{key}", self.place.key) };
        Place { file: Rc::clone(node.map_or(&self.place.file, |node| &node.file)), key }
    }

    fn take(&mut self, key: &'static str) -> (Place, Option<Node>) {
        self.asked.push(key);
        let node = self.entries.remove(key);
        (self.place_of(key, node.as_ref()), node)
    }

    /// Reads a value that is no table.
    pub(crate) fn read<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Field<T> {
        let (place, node) = self.take(key);
        let Some(node) = node else { return Field::Absent(place) };
        let parsed = match &node.content {
            Content::Value(value) => parse(value),
            Content::Table(_) => parse(&Value::Table(toml::Table::new())),
        };
        match parsed {
            Ok(value) => Field::Given(value, place),
            Err(text) => {
                self.sink.at(&place, text);
                Field::Bad
            }
        }
    }

    /// A table below this one; an empty one where there is none.
    pub(crate) fn section(&mut self, key: &'static str) -> Self {
        let (place, node) = self.take(key);
        match node.map(|node| Self::of(node, place.clone(), self.sink)) {
            Some(Ok(section)) => section,
            Some(Err(_)) | None => Self::empty(place, self.sink),
        }
    }

    /// A table below this one whose absence means something.
    pub(crate) fn optional_section(&mut self, key: &'static str) -> Field<Self> {
        let (place, node) = self.take(key);
        let Some(node) = node else { return Field::Absent(place) };
        match Self::of(node, place.clone(), self.sink) {
            Ok(section) => Field::Given(section, place),
            Err(_) => Field::Bad,
        }
    }

    /// The tables below `key`, whose names are the reader's own.
    pub(crate) fn named_sections(&mut self, key: &'static str) -> Vec<(String, Self)> {
        let mut parent = self.section(key);
        let entries = std::mem::take(&mut parent.entries);
        entries
            .into_iter()
            .filter_map(|(name, node)| {
                let place = parent.place_of(&name, Some(&node));
                Some((name, Self::of(node, place, self.sink).ok()?))
            })
            .collect()
    }

    /// The texts below `key`, whose names are the reader's own.
    pub(crate) fn texts(&mut self, key: &'static str) -> Vec<(String, String, Place)> {
        let mut parent = self.section(key);
        let entries = std::mem::take(&mut parent.entries);
        let mut texts = Vec::new();
        for (name, node) in entries {
            let place = parent.place_of(&name, Some(&node));
            match node.content {
                Content::Value(Value::String(text)) => texts.push((name, text, place)),
                Content::Value(other) => {
                    self.sink.at(&place, format!("must be text in quotes, not {}", values::kind(&other)));
                }
                Content::Table(_) => self.sink.at(&place, "must be text in quotes, not a table"),
            }
        }
        texts
    }

    /// The values below `key`, whose names are the reader's own.
    pub(crate) fn values(&mut self, key: &'static str) -> Field<Vec<(String, Value, Place)>> {
        let sink = self.sink;
        self.optional_section(key).map(|mut parent| {
            let entries = std::mem::take(&mut parent.entries);
            let placed = |(name, node): (String, Node)| {
                let place = parent.place_of(&name, Some(&node));
                match node.content {
                    Content::Value(value) => Some((name, value, place)),
                    Content::Table(_) => {
                        sink.at(&place, "must not be a table");
                        None
                    }
                }
            };
            entries.into_iter().filter_map(placed).collect()
        })
    }

    /// A list of tables.
    pub(crate) fn list(&mut self, key: &'static str) -> Field<Vec<Self>> {
        let (place, node) = self.take(key);
        let Some(node) = node else { return Field::Absent(place) };
        let Content::Value(Value::Array(items)) = node.content else {
            self.sink.at(&place, "must be a list of tables, such as [{ host = \"h1\", … }]");
            return Field::Bad;
        };
        let sections = items
            .into_iter()
            .enumerate()
            .filter_map(|(index, value)| {
                let place = Place { file: Rc::clone(&node.file), key: format!("{}[{index}]", place.key) };
                Self::of(Node::new(&node.file, value), place, self.sink).ok()
            })
            .collect();
        Field::Given(sections, place)
    }

    /// Records every key that nobody asked for. `hint` may know better words for one.
    pub(crate) fn finish(self, hint: impl Fn(&str) -> Option<String>) {
        for (key, node) in &self.entries {
            let place = self.place_of(key, Some(node));
            let text = hint(key).unwrap_or_else(|| match nearest(key, &self.asked) {
                Some(near) => format!("unknown key; did you mean {near:?}?"),
                None => format!("unknown key; known here: {}", self.asked.join(", ")),
            });
            self.sink.at(&place, text);
        }
    }
}

/// The known key that differs from `key` in one letter, or in two (swapped ones, say) after the same first one.
fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|candidate| (distance(key, candidate), *candidate))
        .filter(|(distance, candidate)| {
            *distance <= 1 || (*distance == 2 && key.chars().next() == candidate.chars().next())
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters have to be added, left out or replaced to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_told_from_another_word() {
        let known = ["listen", "log", "log_format"];
        assert_eq!(nearest("lisen", &known), Some("listen"));
        assert_eq!(nearest("log-format", &known), Some("log_format"));
        assert_eq!(nearest("lgo", &known), Some("log"));
        assert_eq!(nearest("port", &known), None);
        assert_eq!(nearest("", &known), None);
    }
}
