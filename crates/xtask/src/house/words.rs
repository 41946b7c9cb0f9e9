//! What is unfinished is not merged: no stubs, no tests that are skipped, no notes to oneself.

use super::tree::Tree;
use crate::verify::Problem;

/// Each word in two halves, so that this file does not hold it, and what to do instead.
const WORDS: [(&str, &str, &str); 4] = [
    ("to", "do!", "write it, or leave the function out"),
    ("unimple", "mented!", "write it, or leave the function out"),
    ("#[ign", "ore", "mend the test or delete it; one that is not run proves nothing"),
    ("FIX", "ME", "mend it, or write down why it is right as it is"),
];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    // Prose may talk about the words.
    let code = tree.texts().filter(|(path, _)| path.extension().is_none_or(|end| end != "md"));
    let lines =
        code.flat_map(|(path, text)| (1..).zip(text.lines()).map(move |(number, line)| (path, number, line)));
    let found = lines.flat_map(|(path, number, line)| {
        let words = WORDS.iter().map(|(start, end, advice)| (format!("{start}{end}"), advice));
        words
            .filter(|(word, _)| line.contains(word.as_str()))
            .map(move |(word, advice)| Problem::at(path, number, format!("`{word}` is not merged; {advice}")))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_found_on_its_line_in_code_and_not_in_prose() {
        for (start, end, advice) in WORDS {
            let text = format!("fn f() {{}}\n  {start}{end}()\n");
            let tree = Tree::of(&[("a.rs", &text), ("nixos/b.nix", &text), ("c.md", &text)]);
            let found: Vec<_> = check(&tree).iter().map(Problem::to_string).collect();
            let line = |file| format!("{file}:2: `{start}{end}` is not merged; {advice}");
            assert_eq!(found, [line("a.rs"), line("nixos/b.nix")]);
        }
    }
}
