use serde_json::{Value, json};

use super::*;

/// A dependency on a crate of ours.
fn ours(name: &str) -> Value {
    json!({ "name": name, "kind": null, "path": format!("/repo/crates/{name}") })
}

/// A dependency on a crate of theirs.
fn theirs(name: &str) -> Value {
    json!({ "name": name, "kind": null })
}

fn of_kind(kind: &str, mut dependency: Value) -> Value {
    dependency["kind"] = json!(kind);
    dependency
}

/// What is found when `package` has these dependencies and all other crates have none.
fn found(package: &str, dependencies: &[Value]) -> Vec<String> {
    let names = ARROWS.iter().map(|(name, _)| *name).filter(|name| *name != package);
    let others = names.map(|name| crate_json(name, &[]));
    let packages: Vec<_> = others.chain([crate_json(package, dependencies)]).collect();
    found_in(&packages)
}

fn crate_json(name: &str, dependencies: &[Value]) -> Value {
    json!({
        "id": format!("path+file:///repo/crates/{name}#0.1.0"),
        "name": name,
        "version": "0.1.0",
        "manifest_path": format!("/repo/crates/{name}/Cargo.toml"),
        "dependencies": dependencies,
        "targets": [],
    })
}

fn found_in(packages: &[Value]) -> Vec<String> {
    let members: Vec<_> = packages.iter().map(|package| package["id"].clone()).collect();
    let metadata = json!({
        "packages": packages,
        "workspace_members": members,
        "workspace_root": "/repo",
        "target_directory": "/repo/target",
    });
    let metadata = serde_json::from_value(metadata).expect("the metadata of the test");
    problems(&metadata).iter().map(Problem::to_string).collect()
}

#[track_caller]
fn one(found: &[String], parts: &[&str]) {
    assert_eq!(found.len(), 1, "{found:#?}");
    for part in parts {
        assert!(found[0].contains(part), "{part:?} is not in {:?}", found[0]);
    }
}

#[test]
fn every_arrow_of_the_table_passes() {
    for (package, allowed) in ARROWS {
        let dependencies: Vec<_> = allowed.iter().map(|name| ours(name)).collect();
        assert_eq!(found(package, &dependencies), Vec::<String>::new());
    }
}

#[test]
fn an_arrow_that_points_up_is_named_with_its_place_and_the_way_out() {
    let found = found("model", &[ours("ports")]);
    one(
        &found,
        &["crates/model/Cargo.toml: model -> ports in [dependencies]", "none of ours", "write an ADR"],
    );
}

#[test]
fn arrows_of_tests_and_build_scripts_count_too() {
    one(&found("probe", &[of_kind("dev", ours("raft"))]), &["probe -> raft in [dev-dependencies]"]);
    one(&found("probe", &[of_kind("build", ours("api"))]), &["probe -> api in [build-dependencies]"]);
    one(&found("cli", &[of_kind("dev", theirs("openraft"))]), &["openraft is only for raft"]);
}

#[test]
fn confined_crates_stay_where_they_belong() {
    assert_eq!(found("raft", &[theirs("openraft"), theirs("redb"), theirs("tonic")]), Vec::<String>::new());
    one(&found("agent", &[theirs("redb")]), &["agent -> redb", "only for raft"]);
    one(
        &found("supervisor", &[theirs("tonic-health")]),
        &["tonic is only for agent, api, bench, cli, demo, probe, raft, tests"],
    );
    one(&found("agent", &[theirs("aws-sdk-ec2")]), &["aws-sdk- is only for aws"]);
    one(&found("agent", &[theirs("prost-types")]), &["prost is only for api"]);
}

#[test]
fn the_pure_crate_takes_nothing_but_its_two() {
    let dependencies = [theirs("serde"), theirs("thiserror"), of_kind("dev", theirs("proptest"))];
    assert_eq!(found("model", &dependencies), Vec::<String>::new());
    one(
        &found("model", &[theirs("tokio")]),
        &["model -> tokio", "model is pure and uses only serde and thiserror"],
    );
}

#[test]
fn their_crate_of_the_same_name_is_not_ours() {
    assert_eq!(found("probe", &[theirs("config")]), Vec::<String>::new());
}

#[test]
fn a_crate_that_is_not_in_the_table_fails() {
    one(&found("extras", &[]), &["crates/extras/Cargo.toml: crate extras is not in the layers"]);
}

#[test]
fn a_row_without_a_crate_fails() {
    let packages: Vec<_> = ARROWS.iter().skip(1).map(|(name, _)| crate_json(name, &[])).collect();
    one(&found_in(&packages), &["crate model is gone"]);
}

#[test]
fn a_crate_that_nobody_asked_for_is_found() {
    let tree = "agent v0.1.0 (/repo/crates/agent)\naws v0.1.0 (/repo/crates/aws)\naws-lc-rs v1.19.0\n";
    assert!(uninvited(tree).is_none(), "our own crate is no client");
    let problem = uninvited(&format!("{tree}aws-sdk-ec2 v1.274.0\n")).expect("it was not asked for");
    assert!(problem.to_string().contains("compiles aws-sdk-ec2 v1.274.0"), "{problem}");
}
