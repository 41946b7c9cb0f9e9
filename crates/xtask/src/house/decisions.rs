//! The index of decisions lists them all, each has a number of its own from 1 on without a gap, and whoever refers to one by
//! its number means the one that the link leads to.

use std::{collections::BTreeMap, path::Path};

use super::{markdown, tree::Tree};
use crate::verify::Problem;

/// Where decisions are, and their index.
const FOLDER: &str = "docs/adr";

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = index(tree);
    problems.extend(tree.with_extension("md").flat_map(|(path, text)| misnamed(path, text)));
    problems
}

/// What is wrong with the decisions themselves, and with their index.
fn index(tree: &Tree) -> Vec<Problem> {
    let index = Path::new(FOLDER).join("README.md");
    let listed = markdown::links(tree.text(&index).unwrap_or_default());
    let mut problems = Vec::new();
    let mut names: BTreeMap<u32, &str> = BTreeMap::new();
    for (path, text) in tree.with_extension("md").filter(|(path, _)| path.starts_with(FOLDER)) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| *name != "README.md")
        else {
            continue;
        };
        let Some(number) = number(name) else {
            problems.push(Problem::of(path, "a decision is named by four digits, a hyphen and its title"));
            continue;
        };
        if let Some(other) = names.insert(number, name) {
            problems.push(Problem::of(
                path,
                format!("{other} has the number {number} already; take the next free one"),
            ));
        }
        if !text.starts_with(&format!("# {number}. ")) {
            problems.push(Problem::of(path, format!("the title does not start with `# {number}. `")));
        }
        if !listed.iter().any(|link| link.to == name) {
            problems.push(Problem::of(&index, format!("does not list {name}; add a row for it")));
        }
    }
    problems.extend(gaps(&names));
    problems
}

/// The decisions whose number is not the one after that of the decision before.
fn gaps(names: &BTreeMap<u32, &str>) -> Vec<Problem> {
    let before = std::iter::once(0).chain(names.keys().copied());
    let gaps = names.iter().zip(before).filter(|((number, _), before)| **number != before + 1);
    let says = |before| format!("there is no decision {}; numbers run on without a gap", before + 1);
    gaps.map(|((_, name), before)| Problem::of(Path::new(FOLDER).join(name), says(before))).collect()
}

/// The links of a page that call a decision by the number of another one.
fn misnamed(path: &Path, text: &str) -> Vec<Problem> {
    let wrong = markdown::links(text).into_iter().filter_map(|link| {
        let file = link.to.split('#').next().and_then(|to| to.rsplit('/').next())?;
        let (said, meant) = (called(link.label)?, number(file)?);
        let says = || format!("`{}` leads to decision {meant}", link.label);
        (said != meant).then(|| Problem::at(path, link.line, says()))
    });
    wrong.collect()
}

/// The number that a label calls a decision by: `7`, `0007`, `decision 7`.
fn called(label: &str) -> Option<u32> {
    label.to_ascii_lowercase().trim_start_matches("decision ").parse().ok()
}

/// The number that a decision's file name starts with.
fn number(name: &str) -> Option<u32> {
    let (number, title) = name.strip_suffix(".md")?.split_once('-')?;
    let is_number = number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit());
    number.parse().ok().filter(|_| is_number && !title.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(index: &str, names: &[&str]) -> Vec<String> {
        found_beside("# Not a decision\n", index, names)
    }

    /// What is found when `page` stands beside decisions of these names, each titled as it is numbered.
    fn found_beside(page: &str, index: &str, names: &[&str]) -> Vec<String> {
        let title = |name: &str| format!("# {}. A decision\n", number(name).unwrap_or_default());
        let decisions: Vec<_> = names.iter().map(|name| (format!("docs/adr/{name}"), title(name))).collect();
        let mut files: Vec<_> = decisions.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        files.extend([("docs/adr/README.md", index), ("docs/guide.md", page)]);
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
        let index = "[1](0001-a.md) [1](0001-b.md)";
        let expected = ["docs/adr/0001-b.md: 0001-a.md has the number 1 already; take the next free one"];
        assert_eq!(found(index, &["0001-a.md", "0001-b.md"]), expected);
        for name in ["1-a.md", "notes.md", "00001-a.md", "0001-.md"] {
            let expected =
                format!("docs/adr/{name}: a decision is named by four digits, a hyphen and its title");
            assert_eq!(found("", &[name]), [expected]);
        }
    }

    #[test]
    fn numbers_run_from_1_without_a_gap() {
        let index = "[2](0002-b.md) [3](0003-c.md) [6](0006-d.md)";
        let gap = |name, missing| {
            format!("docs/adr/{name}: there is no decision {missing}; numbers run on without a gap")
        };
        let expected = [gap("0002-b.md", 1), gap("0006-d.md", 4)];
        assert_eq!(found(index, &["0002-b.md", "0003-c.md", "0006-d.md"]), expected);
    }

    #[test]
    fn a_title_has_the_number_of_its_file() {
        let files = [("docs/adr/README.md", "[1](0001-a.md)"), ("docs/adr/0001-a.md", "# 2. A decision\n")];
        let found: Vec<_> = check(&Tree::of(&files)).iter().map(Problem::to_string).collect();
        assert_eq!(found, ["docs/adr/0001-a.md: the title does not start with `# 1. `"]);
    }

    #[test]
    fn a_link_calls_a_decision_by_its_own_number() {
        let found = |page: &str| found_beside(page, "[0001](0001-a.md)", &["0001-a.md"]);
        for page in ["[1](adr/0001-a.md)", "[Decision 1](adr/0001-a.md#x)", "[2 words](adr/0001-a.md)"] {
            assert_eq!(found(page), Vec::<String>::new(), "{page}");
        }
        for label in ["2", "decision 2", "Decision 12"] {
            let expected = format!("docs/guide.md:2: `{label}` leads to decision 1");
            assert_eq!(found(&format!("#\n[{label}](adr/0001-a.md)")), [expected]);
        }
    }
}
