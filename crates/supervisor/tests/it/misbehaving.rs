//! Services that do what a service should not, and what is said of them.

use std::fs;

use ports::{
    Supervisor,
    supervisor::{Exit, Process},
};

use crate::{
    logs::logged_bytes,
    world::{GRACE, LOG_LIMIT_BYTES, World, fence, until},
};

/// How it ended, and what else was said of that.
async fn end(world: &World) -> (Exit, Option<String>) {
    let ended = world.process("its end", |process| matches!(process, Process::Exited { .. })).await;
    let Process::Exited { exit, note, .. } = ended.process else { unreachable!("it was waited for") };
    (exit, note)
}

#[tokio::test]
async fn who_forks_and_exits_is_told_to_stay_in_the_foreground() {
    let world = World::new();
    let serve = world.script("serve", "sleep 1000 &\nsetsid sleep 1000 &\nexit 0");
    world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    let said = "it left 2 processes behind: bin/serve must stay in the foreground";
    assert_eq!(end(&world).await, (Exit::Code(0), Some(said.to_owned())));
    assert_eq!(world.programs(), [] as [u32; 0], "nothing of it is left");
}

#[tokio::test]
async fn who_fails_and_leaves_something_behind_is_not_told_how_to_behave() {
    let world = World::new();
    let serve = world.script("serve", "sleep 1000 &\nexit 3");
    world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    let said = "it left 1 process behind, which was killed";
    assert_eq!(end(&world).await, (Exit::Code(3), Some(said.to_owned())));
    let plain = world.script("plain", "exit 3");
    world.client.stop(fence(5), GRACE).await.unwrap();
    world.client.start(&world.launch(6, "a", &plain)).await.unwrap();
    assert_eq!(end(&world).await, (Exit::Code(3), None));
}

#[tokio::test]
async fn what_keeps_a_service_from_coming_back_is_said() {
    let world = World::new();
    let serve = world.script("serve", "exit 3");
    world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    fs::remove_file(&serve).unwrap();
    world.client.keep_running(fence(5), true).await.unwrap();
    let tried = world
        .process("a start that fails", |process| {
            matches!(process, Process::Exited { restarts: 1.., note: Some(_), .. })
        })
        .await;
    let Process::Exited { note: Some(note), exit, .. } = tried.process else {
        unreachable!("it was waited for")
    };
    let said = format!("it could not be started again: {}: No such file", serve.display());
    assert!(note.starts_with(&said) && exit == Exit::Code(3), "{exit:?}; {note}");
}

#[tokio::test]
async fn who_writes_a_gigabyte_at_once_takes_hardly_more_room_than_it_may() {
    const GIGABYTE: u64 = 1 << 30;
    let world = World::new();
    // It is quiet first: then nobody looks.
    let serve = world.script(
        "serve",
        &format!("read go < go; head -c {GIGABYTE} /dev/zero; echo over > over; exec sleep 1000"),
    );
    rustix::fs::mknodat(
        rustix::fs::CWD,
        world.root().join("go"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    let resident = || {
        let status = fs::read_to_string(format!("/proc/{}/status", world.keeper())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().to_owned();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    };
    let before = resident();
    fs::write(world.root().join("go"), "go\n").unwrap();
    let (mut most_bytes, mut most_memory) = (0, 0);
    until("it to have written all", || {
        most_bytes = most_bytes.max(logged_bytes(&world));
        most_memory = most_memory.max(resident());
        world.root().join("over").exists().then_some(())
    })
    .await;
    eprintln!("at most {} MiB on disk, {} MiB more memory", most_bytes >> 20, (most_memory - before) >> 20);
    assert!(most_bytes < GIGABYTE / 4, "{most_bytes} bytes of a gigabyte were kept at once");
    assert!(most_memory < before + (16 << 20), "the keeper grew from {before} to {most_memory} bytes");
    until("it to be cut", || (logged_bytes(&world) <= LOG_LIMIT_BYTES).then_some(())).await;
}
