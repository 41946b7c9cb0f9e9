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

/// Tells it to end after the first word.
const SPEAKS_ONCE: &str = "SUPERVISOR_TEST_SPEAKS_ONCE";

/// Says what the files `say-0`, `say-1` and so on hold, until the directory is gone; writes `said-0` and so on when it has.
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
        fs::write(dir.join(format!("said-{n}")), "\n").unwrap_or_default();
        if std::env::var_os(SPEAKS_ONCE).is_some() {
            return;
        }
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
async fn a_stranger_cannot_take_a_name_before_its_service_is_started() {
    let world = World::new();
    world.client.start(&speaker(&world, 5, "exec")).await.unwrap();
    let taken = address(&world).await;
    world.client.shut_down(GRACE).await.unwrap();
    fs::remove_file(world.root().join("address")).unwrap();
    let bind = || UnixDatagram::bind_addr(&name(&taken)).ok();
    let _stranger = until("the keeper to let go of the name", bind).await;
    world.client.start(&speaker(&world, 6, "exec")).await.unwrap();
    assert_ne!(address(&world).await, taken, "what was seen once tells nothing of the next");
    tell(&world, 0, "READY=1");
    until_said(&world, (true, None)).await;
}

fn unheard(now: &Observation) -> bool {
    matches!(now.process, Process::Running { unheard: true, .. })
}

#[tokio::test]
async fn what_may_have_been_said_to_nobody_is_told_as_such() {
    let world = World::new();
    let now = world.client.start(&speaker(&world, 5, "exec")).await.unwrap();
    assert!(!unheard(&now));
    let taken = address(&world).await;
    world.kill_keeper(Signal::KILL).await;
    // A stranger takes the name while it is nobody's, and gets what was meant for the keeper.
    // A process is gone a moment before its sockets are.
    let stranger =
        world::until("the name to be nobody's", || UnixDatagram::bind_addr(&name(&taken)).ok()).await;
    assert!(unheard(&world.client.observe().await.unwrap()));
    tell(&world, 0, "READY=1");
    let mut bytes = [0; 64];
    assert_eq!(stranger.recv(&mut bytes).unwrap(), "READY=1".len());
    let now = world.client.observe().await.unwrap();
    assert!(unheard(&now) && !said(&now).0, "it is not known, and is not held against it");
    // Once the name is free again, the keeper hears the rest.
    drop(stranger);
    let mut n = 1;
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        tell(&world, n, "READY=1");
        let ready = world.client.observe().await.unwrap();
        if said(&ready).0 {
            return assert!(!unheard(&ready));
        }
        assert!(std::time::Instant::now() < deadline, "waited until the keeper has the name again");
        n += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_was_said_before_a_keeper_is_told_to_end_is_known_to_the_next() {
    for _ in 0..6 {
        let world = World::new();
        world.client.start(&speaker(&world, 5, "exec")).await.unwrap();
        let keeper = world.keeper();
        // It stands still, so that it finds the word and the end at the same time.
        kill(keeper, Signal::STOP);
        tell(&world, 0, "READY=1");
        world.file("said-0").await;
        kill(keeper, Signal::TERM);
        kill(keeper, Signal::CONT);
        world::until_gone(keeper).await;
        let now = world.client.observe().await.unwrap();
        assert!(said(&now).0 && !unheard(&now), "{now:?}");
    }
}

#[tokio::test]
async fn the_word_of_one_that_ended_at_once_is_heard_before_it_is_reaped() {
    let world = World::new();
    for revision in 5..13 {
        // An orphan speaks once and ends, while the keeper stands still: it finds the word and the end at the same time.
        let below = world.root().join(format!("once-{revision}"));
        fs::create_dir(&below).unwrap();
        let this = std::env::current_exe().unwrap();
        let once = format!(
            "(while [ ! -e {0}/go ]; do sleep 0.01; done; setsid {1} speaking_process --exact --ignored --nocapture &)\nexec sleep 1000",
            below.display(),
            this.display()
        );
        let mut launch = speaker(&world, revision, "exec");
        launch.program = world.script(&format!("serve-{revision}"), &once);
        launch.environment.insert(SPEAKER_DIR.to_owned(), below.display().to_string());
        launch.environment.insert(SPEAKS_ONCE.to_owned(), "1".to_owned());
        fs::write(below.join("say-0"), "READY=1\n").unwrap();
        world.client.start(&launch).await.unwrap();
        let keeper = world.keeper();
        kill(keeper, Signal::STOP);
        fs::write(below.join("go"), "").unwrap();
        until("the orphan to have spoken and ended", || zombies_of(keeper).then_some(())).await;
        kill(keeper, Signal::CONT);
        until_said(&world, (true, None)).await;
        world.client.stop(fence(revision), GRACE).await.unwrap();
    }
}

/// Whether a child of this process has ended and was not reaped.
fn zombies_of(parent: u32) -> bool {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).any(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        rest.starts_with(&format!("Z {parent} "))
    })
}

#[tokio::test]
async fn a_service_that_is_not_asked_has_no_socket_and_is_ready_as_it_runs() {
    let world = World::new();
    let serve = world.script("serve", "echo \"${NOTIFY_SOCKET-none}\" > socket; exec sleep 1000");
    let now = world.client.start(&world::launch(world.root(), 5, "a", &serve)).await.unwrap();
    assert_eq!(said(&now), (true, None));
    assert_eq!(world.file("socket").await, "none\n");
}
