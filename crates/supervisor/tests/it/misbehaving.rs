//! Services that do what a service should not, and what is said of them.

use ports::{
    Supervisor,
    supervisor::{Exit, Process},
};

use crate::world::{GRACE, World, fence};

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
    std::fs::remove_file(&serve).unwrap();
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
