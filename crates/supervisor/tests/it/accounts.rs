//! As whom a service runs, and what it finds in its environment.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use ports::{
    FaultKind, Supervisor,
    fault::Chain,
    supervisor::{Account, EnvironmentFile, Exit, Launch, Process, SupervisorError},
};

use crate::world::{GRACE, World, fence, pid, skipped};

/// Nobody's number on any system.
const STRANGER: u32 = 3_999_999;

fn stranger() -> Account {
    Account { user: "stranger".to_owned(), uid: STRANGER, gid: STRANGER + 1 }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skipped("only root can run a service as somebody else", false);
    }
    root
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn of_surroundings(refused: &SupervisorError) -> String {
    assert!(
        matches!(refused, SupervisorError::Fault(fault) if fault.kind == FaultKind::Permanent),
        "{refused:?}"
    );
    Chain(refused).to_string()
}

#[tokio::test]
async fn a_service_of_another_user_is_in_no_other_group_and_may_write_its_output_by_name() {
    if !is_root() {
        return;
    }
    let world = World::new();
    set_mode(world.root(), 0o777);
    let serve = world.script("serve", "id -u; id -g; id -G; echo again >> /dev/stderr; exit 3");
    let mut launch = world.launch(5, "a", &serve);
    launch.manner.account = Some(stranger());
    world.client.start(&launch).await.unwrap();
    let ended = world.process("its end", |process| matches!(process, Process::Exited { .. })).await;
    assert!(matches!(ended.process, Process::Exited { exit: Exit::Code(3), .. }), "{ended:?}");
    let said = world.client.tail(fence(5), false, 1000).await.unwrap();
    assert_eq!(said, format!("{STRANGER}\n{0}\n{0}\nagain\n", STRANGER + 1));
}

#[tokio::test]
async fn a_service_of_another_user_is_stopped_and_adopted_like_any_other() {
    if !is_root() {
        return;
    }
    let world = World::new();
    set_mode(world.root(), 0o777);
    let mut launch = world.launch(5, "a", &world.script("serve", "exec sleep 1000"));
    launch.manner.account = Some(stranger());
    let first = world.client.start(&launch).await.unwrap();
    world.kill_keeper(rustix::process::Signal::KILL).await;
    assert_eq!(pid(&world.client.observe().await.unwrap()), pid(&first));
    assert_eq!(world.client.stop(fence(5), GRACE).await.unwrap().process, Process::Stopped);
}

#[tokio::test]
async fn what_another_user_cannot_reach_is_named_and_is_not_the_releases_fault() {
    if !is_root() {
        return;
    }
    let world = World::new();
    set_mode(world.root(), 0o700);
    let serve = world.script("serve", "exit 0");
    let mut launch = world.launch(5, "a", &serve);
    launch.manner.account = Some(stranger());
    let said = of_surroundings(&world.client.start(&launch).await.unwrap_err());
    let wanted =
        format!("user stranger ({STRANGER}:{}) may not enter {}", STRANGER + 1, world.root().display());
    assert!(said.contains(&wanted) && said.contains("mode 700"), "{said}");
    assert_eq!(world.client.observe().await.unwrap().process, Process::Stopped);
}

#[tokio::test]
async fn only_root_runs_a_service_as_somebody_else() {
    if rustix::process::geteuid().is_root() {
        return skipped("root can run a service as anybody", false);
    }
    let world = World::new();
    let mut launch = world.launch(5, "a", &world.script("serve", "exit 0"));
    launch.manner.account = Some(stranger());
    let said = of_surroundings(&world.client.start(&launch).await.unwrap_err());
    assert!(said.contains("only an agent that runs as root"), "{said}");
}

fn with_files(world: &World, launch: &mut Launch, files: &[(&str, bool)]) {
    let file = |&(name, optional): &(&str, bool)| EnvironmentFile { path: world.root().join(name), optional };
    launch.manner.environment_files = files.iter().map(file).collect();
}

#[tokio::test]
async fn environment_files_are_read_at_each_start_and_one_that_is_missing_or_wrong_is_named() {
    let world = World::new();
    let serve = world.script("serve", "echo \"$ONE $TWO $SAID\"; exit 1");
    let mut launch = world.launch(5, "a", &serve);
    launch.environment.insert("SAID".to_owned(), "by the configuration".to_owned());
    with_files(&world, &mut launch, &[("one.env", false), ("two.env", true)]);
    let said = of_surroundings(&world.client.start(&launch).await.unwrap_err());
    assert!(said.contains("one.env: No such file"), "{said}");
    fs::write(world.root().join("one.env"), "ONE=1\nTWO\n").unwrap();
    let said = of_surroundings(&world.client.start(&launch).await.unwrap_err());
    assert!(said.contains("one.env, line 2: "), "{said}");
    fs::write(world.root().join("one.env"), "ONE=1\nSAID='by a file'\n").unwrap();
    world.client.start(&launch).await.unwrap();
    world.process("its end", |process| matches!(process, Process::Exited { .. })).await;
    fs::write(world.root().join("two.env"), "ONE=2\nTWO=2\n").unwrap();
    world.client.keep_running(fence(5), true).await.unwrap();
    world.process("a restart", |process| matches!(process, Process::Exited { restarts: 1.., .. })).await;
    world.client.stop(fence(5), GRACE).await.unwrap();
    let said = world.client.tail(fence(5), false, 1000).await.unwrap();
    assert!(said.starts_with("1  by a file\n2 2 by a file\n"), "{said}");
    let record = fs::read_to_string(world.dir().join("record")).unwrap();
    assert!(!record.contains("by a file"), "what stands in a file is read from there, and kept nowhere else");
}

#[tokio::test]
async fn a_working_directory_that_is_not_there_is_not_the_releases_fault() {
    let world = World::new();
    let mut launch = world.launch(5, "a", &world.script("serve", "exit 0"));
    launch.working_directory = world.root().join("nowhere");
    let said = of_surroundings(&world.client.start(&launch).await.unwrap_err());
    assert!(said.contains("working directory") && said.ends_with("nowhere is not there"), "{said}");
}
