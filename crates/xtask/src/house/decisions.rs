//! The index of decisions lists them all, and each has a number of its own.

use std::{collections::BTreeMap, path::Path};

use super::{markdown, tree::Tree};
use crate::verify::Problem;

/// Where decisions are, and their index.
const FOLDER: &str = "docs/adr";

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let index = Path::new(FOLDER).join("README.md");
    let listed = markdown::links(tree.text(&index).unwrap_or_default());
    let mut problems = Vec::new();
    let mut numbers: BTreeMap<&str, &str> = BTreeMap::new();
    for path in tree.with_extension("md").map(|(path, _)| path).filter(|path| path.starts_with(FOLDER)) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| *name != "README.md")
        else {
            continue;
        };
        let Some(number) = number(name) else {
            problems.push(Problem::of(path, "a decision is named by four digits, a hyphen and its title"));
            continue;
        };
        if let Some(other) = numbers.insert(number, name) {
            problems.push(Problem::of(
                path,
                format!("{other} has the number {number} already; take the next free one"),
            ));
        }
        if !listed.iter().any(|link| link.to == name) {
            problems.push(Problem::of(&index, format!("does not list {name}; add a row for it")));
        }
    }
    problems
}

/// The number that a decision's file name starts with.
fn number(name: &str) -> Option<&str> {
    let (number, title) = name.strip_suffix(".md")?.split_once('-')?;
    let is_number = number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit());
    (is_number && !title.is_empty()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(index: &str, names: &[&str]) -> Vec<String> {
        let paths: Vec<_> = names.iter().map(|name| format!("docs/adr/{name}")).collect();
        let mut files: Vec<_> = paths.iter().map(|path| (path.as_str(), "# A decision\n")).collect();
        files.push(("docs/adr/README.md", index));
        files.push(("docs/guide.md", "# Not a decision\n"));
        check(&Tree::of(&files)).iter().map(Problem::to_string).collect()
    }

    #[test]
    fn an_index_of_them_all_passes() {
        let index = "| [0001](0001-a.md) | a |\n| [0002](0002-b.md) | b |\n";
        assert_eq!(found(index, &["0001-a.md", "0002-b.md"]), Vec::<String>::new());
    }

    #[test]
    fn a_decision_that_is_not_listed_fails() {
        let expected = ["docs/adr/README.md: does not list 0002-b.md; add a row for it"];
        assert_eq!(found("[0001](0001-a.md), and 0002-b.md", &["0001-a.md", "0002-b.md"]), expected);
    }

    #[test]
    fn a_number_is_used_once_and_has_four_digits() {
        let index = "[1](0001-a.md) [2](0001-b.md)";
        let expected = ["docs/adr/0001-b.md: 0001-a.md has the number 0001 already; take the next free one"];
        assert_eq!(found(index, &["0001-a.md", "0001-b.md"]), expected);
        for name in ["1-a.md", "notes.md", "00001-a.md", "0001-.md"] {
            let expected =
                format!("docs/adr/{name}: a decision is named by four digits, a hyphen and its title");
            assert_eq!(found("", &[name]), [expected]);
        }
    }
}
