//! What is unfinished is not merged: no stubs, no tests that are skipped, no notes to oneself.

use super::tree::Tree;
use crate::verify::Problem;

/// A word that is not merged.
struct Word {
    /// In two halves, so that this file does not hold it.
    halves: (&'static str, &'static str),
    /// What to do instead.
    advice: &'static str,
    /// A line that says one of these is meant so.
    unless: &'static [&'static str],
}

const WORDS: [Word; 4] = [
    Word { halves: ("to", "do!"), advice: "write it, or leave the function out", unless: &[] },
    Word { halves: ("unimple", "mented!"), advice: "write it, or leave the function out", unless: &[] },
    Word {
        halves: ("#[ign", "ore"),
        advice: "mend the test or delete it; only a process that other tests start may be left out, and its reason \
                 says that it is a `child of` or `run by` them",
        unless: &["child of", "run by"],
    },
    Word { halves: ("FIX", "ME"), advice: "mend it, or write down why it is right as it is", unless: &[] },
];

impl Word {
    fn text(&self) -> String {
        [self.halves.0, self.halves.1].concat()
    }

    fn is_on(&self, line: &str) -> bool {
        line.contains(&self.text()) && !self.unless.iter().any(|meant| line.contains(meant))
    }
}

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    // Prose may talk about the words.
    let code = tree.texts().filter(|(path, _)| path.extension().is_none_or(|end| end != "md"));
    let lines =
        code.flat_map(|(path, text)| (1..).zip(text.lines()).map(move |(number, line)| (path, number, line)));
    let found = lines.flat_map(|(path, number, line)| {
        let words = WORDS.iter().filter(move |word| word.is_on(line));
        words.map(move |word| {
            Problem::at(path, number, format!("`{}` is not merged: {}", word.text(), word.advice))
        })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_found_on_its_line_in_code_and_not_in_prose() {
        for word in WORDS {
            let text = format!("fn f() {{}}\n  {}()\n", word.text());
            let tree = Tree::of(&[("a.rs", &text), ("nixos/b.nix", &text), ("c.md", &text)]);
            let found: Vec<_> = check(&tree).iter().map(Problem::to_string).collect();
            let line = |file| format!("{file}:2: `{}` is not merged: {}", word.text(), word.advice);
            assert_eq!(found, [line("a.rs"), line("nixos/b.nix")]);
        }
    }

    #[test]
    fn a_test_that_is_another_ones_child_may_be_left_out_and_no_other() {
        let found = |reason: &str| {
            check(&Tree::of(&[("a.rs", &format!("{} = \"{reason}\"]\n", WORDS[2].text()))])).len()
        };
        assert_eq!(found("the child of the test below"), 0);
        assert_eq!(found("is run by other tests, as their keeper"), 0);
        assert_eq!(found("flaky"), 1);
    }
}
