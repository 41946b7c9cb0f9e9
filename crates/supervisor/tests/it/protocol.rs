//! What is refused at the door.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    process::Command,
};

use ports::{FaultKind, Supervisor, fault::Chain, supervisor::SupervisorError};
use supervisor::KeeperClient;

use crate::world::{self, KEEPER_DIR, World, fence, pid};

#[tokio::test]
async fn a_client_of_an_unknown_version_is_refused_before_it_is_read() {
    let world = World::new();
    world.client.observe().await.unwrap();
    for (hello, answer) in [
        (r#"{"version":2,"anything":[]}"#, "{\"refused\":{\"offered\":2,\"spoken\":1}}\n"),
        (r#"{"version":0}"#, "{\"refused\":{\"offered\":0,\"spoken\":1}}\n"),
        ("what?", ""),
    ] {
        let mut stream = UnixStream::connect(world.dir().join("keeper.sock")).unwrap();
        writeln!(stream, "{hello}").unwrap();
        let mut said = String::new();
        BufReader::new(stream).read_line(&mut said).unwrap();
        assert_eq!(said, answer);
    }
}

#[tokio::test]
async fn a_keeper_of_an_unknown_version_is_a_permanent_fault() {
    let world = World::new();
    fs::create_dir(world.dir()).unwrap();
    let listener = UnixListener::bind(world.dir().join("keeper.sock")).unwrap();
    let keeper = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut hello).unwrap();
        writeln!(stream, r#"{{"refused":{{"offered":1,"spoken":9}}}}"#).unwrap();
        hello
    });
    let refused = world.client.observe().await.unwrap_err();
    let said = Chain(&refused).to_string();
    assert!(
        matches!(&refused, SupervisorError::Fault(fault) if fault.kind == FaultKind::Permanent),
        "{said}"
    );
    assert!(said.contains("the keeper speaks version 9, this program speaks 1"), "{said}");
    assert!(keeper.join().unwrap().starts_with(r#"{"version":1,"#));
}

/// A keeper of the build that knew nothing of manners, with something running or not: it tells what it was asked, until it retires.
fn old_keeper(world: &World, busy: bool) -> std::thread::JoinHandle<Vec<String>> {
    let socket = world.dir().join("keeper.sock");
    fs::create_dir_all(world.dir()).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let mut asked = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            if !lines.next().is_some_and(|hello| hello.unwrap().starts_with(r#"{"version":1,"#)) {
                break;
            }
            writeln!(stream, r#"{{"ready":{{"version":1,"pid":1,"program":"/old/deployinatord"}}}}"#)
                .unwrap();
            let request = lines.next().unwrap().unwrap();
            let known = ["start", "migrate", "observe", "retire"];
            let word = request.trim_start_matches(['{', '"']).split('"').next().unwrap().to_owned();
            let answer = match word.as_str() {
                "retire" if busy => r#"{"occupied":{"release":"a","fence":{"incarnation":1,"revision":1}}}"#,
                "retire" => r#""leaving""#,
                word if known.contains(&word) => {
                    r#"{"observed":{"change":1,"process":"stopped","migration":null,"fence":null}}"#
                }
                // As serde has it, of an enumeration that lacks the word.
                _ => {
                    r#"{"fault":{"permanent":true,"attempted":"understand the request","problem":"unknown variant"}}"#
                }
            };
            writeln!(stream, "{answer}").unwrap();
            asked.push(word.clone());
            if word == "retire" && !busy {
                fs::remove_file(&socket).unwrap();
                break;
            }
        }
        asked
    })
}

/// Ends an old keeper that stays, and says what it was asked.
fn dismiss(world: &World, keeper: std::thread::JoinHandle<Vec<String>>) -> Vec<String> {
    let mut stream = UnixStream::connect(world.dir().join("keeper.sock")).unwrap();
    writeln!(stream, "that is all").unwrap();
    keeper.join().unwrap()
}

#[tokio::test]
async fn a_keeper_that_knows_no_manner_refuses_one_and_is_replaced_at_the_next_start() {
    let world = World::new();
    let serve = world.script("serve", "ulimit -n > files; exec sleep 1000");
    let plain = world.launch(5, "a", &serve);
    let mut limited = plain.clone();
    limited.manner.limits.open_files = Some(100);
    // Told from another by the file that it runs, which here is that of this test.
    let of = |program: &str| {
        KeeperClient::new(supervisor::Options {
            program: Some(program.into()),
            ..world::options(&world.dir())
        })
    };
    let client = of("/bin/sh");

    // Something runs, so that it stays: what it knows it does, and the rest it refuses.
    let old = old_keeper(&world, true);
    client.migrate(&plain).await.unwrap();
    let refused = client.migrate(&limited).await.unwrap_err();
    let said = Chain(&refused).to_string();
    assert!(
        matches!(&refused, SupervisorError::Fault(fault) if fault.kind == FaultKind::Permanent),
        "{said}"
    );
    assert!(said.contains("the keeper is of an earlier build"), "{said}");
    assert!(said.ends_with("deployinator restart web"), "{said}");
    let asked = dismiss(&world, old);
    assert_eq!(asked, ["migrate", "observe", "retire", "migrate_in_manner", "retire"]);
    fs::remove_file(world.dir().join("keeper.sock")).unwrap();

    // Nothing runs: a newer one takes its place, and does as it is told.
    let old = old_keeper(&world, false);
    let started = client.start(&limited).await.unwrap();
    assert_eq!(old.join().unwrap(), ["observe", "retire"]);
    assert_eq!(world.file("files").await, "100\n");
    world.client.stop(fence(5), world::GRACE).await.unwrap();
    assert!(pid(&started) != 0);
    world.client.retire().await.unwrap();
    let socket = world.dir().join("keeper.sock");
    world::until("the keeper to be gone", || (!socket.exists()).then_some(())).await;

    // Also when nobody could tell that its program is another one.
    let old = old_keeper(&world, false);
    of("/proc/self/exe").start(&limited).await.unwrap();
    assert_eq!(old.join().unwrap(), ["observe", "start_in_manner", "retire"]);
}

#[tokio::test]
async fn a_damaged_record_is_refused_with_its_name() {
    let world = World::new();
    world.client.observe().await.unwrap();
    world.client.shut_down(world::GRACE).await.unwrap();
    let record = world.dir().join("record");
    let whole = fs::read(&record).unwrap();
    fs::write(&record, &whole[..whole.len() - 9]).unwrap();
    let refused = world.client.observe().await.unwrap_err();
    let said = Chain(&refused).to_string();
    assert!(said.contains(&format!("{}: is cut off", record.display())), "{said}");
    fs::write(&record, whole).unwrap();
    world.client.observe().await.unwrap();
}

#[tokio::test]
async fn a_directory_has_one_keeper() {
    let world = World::new();
    let clients = (0..4).map(|_| world::client(world.root()));
    let asked: Vec<_> = clients.map(|client| tokio::spawn(async move { client.observe().await })).collect();
    for observed in asked {
        observed.await.unwrap().unwrap();
    }
    world::until("all keepers but one to give up", || (world.keepers().len() == 1).then_some(())).await;
    let keeper = world.keeper();
    let options = world::options(&world.dir());
    let second = Command::new(&options.keeper_command[2])
        .args(&options.keeper_command[3..])
        .env(KEEPER_DIR, world.dir())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("another keeper holds"), "{said}");
    assert_eq!(world.keeper(), keeper);
}

