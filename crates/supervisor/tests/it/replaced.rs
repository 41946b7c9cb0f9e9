//! A keeper's program is replaced while the keeper runs.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use ports::{Supervisor, supervisor::SupervisorError};
use supervisor::{KeeperClient, Options};

use crate::world::{self, GRACE, KEEPER_DIR, World, fence, lives, pid};

const RUNS: &str = "exec sleep 1000";

/// Puts the keeper's own program at a path, as an upgrade does: written beside it, and renamed over what was there.
fn install(world: &World) -> PathBuf {
    let path = world.root().join("bin/deployinatord-keeper");
    let new = path.with_extension("new");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_deployinatord-keeper"), &new).unwrap();
    fs::rename(&new, &path).unwrap();
    path
}

/// A client that wants the keeper at this path.
fn options(world: &World, program: &Path) -> Options {
    let mut mark = OsString::from(format!("{KEEPER_DIR}="));
    mark.push(world.dir());
    let words = ["keeper", "--dir"].map(OsString::from);
    let command = [OsString::from("env"), mark, program.into()].into_iter().chain(words);
    Options {
        keeper_command: command.chain([world.dir().into_os_string()]).collect(),
        program: Some(program.to_owned()),
        ..world::options(&world.dir())
    }
}

fn runs_file(keeper: u32, path: &Path) -> bool {
    let running = fs::metadata(format!("/proc/{keeper}/exe")).unwrap();
    running.ino() == fs::metadata(path).unwrap().ino()
}

#[tokio::test]
async fn a_keeper_whose_file_was_replaced_at_the_same_path_makes_room_at_the_next_start() {
    let world = World::new();
    let serve = world.script("serve", RUNS);
    let program = install(&world);
    let client = KeeperClient::new(options(&world, &program));
    let serving = pid(&client.start(&world.launch(5, "a", &serve)).await.unwrap());
    let old = world.keeper();
    assert!(runs_file(old, &program));

    // The upgrade: the agent of the new release is a client of its own. Nothing happens to what runs.
    install(&world);
    let client = KeeperClient::new(options(&world, &program));
    assert!(!runs_file(old, &program));
    assert_eq!(pid(&client.start(&world.launch(5, "a", &serve)).await.unwrap()), serving);
    let refused = client.start(&world.launch(6, "b", &serve)).await.unwrap_err();
    assert!(matches!(refused, SupervisorError::Occupied { .. }), "{refused:?}");
    assert_eq!(world.keeper(), old, "it runs a service");

    client.stop(fence(6), GRACE).await.unwrap();
    client.start(&world.launch(6, "b", &serve)).await.unwrap();
    let new = world.keeper();
    assert_ne!(new, old);
    assert!(runs_file(new, &program));

    // And that was it: it is not replaced by itself.
    client.stop(fence(6), GRACE).await.unwrap();
    client.start(&world.launch(7, "a", &serve)).await.unwrap();
    assert_eq!(world.keeper(), new);
}

#[tokio::test]
async fn no_keeper_makes_room_for_a_program_that_is_not_there() {
    let world = World::new();
    let serve = world.script("serve", RUNS);
    let program = install(&world);
    let client = KeeperClient::new(options(&world, &program));
    client.start(&world.launch(5, "a", &serve)).await.unwrap();
    let old = world.keeper();
    client.stop(fence(5), GRACE).await.unwrap();
    fs::remove_file(&program).unwrap();
    client.start(&world.launch(6, "b", &serve)).await.unwrap();
    assert_eq!(world.keeper(), old);
}

#[tokio::test]
async fn a_keeper_is_started_also_when_its_program_is_gone() {
    let world = World::new();
    let serve = world.script("serve", RUNS);
    let program = install(&world);
    let started = options(&world, &program);
    // What takes the place gets the same arguments.
    let words: Vec<_> = started.keeper_command[..3].iter().map(|word| word.to_str().unwrap()).collect();
    let otherwise = world.script("otherwise", &format!("exec {} \"$@\"", words.join(" ")));
    let gone = world.root().join("gone");
    let keeper_command =
        [gone.clone().into_os_string()].into_iter().chain(started.keeper_command[3..].to_vec());
    let options = Options {
        keeper_command: keeper_command.collect(),
        otherwise: Some(otherwise),
        program: Some(gone),
        ..started
    };
    let client = KeeperClient::new(options.clone());
    let serving = pid(&client.start(&world.launch(5, "a", &serve)).await.unwrap());
    assert!(runs_file(world.keeper(), &program) && lives(serving));
    client.shut_down(GRACE).await.unwrap();

    let refused = KeeperClient::new(Options { otherwise: None, ..options });
    let refused = refused.start(&world.launch(5, "a", &serve)).await.unwrap_err();
    let said = ports::fault::Chain(&refused).to_string();
    assert!(said.contains(&format!("run {}", world.root().join("gone").display())), "{said}");
}
