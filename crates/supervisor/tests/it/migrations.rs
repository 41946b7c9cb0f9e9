//! A migration starts once, whoever dies.

use std::{fs, time::Duration};

use ports::{
    Supervisor,
    supervisor::{Exit, MigrationRun, Observation},
};
use rustix::process::Signal;

use crate::world::{GRACE, World, fence, kill, lives, until, until_gone};

/// Counts its starts in a file, then does `then`.
fn counting(world: &World, then: &str) -> std::path::PathBuf {
    world.script("migrate", &format!("echo start >> starts\n{then}"))
}

fn starts(world: &World) -> usize {
    fs::read_to_string(world.root().join("starts")).map_or(0, |text| text.lines().count())
}

fn running(now: &Observation) -> u32 {
    match now.migration {
        Some((_, MigrationRun::Running { pid, .. })) => pid,
        ref other => panic!("it does not run: {other:?}"),
    }
}

fn ended(now: &Observation) -> Option<&Exit> {
    match &now.migration {
        Some((_, MigrationRun::Ended { exit, .. })) => Some(exit),
        _ => None,
    }
}

#[tokio::test]
async fn what_was_not_seen_to_end_is_unknown_and_never_started_again() {
    let world = World::new();
    let launch = world.launch(5, "a", &counting(&world, "exec sleep 1000"));
    let pid = running(&world.client.migrate(&launch).await.unwrap());
    world.file("starts").await;
    world.kill_keeper(Signal::KILL).await;
    kill(pid, Signal::KILL);
    until_gone(pid).await;
    for _ in 0..2 {
        let now = world.client.migrate(&launch).await.unwrap();
        assert_eq!(ended(&now), Some(&Exit::Unknown));
    }
    assert_eq!(starts(&world), 1);
}

#[tokio::test]
async fn one_that_outlives_its_keeper_is_adopted_and_its_exit_is_unknown() {
    let world = World::new();
    let launch = world.launch(5, "a", &counting(&world, "while [ ! -e go ]; do sleep 0.01; done\nexit 0"));
    let pid = running(&world.client.migrate(&launch).await.unwrap());
    world.kill_keeper(Signal::KILL).await;
    let adopted = world.client.migrate(&launch).await.unwrap();
    assert_eq!(running(&adopted), pid);
    fs::write(world.root().join("go"), "").unwrap();
    let now = world.observation("the end of the migration", |now| ended(now).is_some()).await;
    assert_eq!(ended(&now), Some(&Exit::Unknown));
    assert!(!lives(pid));
    assert_eq!(starts(&world), 1);
}

#[tokio::test]
async fn how_one_ended_is_known_to_every_later_keeper() {
    let world = World::new();
    let launch = world.launch(5, "a", &counting(&world, "echo done\nexit 3"));
    world.client.migrate(&launch).await.unwrap();
    let first = world.observation("the end of the migration", |now| ended(now).is_some()).await;
    assert_eq!(ended(&first), Some(&Exit::Code(3)));
    world.kill_keeper(Signal::KILL).await;
    let again = world.client.migrate(&launch).await.unwrap();
    assert_eq!(again.migration, first.migration);
    assert_eq!(starts(&world), 1);
    assert_eq!(world.client.tail(fence(5), true, 100).await.unwrap(), "done\n");
}

#[tokio::test]
async fn a_record_of_a_migration_keeps_no_secrets() {
    let world = World::new();
    let mut launch = world.launch(5, "a", &counting(&world, "exit 0"));
    launch.environment.insert("TOKEN".to_owned(), "geheim".to_owned());
    world.client.migrate(&launch).await.unwrap();
    world.observation("the end of the migration", |now| ended(now).is_some()).await;
    let record = fs::read_to_string(world.dir().join("record")).unwrap();
    assert!(record.contains("\"release\":\"a\"") && !record.contains("geheim"), "{record}");
}

#[tokio::test]
async fn a_keeper_killed_at_any_moment_of_a_start_never_leads_to_a_second_one() {
    let world = World::new();
    let migrate = world.script("migrate", "echo $FENCE >> starts\nexit 0");
    let serve = world.script("serve", "exec sleep 1000");
    for round in 1..=25_u64 {
        world.client.observe().await.unwrap();
        let keeper = world.keeper();
        let mut launch = world.launch(round, "a", &migrate);
        launch.environment.insert("FENCE".to_owned(), round.to_string());
        let service = world.launch(round, "a", &serve);
        let crash = async {
            // The moment of the crash, and no wait for anything.
            tokio::time::sleep(Duration::from_micros(round * 300)).await;
            kill(keeper, Signal::KILL);
        };
        let (migrated, started, ()) =
            tokio::join!(world.client.migrate(&launch), world.client.start(&service), crash);
        migrated.unwrap();
        started.unwrap();
        until_gone(keeper).await;
        let now = world.observation("the end of the migration", |now| ended(now).is_some()).await;
        assert!(matches!(ended(&now), Some(Exit::Code(0) | Exit::Unknown)), "{now:?}");
        let text = fs::read_to_string(world.root().join("starts")).unwrap_or_default();
        let starts = text.lines().filter(|line| **line == round.to_string()).count();
        assert!(starts <= 1, "round {round}: it was started {starts} times");
        // A shell in mid-exec has no environment for a moment, by which it could be found.
        let only = [crate::world::pid(&now)];
        until(&format!("round {round} to run {only:?} alone"), || (world.programs() == only).then_some(()))
            .await;
        world.client.stop(fence(round), GRACE).await.unwrap();
    }
}
