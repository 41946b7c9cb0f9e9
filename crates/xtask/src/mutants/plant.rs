//! Edits of source text that put a bug beside what is right, with a switch between them.

use std::ops::Range;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// One place that is changed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    /// Below the machines' folder.
    pub(super) file: String,
    /// What stands there.
    find: String,
    /// It is looked for behind the first of these.
    after: Option<String>,
    /// Which one it is, counted from 1.
    nth: Option<usize>,
    /// What stands there when the bug is on.
    plant: Option<String>,
    /// What stands there always: it has a switch of its own.
    text: Option<String>,
}

/// A bug's name, and one of its edits.
type Bug<'a> = (&'a str, &'a Edit);

/// Puts all these bugs, each with its name, into a file. Bugs at one and the same place exclude each other; places that overlap otherwise
/// are refused.
pub(super) fn plant(text: &str, edits: &[Bug<'_>]) -> Result<String> {
    let mut places: Vec<(Range<usize>, Vec<Bug<'_>>)> = Vec::new();
    for (name, edit) in edits {
        let place = place(text, edit).with_context(|| format!("find the place of {name}"))?;
        match places.iter_mut().find(|(other, _)| *other == place) {
            Some((_, there)) => there.push((name, edit)),
            None => places.push((place, vec![(name, edit)])),
        }
    }
    places.sort_by_key(|(place, _)| place.start);
    for pair in places.windows(2) {
        let (one, other) = (pair[0].1[0].0, pair[1].1[0].0);
        ensure!(pair[0].0.end <= pair[1].0.start, "{one} and {other} overlap, and are not at the same place");
    }
    let (mut planted, mut done) = (String::new(), 0);
    for (place, bugs) in places {
        planted.push_str(&text[done..place.start]);
        planted.push_str(&switched(&text[place.clone()], &bugs)?);
        done = place.end;
    }
    planted.push_str(&text[done..]);
    Ok(planted)
}

/// The module with the switch, which reads the name of the bug that is on from the environment.
pub(super) fn switch(variable: &str) -> String {
    format!(
        r#"//! Which planted bug is on.

use std::sync::LazyLock;

static ON: LazyLock<String> = LazyLock::new(|| std::env::var("{variable}").unwrap_or_default());

pub fn is(name: &str) -> bool {{
    *ON == name
}}

pub fn quarantine_forgotten_in_snapshot<T>(_: &T) -> bool {{
    is("quarantine-forgotten-in-snapshot")
}}
"#
    )
}

fn place(text: &str, edit: &Edit) -> Result<Range<usize>> {
    let from = match &edit.after {
        None => 0,
        Some(after) => text.find(after).with_context(|| format!("there is no `{after}`"))? + after.len(),
    };
    // No further than to the next function: what stands there has another sense.
    let until =
        edit.after.as_ref().and_then(|_| next_function(&text[from..])).map_or(text.len(), |end| from + end);
    let mut found = text[from..until].match_indices(&edit.find);
    let nth = edit.nth.unwrap_or(1);
    let (at, it) = found
        .nth(nth.checked_sub(1).context("nth counts from 1")?)
        .with_context(|| format!("there is no `{}`", edit.find))?;
    let alone = edit.nth.is_some() || found.next().is_none();
    ensure!(alone, "there is more than one `{}`: say after what, or which one", edit.find);
    Ok(from + at..from + at + it.len())
}

/// Where the next function begins.
fn next_function(text: &str) -> Option<usize> {
    let is_one = |line: &str| {
        let line = line.trim_start();
        line.starts_with("fn ") || line.starts_with("pub") && line.contains(" fn ")
    };
    let lines = text.split_inclusive('\n').scan(0, |at, line| {
        let begin = *at;
        *at += line.len();
        Some((begin, line))
    });
    lines.skip(1).find(|(_, line)| is_one(line)).map(|(begin, _)| begin)
}

fn switched(right: &str, bugs: &[Bug<'_>]) -> Result<String> {
    if let [(_, Edit { text: Some(text), plant: None, .. })] = bugs {
        return Ok(text.clone());
    }
    let mut code = String::new();
    for (name, edit) in bugs {
        let wrong = edit.plant.as_ref().filter(|_| edit.text.is_none());
        let wrong =
            wrong.with_context(|| format!("{name} has to say `plant`, or be alone and say `text`"))?;
        code += &format!("if crate::planted::is({name:?}) {{ {wrong} }} else ");
    }
    code += &format!("{{ {right} }}");
    Ok(if right.ends_with(';') { code } else { format!("({code})") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(find: &str, plant: &str) -> Edit {
        let (find, plant) = (find.to_owned(), Some(plant.to_owned()));
        Edit { file: "a.rs".to_owned(), find, after: None, nth: None, plant, text: None }
    }

    #[test]
    fn an_expression_and_a_statement_get_a_switch() {
        let text = "fn a() { b(1 < 2); c(); }";
        let (one, other) = (edit("1 < 2", "true"), edit("c();", "d();"));
        let planted = plant(text, &[("x", &one), ("y", &other)]).unwrap();
        assert_eq!(
            planted,
            "fn a() { b((if crate::planted::is(\"x\") { true } else { 1 < 2 })); \
             if crate::planted::is(\"y\") { d(); } else { c(); } }"
        );
    }

    #[test]
    fn bugs_at_one_place_exclude_each_other() {
        let (one, other) = (edit("1 < 2", "true"), edit("1 < 2", "false"));
        let planted = plant("a(1 < 2)", &[("x", &one), ("y", &other)]).unwrap();
        assert_eq!(
            planted,
            "a((if crate::planted::is(\"x\") { true } else if crate::planted::is(\"y\") { false } else { 1 < 2 }))"
        );
    }

    #[test]
    fn a_place_that_is_not_there_or_not_the_only_one_is_refused() {
        let refused = |text: &str, edit: &Edit| format!("{:#}", plant(text, &[("x", edit)]).unwrap_err());
        assert!(refused("a", &edit("b", "c")).contains("there is no `b`"));
        assert!(refused("b b", &edit("b", "c")).contains("more than one `b`"));
        let after = Edit { after: Some("2".to_owned()), ..edit("b", "c") };
        assert!(refused("2\nfn other() { b }", &after).contains("there is no `b`"));
        assert!(plant("b 2 b", &[("x", &after)]).unwrap().starts_with("b 2 (if"));
        let second = Edit { nth: Some(2), ..edit("b", "c") };
        assert!(plant("b 2 b", &[("x", &second)]).unwrap().starts_with("b 2 (if"));
    }

    #[test]
    fn places_that_overlap_are_refused() {
        let (one, other) = (edit("1 < 2", "true"), edit("2 < 3", "true"));
        let error = plant("1 < 2 < 3", &[("x", &one), ("y", &other)]).unwrap_err();
        assert!(format!("{error:#}").contains("x and y overlap"), "{error:#}");
    }
}