#[tokio::test]
async fn a_directory_may_have_any_name_and_is_nobody_elses() {
    let world = World::new();
    let dir = world.root().join("a-long-name-".repeat(15)).join("another-long-name-".repeat(10));
    let mut options = world::options(&dir);
    options.service = "long".parse().unwrap();
    let client = KeeperClient::new(options);
    let serve = world.script("serve", "exec sleep 1000");
    let started = client.start(&world.launch(5, "a", &serve)).await.unwrap();
    assert_eq!(pid(&client.observe().await.unwrap()), pid(&started));
    for (name, wanted) in
        [("", 0o700), ("keeper.sock", 0o600), ("record", 0o600), ("lock", 0o600), ("logs", 0o700)]
    {
        let mode = fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, wanted, "{name}: {mode:o}");
    }
    client.stop(fence(5), world::GRACE).await.unwrap();
}

#[tokio::test]
async fn a_keeper_that_cannot_be_run_is_said_at_once() {
    let world = World::new();
    for (command, why) in
        [("/nowhere/keeper", "run /nowhere/keeper"), ("false", "the keeper ended (exit status: 1)")]
    {
        let mut options = world::options(&world.dir());
        options.keeper_command = vec![command.into()];
        let said = Chain(&KeeperClient::new(options).observe().await.unwrap_err()).to_string();
        assert!(said.starts_with("observe through the keeper of web: ") && said.contains(why), "{said}");
    }
}
