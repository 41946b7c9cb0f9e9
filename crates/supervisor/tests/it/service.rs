//! What a service gets, and how it ends.

use std::{ffi::OsString, fs, os::unix::fs::PermissionsExt, time::Instant};

use ports::{
    Supervisor,
    fault::Chain,
    supervisor::{Exit, Process, SupervisorError},
};
use supervisor::KeeperClient;

use crate::world::{self, GRACE, World, fence, pid, until};

#[tokio::test]
async fn an_exit_is_seen_at_once_with_its_code_and_its_last_words() {
    let world = World::new();
    let serve = world.script("serve", "echo out\necho err >&2\nexit 7");
    let before = Instant::now();
    world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    let ended = world.process("the exit", |process| matches!(process, Process::Exited { .. })).await;
    assert!(matches!(ended.process, Process::Exited { exit: Exit::Code(7), .. }), "{ended:?}");
    assert!(before.elapsed() < GRACE / 2, "it took {:?}", before.elapsed());
    assert_eq!(world.client.tail(fence(5), false, 100).await.unwrap(), "out\nerr\n");
}

#[tokio::test]
async fn a_service_gets_what_was_said_and_inherits_nothing() {
    let world = World::new();
    let body = "env | grep -v -e ^_= -e ^PWD= -e ^SHLVL= -e ^OLDPWD= | sort > env
pwd > pwd
umask > umask
cut -d' ' -f1,5 /proc/$$/stat | tr ')' ' ' > group
readlink /proc/$$/fd/0 > stdin
exec sleep 1000";
    let serve = world.script("serve", body);
    let mut launch = world.launch(5, "a", &serve);
    launch.environment.insert("PORT".to_owned(), "80 80=x".to_owned());
    // A caller that holds a file open which exec does not close.
    let mut options = world::options(&world.dir());
    let held = ["sh", "-c", "exec 9</dev/null; exec \"$@\"", "sh"].map(OsString::from);
    options.keeper_command.splice(0..0, held);
    let now = KeeperClient::new(options).start(&launch).await.unwrap();
    world.file("stdin").await;
    let read = |name| fs::read_to_string(world.root().join(name)).unwrap();
    let wanted: String = launch.environment.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    assert_eq!(read("env"), wanted);
    assert_eq!(read("pwd").trim(), world.root().to_str().unwrap());
    assert_eq!(read("umask").trim(), "0022");
    assert_eq!(read("stdin"), "/dev/null\n");
    assert_eq!(read("group").trim(), format!("{0} {0}", pid(&now)));
    let fds = || {
        let open = fs::read_dir(format!("/proc/{}/fd", pid(&now))).unwrap();
        let mut fds: Vec<_> = open.map(|fd| fd.unwrap().file_name().into_string().unwrap()).collect();
        fds.sort();
        fds
    };
    // The shell holds its script open until it gives way to sleep.
    until("the shell to exec", || {
        let name = fs::read_to_string(format!("/proc/{}/comm", pid(&now))).unwrap();
        (name == "sleep\n").then_some(())
    })
    .await;
    assert_eq!(fds(), ["0", "1", "2"]);
}

#[tokio::test]
async fn every_way_not_to_exec_is_said_at_once() {
    let world = World::new();
    let plain = world.root().join("plain");
    fs::write(&plain, "#!/bin/sh\n").unwrap();
    let interpreter = world.root().join("interpreter");
    fs::write(&interpreter, "#!/nowhere/sh\n").unwrap();
    let garbage = world.root().join("garbage");
    fs::write(&garbage, [0x7f, b'E', b'L', b'F', 0, 0]).unwrap();
    for path in [&interpreter, &garbage] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let missing = world.root().join("missing");
    for (program, why) in
        [(missing, "No such file"), (plain, "denied"), (interpreter, "No such file"), (garbage, "format")]
    {
        let refused = world.client.start(&world.launch(5, "a", &program)).await.unwrap_err();
        assert!(matches!(refused, SupervisorError::Exec { .. }), "{refused:?}");
        let said = Chain(&refused).to_string();
        assert!(said.starts_with(&format!("start {}: ", program.display())) && said.contains(why), "{said}");
    }
    assert_eq!(world.client.observe().await.unwrap().process, Process::Stopped);
}

#[tokio::test]
async fn a_crash_loop_restarts_ever_more_slowly_and_can_be_stopped() {
    let world = World::new();
    let serve = world.script("serve", "date +%s%N >> starts\nexit 1");
    world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    world.client.keep_running(fence(5), true).await.unwrap();
    world.process("three restarts", |process| matches!(process, Process::Exited { restarts: 3.., .. })).await;
    let stopped = world.client.stop(fence(5), GRACE).await.unwrap();
    assert_eq!(stopped.process, Process::Stopped);
    let starts: Vec<u64> = world.file("starts").await.lines().map(|line| line.parse().unwrap()).collect();
    let pauses: Vec<u64> = starts.windows(2).map(|pair| (pair[1] - pair[0]) / 1_000_000).collect();
    for (pause, least) in pauses.iter().zip([100, 200, 400]) {
        assert!(*pause >= least, "{pauses:?}");
    }
}

#[tokio::test]
async fn the_keeper_is_small() {
    let world = World::new();
    let serve = world.script("serve", "exec sleep 1000");
    world.client.start(&world.launch(5, "a", &serve)).await.unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", world.keeper())).unwrap();
    let kib = |key: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    };
    // What it allocates. The pages of its program are the system's, and come and go.
    assert!(kib("RssAnon") < 5 << 10, "{status}");
}
