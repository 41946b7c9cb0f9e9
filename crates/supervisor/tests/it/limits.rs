//! What a service may use.

use std::fs;

use ports::{Supervisor, supervisor::Limits};

use crate::world::{GRACE, World, fence, pid};

/// Soft and hard limit of a process, by the kernel's name for it.
fn limit(pid: u32, name: &str) -> (String, String) {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let mut words = line.split_whitespace().map(str::to_owned);
    (words.next().unwrap(), words.next().unwrap())
}

const NAMES: [&str; 3] = ["Max open files", "Max core file size", "Max processes"];

#[tokio::test]
async fn a_service_has_its_limits_and_the_keeper_keeps_its_own() {
    let world = World::new();
    world.client.observe().await.unwrap();
    let before = NAMES.map(|name| limit(world.keeper(), name));
    let serve = world.script("serve", "ulimit -n > born; exec sleep 1000");
    let mut launch = world.launch(5, "a", &serve);
    launch.manner.limits =
        Limits { open_files: Some(300), core_bytes: Some(0), processes: Some(5000), ..Limits::default() };
    let now = world.client.start(&launch).await.unwrap();
    assert_eq!(world.file("born").await, "300\n", "from its first instruction");
    let wanted = ["300", "0", "5000"].map(|value| (value.to_owned(), value.to_owned()));
    assert_eq!(NAMES.map(|name| limit(pid(&now), name)), wanted);
    assert_eq!(NAMES.map(|name| limit(world.keeper(), name)), before);
    world.client.stop(fence(5), GRACE).await.unwrap();
    let next = world.client.start(&world.launch(6, "a", &serve)).await.unwrap();
    assert_eq!(NAMES.map(|name| limit(pid(&next), name)), before, "the next one is not held to them");
}

#[tokio::test]
async fn a_program_that_does_not_run_leaves_the_keeper_its_limits() {
    let world = World::new();
    world.client.observe().await.unwrap();
    let before = NAMES.map(|name| limit(world.keeper(), name));
    let mut launch = world.launch(5, "a", &world.root().join("missing"));
    launch.manner.limits =
        Limits { open_files: Some(300), core_bytes: Some(0), processes: Some(5000), ..Limits::default() };
    world.client.start(&launch).await.unwrap_err();
    assert_eq!(NAMES.map(|name| limit(world.keeper(), name)), before);
}
