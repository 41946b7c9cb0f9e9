//! What a service says of itself, and whose word counts.

use std::{
    fs,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    path::Path,
    time::Duration,
};

use ports::{
    Supervisor,
    supervisor::{Launch, Observation, Process, Readiness},
};
use rustix::process::Signal;

use crate::world::{self, GRACE, World, fence, kill, pid, until};

/// Tells a process that is to speak where it reads what to say.
pub(crate) const SPEAKER_DIR: &str = "SUPERVISOR_TEST_SPEAKER_DIR";

/// Says what the files `say-0`, `say-1` and so on hold, until the directory is gone.
pub(crate) fn speak(dir: &Path) {
    let socket = UnixDatagram::unbound().unwrap();
    let address = std::env::var("NOTIFY_SOCKET").unwrap();
    fs::write(dir.join("address"), format!("{address}\n")).unwrap();
    for n in 0.. {
        let path = dir.join(format!("say-{n}"));
        let text = loop {
            match fs::read_to_string(&path) {
                Ok(text) if text.ends_with('\n') => break text,
                _ if !dir.exists() => return,
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        // There is nobody to hear it while the keeper is dead.
        let _ = socket.send_to_addr(text.trim_end().as_bytes(), &name(&address));
    }
}

fn name(address: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(address.strip_prefix('@').unwrap()).unwrap()
}

/// A service whose main process, or another one below it, says what it is told to.
fn speaker(world: &World, revision: u64, before: &str) -> Launch {
    let this = std::env::current_exe().unwrap();
    let words = "speaking_process --exact --ignored --nocapture";
    let serve = world.script("serve", &format!("{before} {} {words}", this.display()));
    let mut launch = world.launch(revision, "a", &serve);
    launch.manner.readiness = Readiness::Notify;
    launch.environment.insert(SPEAKER_DIR.to_owned(), world.root().display().to_string());
    launch
}

fn tell(world: &World, n: u32, text: &str) {
    fs::write(world.root().join(format!("say-{n}")), format!("{text}\n")).unwrap();
}

async fn address(world: &World) -> String {
    world.file("address").await.trim().to_owned()
}

/// Whether the process is ready, and its status.
fn said(now: &Observation) -> (bool, Option<&str>) {
    match &now.process {
        Process::Running { ready, status, .. } => (*ready, status.as_deref()),
        other => panic!("it does not run: {other:?}"),
    }
}

async fn until_said(world: &World, wanted: (bool, Option<&str>)) -> Observation {
    world.observation(&format!("{wanted:?}"), |now| said(now) == wanted).await
}

#[tokio::test]
async fn it_is_ready_once_it_has_said_so_and_no_longer_when_it_stops() {
    let world = World::new();
    let now = world.client.start(&speaker(&world, 5, "exec")).await.unwrap();
    assert_eq!(said(&now), (false, None));
    tell(&world, 0, "STATUS=reading 3 files\nFDSTORE=1");
    until_said(&world, (false, Some("reading 3 files"))).await;
    tell(&world, 1, "READY=1\nSTATUS=");
    until_said(&world, (true, None)).await;
    tell(&world, 2, "STOPPING=1\nSTATUS=bye");
    until_said(&world, (false, Some("bye"))).await;
}

#[tokio::test]
async fn a_process_below_it_may_speak_for_it_wherever_it_fled() {
    let world = World::new();
    world.client.start(&speaker(&world, 5, "sleep 1000 & setsid")).await.unwrap();
    tell(&world, 0, "READY=1");
    until_said(&world, (true, None)).await;
}

#[tokio::test]
async fn the_word_of_a_stranger_and_of_a_migration_does_not_count() {
    let world = World::new();
    world.client.start(&speaker(&world, 5, "exec")).await.unwrap();
    let address = address(&world).await;
    UnixDatagram::unbound().unwrap().send_to_addr(b"READY=1", &name(&address)).unwrap();
    // The migration is told the name by its own environment, and has a directory of its own to read from.
    let below = world.root().join("migration");
    fs::create_dir(&below).unwrap();
    fs::write(below.join("say-0"), "READY=1\n").unwrap();
    fs::write(below.join("say-1"), "READY=1\n").unwrap();
    let mut migrate = speaker(&world, 5, "exec");
    migrate.environment.insert("NOTIFY_SOCKET".to_owned(), address);
    migrate.environment.insert(SPEAKER_DIR.to_owned(), below.display().to_string());
    world.client.migrate(&migrate).await.unwrap();
    world.file("migration/address").await;
    // What is heard after all of that tells that it was heard.
    world.client.stop_migration(fence(5), GRACE).await.unwrap();
    tell(&world, 0, "STATUS=on its way");
    until_said(&world, (false, Some("on its way"))).await;
}

#[tokio::test]
async fn the_next_keeper_knows_what_was_said_and_hears_the_rest() {
    let world = World::new();
    let first = world.client.start(&speaker(&world, 5, "exec")).await.unwrap();
    address(&world).await;
    world.kill_keeper(Signal::KILL).await;
    assert_eq!(said(&world.client.observe().await.unwrap()), (false, None));
    tell(&world, 0, "READY=1");
    until_said(&world, (true, None)).await;
    world.kill_keeper(Signal::KILL).await;
    let now = world.client.observe().await.unwrap();
    assert_eq!((said(&now), pid(&now)), ((true, None), pid(&first)));
}

#[tokio::test]
async fn a_service_that_is_started_again_is_not_ready_before_it_says_so_again() {
    let world = World::new();
    let first = world.client.start(&speaker(&world, 5, "exec")).await.unwrap();
    world.client.keep_running(fence(5), true).await.unwrap();
    tell(&world, 0, "READY=1");
    until_said(&world, (true, None)).await;
    fs::remove_file(world.root().join("say-0")).unwrap();
    kill(pid(&first), Signal::KILL);
    let again =
        world.process("a restart", |process| matches!(process, Process::Running { restarts: 1, .. })).await;
    assert_eq!(said(&again), (false, None));
    tell(&world, 0, "READY=1");
    until_said(&world, (true, None)).await;
}

#[tokio::test]
async fn a_stranger_that_has_taken_the_name_stops_no_service_from_speaking() {
    let world = World::new();
    world.client.start(&speaker(&world, 5, "exec")).await.unwrap();
    let taken = address(&world).await;
    world.client.shut_down(GRACE).await.unwrap();
    fs::remove_file(world.root().join("address")).unwrap();
    let bind = || UnixDatagram::bind_addr(&name(&taken)).ok();
    let _stranger = until("the keeper to let go of the name", bind).await;
    world.client.start(&speaker(&world, 6, "exec")).await.unwrap();
    assert_eq!(address(&world).await, format!("{taken}.1"));
    tell(&world, 0, "READY=1");
    until_said(&world, (true, None)).await;
}

#[tokio::test]
async fn a_service_that_is_not_asked_has_no_socket_and_is_ready_as_it_runs() {
    let world = World::new();
    let serve = world.script("serve", "echo \"${NOTIFY_SOCKET-none}\" > socket; exec sleep 1000");
    let now = world.client.start(&world::launch(world.root(), 5, "a", &serve)).await.unwrap();
    assert_eq!(said(&now), (true, None));
    assert_eq!(world.file("socket").await, "none\n");
}
