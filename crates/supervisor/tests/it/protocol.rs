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
