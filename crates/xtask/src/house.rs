//! The house rules that no compiler knows: one file a rule, each a pure function of the tree.
//!
//! Promise: a problem names file, line and the way out. Absent on purpose: switches that turn a rule off in
//! one place; a rule that is wrong there is wrong, and is changed here.

mod crates;
mod decisions;
mod lengths;
mod links;
mod markdown;
mod protos;
mod tree;
mod words;

use anyhow::Result;

use self::tree::Tree;
use crate::{metadata::Metadata, shell::Shell, verify::Verdict};

/// Checks the tree against every rule.
pub(crate) fn check(shell: &Shell) -> Result<Verdict> {
    let metadata = Metadata::of_workspace(shell)?;
    let tree = Tree::read(shell.root(), &metadata.target_directory)?;
    let rules = [lengths::check, words::check, links::check, decisions::check, protos::check];
    let mut problems = crates::check(&metadata, &tree);
    problems.extend(rules.iter().flat_map(|rule| rule(&tree)));
    Ok(Verdict::from_problems(problems))
}
