//! Which service of a host waits for which others: every name is one of the host's own services, and none waits for itself,
//! through others neither.

use std::collections::{BTreeMap, BTreeSet};

use model::ServiceName;

use crate::{
    fragment::service::ServiceFragment,
    problem::{Place, Sink},
};

type After<'a> = BTreeMap<&'a ServiceName, (&'a Vec<ServiceName>, &'a Place)>;

pub(super) fn check(fragments: &[(ServiceName, ServiceFragment)], sink: &Sink) {
    let known: BTreeSet<&ServiceName> = fragments.iter().map(|(name, _)| name).collect();
    let given = fragments.iter().filter_map(|(name, fragment)| Some((name, fragment.after.given()?)));
    let after: After<'_> = given.collect();
    for (name, (named, place)) in &after {
        for other in *named {
            if other == *name {
                sink.at(place, "names the service itself");
            } else if !known.contains(other) {
                let known: Vec<&str> =
                    known.iter().filter(|known| *known != name).map(|known| known.as_str()).collect();
                let others = match known.is_empty() {
                    true => "it is the only one".to_owned(),
                    false => format!("the others are: {}", known.join(", ")),
                };
                sink.at(place, format!("{other} is no service of this host; {others}"));
            }
        }
    }
    for name in after.keys() {
        if let Some(circle) = circle(name, &after) {
            let words: Vec<&str> = circle.iter().map(|name| name.as_str()).collect();
            sink.at(after[name].1, format!("goes in a circle: {}", words.join(" after ")));
        }
    }
}

/// The way from `first` back to itself, if it is the first by name of those on it: so each circle is told once.
fn circle<'a>(first: &'a ServiceName, after: &After<'a>) -> Option<Vec<&'a ServiceName>> {
    let mut tried = BTreeSet::new();
    let mut way = vec![first];
    // What is left to be tried at each step of the way.
    let mut left = vec![next(first, after)];
    while let Some(choices) = left.last_mut() {
        match choices.pop() {
            Some(name) if name == first && 1 < way.len() => {
                way.push(name);
                return Some(way);
            }
            Some(name) if first < name && tried.insert(name) => {
                way.push(name);
                left.push(next(name, after));
            }
            Some(_) => {}
            None => {
                left.pop();
                way.pop();
            }
        }
    }
    None
}

fn next<'a>(name: &ServiceName, after: &After<'a>) -> Vec<&'a ServiceName> {
    after.get(name).map(|(named, _)| named.iter().rev().collect()).unwrap_or_default()
}
