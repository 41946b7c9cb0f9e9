//! Every crate says what it is: a description in its manifest, module docs at its root.

use super::tree::Tree;
use crate::{
    metadata::{Metadata, Package, Target},
    verify::Problem,
};

pub(super) fn check(metadata: &Metadata, tree: &Tree) -> Vec<Problem> {
    metadata.members().flat_map(|package| of_crate(metadata, tree, package)).collect()
}

fn of_crate(metadata: &Metadata, tree: &Tree, package: &Package) -> Vec<Problem> {
    let description = package.description.as_deref().unwrap_or_default().trim();
    let manifest = metadata.relative(&package.manifest_path);
    let undescribed = description
        .is_empty()
        .then(|| Problem::of(manifest, "`description` is empty; say in one line what the crate is for"));
    let roots = package.targets.iter().filter(|target| is_documented(target));
    let silent = roots.filter_map(|target| {
        let path = metadata.relative(&target.src_path);
        let starts_with_docs = tree.text(path)?.trim_start().starts_with("//!");
        (!starts_with_docs).then(|| {
            Problem::at(
                path,
                1,
                "starts without `//!` docs; say its purpose, its promise and what is absent on purpose",
            )
        })
    });
    undescribed.into_iter().chain(silent).collect()
}

/// Tests and build scripts are documented by what is in them.
fn is_documented(target: &Target) -> bool {
    target.kind.iter().any(|kind| matches!(kind.as_str(), "lib" | "bin" | "proc-macro"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(description: Option<&str>, kind: &str, text: &str) -> Vec<String> {
        let metadata = json!({
            "packages": [{
                "id": "a", "name": "a", "version": "0.1.0", "description": description, "dependencies": [],
                "manifest_path": "/repo/crates/a/Cargo.toml",
                "targets": [{ "kind": [kind], "src_path": "/repo/crates/a/src/x.rs" }],
            }],
            "workspace_members": ["a"], "workspace_root": "/repo", "target_directory": "/repo/target",
        });
        let metadata = serde_json::from_value(metadata).expect("the metadata of the test");
        let problems = check(&metadata, &Tree::of(&[("crates/a/src/x.rs", text)]));
        problems.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn a_crate_that_says_what_it_is_passes() {
        assert_eq!(found(Some("Does it"), "lib", "\n//! Does it.\n"), Vec::<String>::new());
        assert_eq!(found(Some("Does it"), "test", "use a::b;\n"), Vec::<String>::new());
    }

    #[test]
    fn a_crate_that_does_not_is_told_what_is_missing() {
        for description in [None, Some(""), Some(" ")] {
            let found = found(description, "lib", "//! Does it.\n");
            assert!(
                found.len() == 1 && found[0].starts_with("crates/a/Cargo.toml: `description`"),
                "{found:?}"
            );
        }
        for kind in ["lib", "bin"] {
            let found = found(Some("Does it"), kind, "/// Not about the crate.\nfn main() {}\n");
            assert!(
                found.len() == 1 && found[0].starts_with("crates/a/src/x.rs:1: starts without"),
                "{found:?}"
            );
        }
    }
}
