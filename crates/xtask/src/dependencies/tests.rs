use serde_json::{Value, json};

use super::*;

fn ours(licence: &str) -> Value {
    json!({
        "id": "path+file:///repo/crates/model#0.1.0", "name": "model", "version": "0.1.0", "license": licence,
        "source": null, "manifest_path": "/repo/crates/model/Cargo.toml", "dependencies": [], "targets": [],
    })
}

fn theirs(name: &str, version: &str, licence: Option<&str>, source: Option<&str>) -> Value {
    json!({
        "id": format!("{name}@{version}"), "name": name, "version": version, "license": licence, "source": source,
        "manifest_path": "/registry/Cargo.toml", "dependencies": [], "targets": [],
    })
}

fn found(packages: &[Value]) -> Vec<String> {
    let metadata = json!({
        "packages": packages,
        "workspace_members": ["path+file:///repo/crates/model#0.1.0"],
        "workspace_root": "/repo",
        "target_directory": "/repo/target",
    });
    let metadata = serde_json::from_value(metadata).expect("the metadata of the test");
    problems(&metadata).iter().map(Problem::to_string).collect()
}

#[track_caller]
fn one(packages: &[Value], start: &str) {
    let found = found(packages);
    assert!(found.len() == 1 && found[0].starts_with(start), "{start:?} was expected, found {found:#?}");
}

#[test]
fn permissive_crates_of_the_registry_pass() {
    let packages = [ours("Apache-2.0"), theirs("serde", "1.0.1", Some("MIT OR Apache-2.0"), Some(REGISTRY))];
    assert_eq!(found(&packages), Vec::<String>::new());
}

#[test]
fn a_licence_that_asks_for_more_fails() {
    let gpl = theirs("readline", "1.0.0", Some("GPL-3.0-only"), Some(REGISTRY));
    one(&[gpl], "Cargo.lock: readline 1.0.0 licence GPL-3.0-only is not one");
    let none = theirs("mystery", "0.1.0", None, Some(REGISTRY));
    one(&[none], "Cargo.lock: mystery 0.1.0 states no licence");
    let odd = theirs("odd", "0.1.0", Some("MIT Apache-2.0"), Some(REGISTRY));
    one(&[odd], "Cargo.lock: odd 0.1.0 licence MIT Apache-2.0: expected AND or OR");
}

#[test]
fn our_own_crates_have_our_licence_and_no_other() {
    one(&[ours("MIT")], "crates/model/Cargo.toml: model 0.1.0 has the licence MIT; ours is Apache-2.0");
}

#[test]
fn other_sources_than_the_registry_fail() {
    let git = theirs("fork", "0.1.0", Some("MIT"), Some("git+https://example.org/fork#abc"));
    one(&[git], "Cargo.lock: fork 0.1.0 comes from git+https://example.org/fork#abc");
    let folder = theirs("stray", "0.1.0", Some("MIT"), None);
    one(&[folder], "Cargo.lock: stray 0.1.0 is a folder outside the workspace");
}

#[test]
fn versions_that_are_in_twice_are_one_warning() {
    let package = |name, version| theirs(name, version, Some("MIT"), Some(REGISTRY));
    let packages = [package("rand", "0.8.6"), package("rand", "0.10.1"), package("toml", "1.2.1")];
    one(&packages, "warning: Cargo.lock: in more than one version: rand 0.10.1 + 0.8.6");
}
