//! What an answer says, and how two of them differ.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Names, steps::Call};

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Raw {
    /// The texts of all elements with this name, without those that hold others.
    pub(crate) fn texts(&self, element: &str) -> Vec<&str> {
        let (open, close) = (format!("<{element}>"), format!("</{element}>"));
        let parts =
            self.body.split(open.as_str()).skip(1).filter_map(|part| part.split(close.as_str()).next());
        parts.map(str::trim).filter(|text| !text.contains('<')).collect()
    }

    /// The names of all elements.
    fn elements(&self) -> BTreeSet<String> {
        let starts = self.body.split('<').skip(1).filter(|tag| tag.starts_with(char::is_alphabetic));
        let names = starts.filter_map(|tag| tag.split(['>', ' ', '/']).next());
        names.map(str::to_owned).collect()
    }
}

/// What of an answer is compared.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    told: BTreeMap<String, String>,
    elements: BTreeSet<String>,
}

/// A difference that was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) call: String,
    pub(crate) fact: String,
    pub(crate) fakeaws: String,
    pub(crate) moto: String,
}

impl Facts {
    pub(crate) fn of(raw: &Raw, call: &Call, names: &Names) -> Self {
        let mut told = BTreeMap::from([("status".to_owned(), raw.status.to_string())]);
        let mut tell = |fact: &str, text: String| told.insert(fact.to_owned(), text);
        let named = |text: &str| named(text.to_owned(), names);
        if raw.status >= 400 {
            tell("error", raw.texts("Code").join(", "));
        } else {
            for element in &call.tell {
                tell(element, in_any_order(&raw.texts(element), names));
            }
            for element in &call.count {
                tell(&format!("number of {element}"), raw.texts(element).len().to_string());
            }
            if let Some(key) = &call.pair {
                let values = raw.texts("Key").into_iter().zip(raw.texts("Value"));
                let value = values.filter(|(known, _)| known == key).map(|(_, value)| value).next();
                tell(key, named(value.unwrap_or_default()));
            }
            if call.whole {
                tell("body", named(&raw.body));
            }
        }
        let elements = if raw.body.trim_start().starts_with('<') { raw.elements() } else { BTreeSet::new() };
        Self { told, elements }
    }
}

/// The texts by their names, sorted: nobody promises an order, and ids are made at random, so that only their names sort alike in both.
fn in_any_order(texts: &[&str], names: &Names) -> String {
    let mut texts: Vec<String> = texts.iter().map(|&text| named(text.to_owned(), names)).collect();
    texts.sort_unstable();
    texts.join(", ")
}

/// The text with names in place of what they stand for.
fn named(text: String, names: &Names) -> String {
    names.iter().filter(|(name, _)| *name != "kept").fold(text, |text, (name, value)| {
        if value.len() < 3 { text } else { text.replace(value.as_str(), &format!("${name}")) }
    })
}

/// How two answers to a call differ.
pub(crate) fn compare(call: &str, ours: &Facts, theirs: &Facts) -> Vec<Found> {
    let found = |fact: &str, fakeaws: &str, moto: &str| Found {
        call: call.to_owned(),
        fact: fact.to_owned(),
        fakeaws: fakeaws.to_owned(),
        moto: moto.to_owned(),
    };
    let nothing = String::new();
    let facts: BTreeSet<&String> = ours.told.keys().chain(theirs.told.keys()).collect();
    let told = facts.into_iter().filter_map(|fact| {
        let our = ours.told.get(fact).unwrap_or(&nothing);
        let their = theirs.told.get(fact).unwrap_or(&nothing);
        (our != their).then(|| found(fact, our, their))
    });
    let mut all: Vec<Found> = told.collect();
    // Where one refuses and the other does not, the documents cannot be alike.
    let comparable = !theirs.elements.is_empty() && ours.told.get("status") == theirs.told.get("status");
    let only_ours: Vec<&str> = ours.elements.difference(&theirs.elements).map(String::as_str).collect();
    if comparable && !only_ours.is_empty() {
        all.push(found("elements", &only_ours.join(", "), ""));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_sort_the_other_way_round_are_no_difference() {
        let told = |one: &str, two: &str| {
            let names = Names::from([("one".to_owned(), one.to_owned()), ("two".to_owned(), two.to_owned())]);
            in_any_order(&[one, two], &names)
        };
        assert_eq!(told("i-aaa", "i-bbb"), "$one, $two");
        assert_eq!(told("i-bbb", "i-aaa"), "$one, $two");
    }
}
