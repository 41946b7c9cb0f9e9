//! Several TOML texts as one tree that knows which file said what.

use std::{collections::BTreeMap, rc::Rc};

use toml::{Table, Value, de::DeTable};

use crate::problem::{Problem, Sink};

/// A key's value, with the file it came from.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) file: Rc<str>,
    pub(crate) content: Content,
}

/// Tables are merged; everything else, lists among it, is replaced as a whole.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Table(BTreeMap<String, Node>),
    Value(Value),
}

impl Node {
    pub(crate) fn new(file: &Rc<str>, value: Value) -> Self {
        let content = match value {
            Value::Table(table) => {
                Content::Table(table.into_iter().map(|(key, value)| (key, Self::new(file, value))).collect())
            }
            value => Content::Value(value),
        };
        Self { file: Rc::clone(file), content }
    }

    fn merge(&mut self, later: Self) {
        match (&mut self.content, later.content) {
            (Content::Table(mine), Content::Table(theirs)) => {
                for (key, node) in theirs {
                    match mine.get_mut(&key) {
                        Some(known) => known.merge(node),
                        None => {
                            mine.insert(key, node);
                        }
                    }
                }
            }
            (_, content) => *self = Self { file: later.file, content },
        }
    }
}

/// Merges the texts in their order. The root's file is `origin`: what is in none of them is missing there.
pub(crate) fn merge(origin: &str, sources: &[(String, String)], sink: &Sink) -> Node {
    let mut root = Node { file: origin.into(), content: Content::Table(BTreeMap::new()) };
    for (file, text) in sources {
        if let Some(table) = read(file, text, sink) {
            root.merge(Node::new(&file.as_str().into(), Value::Table(table)));
        }
    }
    root
}

fn read(file: &str, text: &str, sink: &Sink) -> Option<Table> {
    // The recovering parser goes on after an error, but what it makes of the rest is a guess: it is asked for
    // the errors only. Damage in one place makes it stumble more than once, so one error a line is enough.
    let (_, mut errors) = DeTable::parse_recoverable(text);
    let table = match (errors.is_empty(), toml::from_str(text)) {
        (true, Ok(table)) => return Some(table),
        (true, Err(error)) => {
            errors.push(error);
            None
        }
        (false, _) => None,
    };
    let mut last = None;
    for error in errors {
        let line = error.span().map(|span| line_of(text, span.start));
        if line.is_none() || line != last {
            let text = error.message().replace('\n', ", ");
            sink.add(Problem { file: file.to_owned(), line, key: String::new(), text });
        }
        last = line;
    }
    table
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
