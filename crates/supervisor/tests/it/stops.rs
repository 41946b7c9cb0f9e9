//! Stopping, and what is left.

use std::time::{Duration, Instant};

use ports::{
    Supervisor,
    supervisor::{Exit, MigrationRun, Process, StopSignal},
};

use crate::world::{GRACE, World, fence, lives, pid};

/// Says that it is up and waits for signals, in a read from nobody and not for a program: dash loses a signal that comes in the moment in
/// which it has just started one.
const WAIT: &str = "mkfifo nobody\nexec 3<>nobody\necho up > up\nwhile :; do read line <&3; done";

#[tokio::test]
async fn sigterm_is_enough_for_who_heeds_it() {
    let world = World::new();
    let serve = world.script("serve", &format!("trap 'echo heard; exit 0' TERM\n{WAIT}"));
    world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    world.file("up").await;
    let before = Instant::now();
    world.client.stop(fence(5), GRACE).await.unwrap();
    assert!(before.elapsed() < GRACE / 2, "it waited for the grace to end");
    // The shell may complain first that its child was terminated.
    let tail = world.client.tail(fence(5), false, 100).await.unwrap();
    assert!(tail.ends_with("heard\n"), "{tail}");
}

#[tokio::test]
async fn who_ignores_sigterm_is_killed_after_the_grace() {
    let world = World::new();
    let serve = world.script("serve", "trap '' TERM\necho up > up\nwhile :; do sleep 0.01; done");
    let first = world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    world.file("up").await;
    let grace = Duration::from_millis(300);
    let before = Instant::now();
    let stopped = world.client.stop(fence(5), grace).await.unwrap();
    assert!(before.elapsed() >= grace, "killed before its time");
    assert_eq!(stopped.process, Process::Stopped);
    assert!(!lives(pid(&first)));
    assert_eq!(world.programs(), [] as [u32; 0]);
}

#[tokio::test]
async fn a_second_stop_may_shorten_the_first() {
    let world = World::new();
    let serve = world.script("serve", "trap '' TERM\necho up > up\nwhile :; do sleep 0.01; done");
    world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    world.file("up").await;
    let client = world.client.clone();
    let patient = tokio::spawn(async move { client.stop(fence(5), Duration::from_secs(3600)).await });
    world.client.stop(fence(5), Duration::from_millis(10)).await.unwrap();
    assert_eq!(patient.await.unwrap().unwrap().process, Process::Stopped);
}

#[tokio::test]
async fn grandchildren_go_too_wherever_they_fled() {
    let world = World::new();
    // One in a session of its own, one orphaned in the group, one orphaned in a session of its own.
    let body = "setsid sleep 1000 &\n(sleep 1001 &)\n(setsid sh -c 'sleep 1002 & sleep 1003' &)\nwait";
    let serve = world.script("serve", body);
    world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    world.sleepers(4).await;
    world.client.stop(fence(5), Duration::from_millis(500)).await.unwrap();
    assert_eq!(world.programs(), [] as [u32; 0]);
}

#[tokio::test]
async fn what_an_exit_leaves_is_gone_before_the_exit_is_told() {
    let world = World::new();
    let serve = world.script("serve", "setsid sleep 1000 &\nsleep 1001 &\nexit 3");
    world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    let ended = world.process("the exit", |process| matches!(process, Process::Exited { .. })).await;
    assert!(matches!(ended.process, Process::Exited { exit: Exit::Code(3), .. }), "{ended:?}");
    assert_eq!(world.programs(), [] as [u32; 0]);
}

#[tokio::test]
async fn stopping_one_of_two_spares_the_other_and_its_orphans() {
    let world = World::new();
    let body = "(setsid sleep 1000 &)\nexec sleep 1000";
    let serve = world.script("serve", body);
    let migrate = world.script("migrate", body);
    let service = world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    let mut launch = world.launch(5, "b", &migrate);
    launch.environment.insert("DEPLOYINATOR_FENCE".to_owned(), "1.5".to_owned());
    world.client.migrate(&launch).await.unwrap();
    world.sleepers(4).await;
    let stopped = world.client.stop_migration(fence(5), GRACE).await.unwrap();
    assert_eq!(stopped.process, service.process);
    assert!(matches!(stopped.migration, Some((_, MigrationRun::Ended { exit: Exit::Signal(15), .. }))));
    let left = world.sleepers(2).await;
    assert!(left.contains(&pid(&service)));
    world.client.stop(fence(5), GRACE).await.unwrap();
    assert_eq!(world.programs(), [] as [u32; 0]);
}

#[tokio::test]
async fn a_service_is_told_to_stop_by_the_signal_that_it_was_started_with() {
    let signals = [
        StopSignal::Hup,
        StopSignal::Int,
        StopSignal::Quit,
        StopSignal::Usr1,
        StopSignal::Usr2,
        StopSignal::Winch,
    ];
    for signal in signals {
        let name = StopSignal::ALL.iter().find(|(_, each)| *each == signal).unwrap().0;
        let world = World::new();
        let word = name.strip_prefix("SIG").unwrap();
        let body = format!("trap '' TERM\ntrap 'echo heard; exit 0' {word}\n{WAIT}");
        let mut launch = world.launch(5, "a", &world.script("serve", &body));
        launch.manner.stop_signal = signal;
        world.client.start(&launch).await.unwrap();
        world.file("up").await;
        // The next keeper knows it too.
        world.kill_keeper(rustix::process::Signal::KILL).await;
        let before = Instant::now();
        world.client.stop(fence(5), GRACE).await.unwrap();
        assert!(before.elapsed() < GRACE / 2, "{name}: it waited for the grace to end");
        let tail = world.client.tail(fence(5), false, 100).await.unwrap();
        assert!(tail.ends_with("heard\n"), "{name}: {tail}");
    }
}
