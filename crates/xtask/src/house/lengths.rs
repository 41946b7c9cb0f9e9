//! No source file is too long to be read at a sitting.

use super::tree::Tree;
use crate::verify::Problem;

/// A file with more lines should be split.
const WARN_ABOVE: usize = 400;
/// One with more than this must be.
const FAIL_ABOVE: usize = 600;

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let long = tree.with_extension("rs").filter_map(|(path, text)| {
        let lines = text.lines().count();
        let problem = |limit| Problem::of(path, format!("{lines} lines, over {limit}; split it by noun"));
        if lines > FAIL_ABOVE {
            Some(problem(FAIL_ABOVE))
        } else if lines > WARN_ABOVE {
            Some(problem(WARN_ABOVE).warn())
        } else {
            None
        }
    });
    long.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: usize) -> Option<bool> {
        let tree = Tree::of(&[("a.rs", &"x\n".repeat(lines)), ("long.md", &"x\n".repeat(900))]);
        let problems = check(&tree);
        assert!(problems.len() <= 1, "{problems:?}");
        problems.first().map(|problem| problem.warning)
    }

    #[test]
    fn both_limits_are_the_last_length_allowed() {
        assert_eq!(found(400), None);
        assert_eq!(found(401), Some(true));
        assert_eq!(found(600), Some(true));
        assert_eq!(found(601), Some(false));
    }
}
