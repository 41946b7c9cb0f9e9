//! Who dies, and who lives on.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use ports::{
    Supervisor,
    supervisor::{Exit, Process, SupervisorError},
};
use rustix::process::{Pid, Signal};

use crate::world::{self, AGENT_DIR, GRACE, World, fence, kill, lives, pid, until_gone};

const RUNS: &str = "exec sleep 1000";

/// Starts the service of the world in `root`, says so, and hangs until it is killed.
pub(crate) fn be_an_agent(root: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let launch = world::launch(root, 5, "a", &root.join("serve"));
        let started = world::client(root).start(&launch).await.unwrap();
        fs::write(root.join("agent-started"), format!("{}\n", pid(&started))).unwrap();
        std::future::pending::<()>().await;
    });
}

#[tokio::test]
async fn the_service_keeps_its_pid_when_the_agents_process_group_is_killed() {
    let world = World::new();
    world.script("serve", RUNS);
    let mut agent = Command::new(std::env::current_exe().unwrap())
        .args(["agent_process", "--exact", "--ignored", "--nocapture"])
        .env(AGENT_DIR, world.root())
        .process_group(0)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let started: u32 = world.file("agent-started").await.trim().parse().unwrap();
    let keeper = world.keeper();
    let group = Pid::from_raw(agent.id().cast_signed()).unwrap();
    rustix::process::kill_process_group(group, Signal::KILL).unwrap();
    agent.wait().unwrap();
    let now = world.client.observe().await.unwrap();
    assert_eq!(pid(&now), started);
    assert_eq!(world.keeper(), keeper, "another keeper");
    assert!(lives(started));
    // The next agent under the same grant finds it running.
    let again = world.client.start(&world.launch(5, "a", &world.root().join("serve"))).await.unwrap();
    assert_eq!(again, now);
}

#[tokio::test]
async fn a_keeper_that_is_killed_leaves_the_service_to_the_next_one() {
    let world = World::new();
    let serve = world.script("serve", RUNS);
    let first = world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    world.kill_keeper(Signal::KILL).await;
    assert!(lives(pid(&first)));
    let adopted = world.client.observe().await.unwrap();
    assert_eq!(adopted.process, first.process);
    assert!(adopted.change > first.change, "a wait for the next change must not sleep over a new keeper");
    // The fence outlived the keeper.
    let refused = world.client.start(&world.launch(4, "a", &serve)).await.unwrap_err();
    assert!(matches!(refused, SupervisorError::Stale { .. }), "{refused:?}");
    // The end of a process that is not a child is seen, and how it ended is not.
    kill(pid(&first), Signal::KILL);
    let ended = world.process("the exit", |process| matches!(process, Process::Exited { .. })).await;
    assert!(matches!(ended.process, Process::Exited { exit: Exit::Unknown, .. }), "{ended:?}");
}

#[tokio::test]
async fn what_ends_while_there_is_no_keeper_ended_in_an_unknown_way_and_is_restarted_if_kept_running() {
    let world = World::new();
    let serve = world.script("serve", RUNS);
    for (revision, keep) in [(5, false), (6, true)] {
        let first = world.client.start(&world.launch(revision, "a", &serve)).await.unwrap();
        world.client.keep_running(fence(revision), keep).await.unwrap();
        world.kill_keeper(Signal::KILL).await;
        kill(pid(&first), Signal::KILL);
        until_gone(pid(&first)).await;
        if keep {
            let next =
                world.process("the restart", |p| matches!(p, Process::Running { restarts: 1, .. })).await;
            assert_ne!(pid(&next), pid(&first));
        } else {
            let now = world.client.observe().await.unwrap();
            assert!(matches!(now.process, Process::Exited { exit: Exit::Unknown, .. }), "{now:?}");
        }
    }
}

#[tokio::test]
async fn a_wait_for_a_change_goes_on_over_the_death_of_the_keeper() {
    let world = World::new();
    let serve = world.script("serve", RUNS);
    let first = world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    let client = world.client.clone();
    let waiting = tokio::spawn(async move { client.changed(first.change).await });
    world.kill_keeper(Signal::KILL).await;
    let next = waiting.await.unwrap().unwrap();
    assert_eq!(next.process, first.process);
}

#[tokio::test]
async fn sigterm_ends_the_keeper_and_not_the_service() {
    let world = World::new();
    let serve = world.script("serve", RUNS);
    let first = world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    world.kill_keeper(Signal::TERM).await;
    assert!(lives(pid(&first)));
    assert!(!world.dir().join("keeper.sock").exists());
    assert_eq!(world.client.observe().await.unwrap().process, first.process);
}

#[tokio::test]
async fn an_adopted_service_is_stopped_with_all_that_it_started() {
    let world = World::new();
    let serve = world
        .script("serve", "trap '' TERM\nsetsid sleep 1000 &\nsleep 1000 &\nwhile :; do sleep 1000; done");
    let first = world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    world.sleepers(3).await;
    world.kill_keeper(Signal::KILL).await;
    world.client.stop(fence(5), std::time::Duration::from_millis(100)).await.unwrap();
    assert!(!lives(pid(&first)));
    assert_eq!(world.programs(), [] as [u32; 0]);
}

#[tokio::test]
async fn shutting_down_leaves_nothing_behind() {
    let world = World::new();
    let serve = world.script("serve", RUNS);
    let first = world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    world.client.keep_running(fence(5), true).await.unwrap();
    world.client.migrate(&world.launch(5, "a", &serve)).await.unwrap();
    let keeper = world.keeper();
    world.client.shut_down(GRACE).await.unwrap();
    until_gone(keeper).await;
    assert!(!lives(pid(&first)));
    assert_eq!(world.programs(), [] as [u32; 0]);
    assert_eq!(world.client.observe().await.unwrap().process, Process::Stopped);
}

#[tokio::test]
async fn a_keeper_with_nothing_to_do_makes_room_and_a_busy_one_does_not() {
    let world = World::new();
    let serve = world.script("serve", RUNS);
    world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    let refused = world.client.retire().await.unwrap_err();
    assert!(matches!(refused, SupervisorError::Occupied { .. }), "{refused:?}");
    world.client.stop(fence(5), GRACE).await.unwrap();
    let old = world.keeper();
    world.client.retire().await.unwrap();
    until_gone(old).await;
    // A client of another program replaces the keeper at the next start, and its own keeper stays.
    let mut options = world::options(&world.dir());
    options.program = Some("/bin/sh".into());
    world.client.observe().await.unwrap();
    let old = world.keeper();
    let client = supervisor::KeeperClient::new(options.clone());
    client.start(&world.launch(6, "a", &serve)).await.unwrap();
    let new = world.keeper();
    assert_ne!(new, old);
    client.start(&world.launch(6, "a", &serve)).await.unwrap();
    assert_eq!(world.keeper(), new, "it runs a service");
    client.stop(fence(6), GRACE).await.unwrap();
    options.program = Some(std::env::current_exe().unwrap());
    supervisor::KeeperClient::new(options).start(&world.launch(7, "a", &serve)).await.unwrap();
    assert_eq!(world.keeper(), new, "it runs the wanted program");
}
