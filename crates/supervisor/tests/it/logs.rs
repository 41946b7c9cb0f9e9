//! What a program writes is kept, and not all of it.

use std::{fs, os::unix::fs::MetadataExt};

use ports::{
    Supervisor,
    supervisor::{Exit, Process},
};
use rustix::process::Signal;

use crate::world::{LOG_LIMIT_BYTES, World, fence, until};

/// Room that the logs take on the disk, in bytes.
pub(crate) fn logged_bytes(world: &World) -> u64 {
    fs::read_dir(world.dir().join("logs"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().blocks() * 512)
        .sum()
}

#[tokio::test]
async fn a_hundred_megabytes_are_cut_to_the_limit() {
    let world = World::new();
    let body = "dd if=/dev/zero bs=1000000 count=100 2>/dev/null | tr '\\0' 'x'\necho\necho the end\nexit 7";
    let serve = world.script("serve", body);
    world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    let ended = world.process("the exit", |process| matches!(process, Process::Exited { .. })).await;
    assert!(matches!(ended.process, Process::Exited { exit: Exit::Code(7), .. }), "{ended:?}");
    let bytes = logged_bytes(&world);
    assert!(bytes <= LOG_LIMIT_BYTES, "{bytes} bytes are left");
    assert_eq!(world.client.tail(fence(5), false, 100).await.unwrap(), "the end\n");
}

#[tokio::test]
async fn a_writer_that_never_stops_is_bounded_while_it_writes_and_after_its_keeper_died() {
    let world = World::new();
    let serve = world.script("serve", "i=0\nwhile :; do i=$((i + 1)); printf '%8d %01000d\\n' $i 0; done");
    world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    let shrinks = async || {
        let mut most = 0;
        until("the log to shrink", || {
            let bytes = logged_bytes(&world);
            most = most.max(bytes);
            (bytes < most).then_some(())
        })
        .await;
    };
    shrinks().await;
    world.kill_keeper(Signal::KILL).await;
    world.client.observe().await.unwrap();
    shrinks().await;
    let tail = world.client.tail(fence(5), false, 5000).await.unwrap();
    let numbers: Vec<u64> = tail
        .lines()
        .filter(|line| line.len() == 1009)
        .map(|line| line[..8].trim().parse().unwrap())
        .collect();
    assert!(numbers.len() >= 3, "{tail}");
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
}
