//! Several instances with real keepers, and agents that die between two of their calls.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use agent::instances::{Count, Supervisors, address_of, dir_of};
use model::{Fence, Incarnation, Revision};
use ports::{
    Supervisor,
    supervisor::{Exit, Launch, Manner, Observation, Process},
};
use rustix::process::{Pid, Signal, kill_process};
use supervisor::KeeperClient;
use tempfile::TempDir;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(10);

/// A directory with keepers in it, and all that they run. Everything of it is killed in the end.
struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn keeper(&self, number: usize) -> KeeperClient {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_deployinatord"));
        let dir = dir_of(self.path(), number);
        let command = [program.clone().into_os_string(), "keeper".into(), "--dir".into(), dir.clone().into()];
        KeeperClient::new(supervisor::Options {
            dir,
            keeper_command: command.into(),
            otherwise: None,
            program: Some(program),
            service: "web".parse().unwrap(),
            log_limit_bytes: 1 << 20,
            open_files: None,
        })
    }

    /// What an agent has that is started now.
    fn agent(&self, wanted: usize) -> Supervisors<KeeperClient> {
        let count = Count::open(self.path(), wanted).unwrap();
        Supervisors::new(|number| self.keeper(number), count, 8080)
    }

    /// A service that writes down its port and number, and stays. A shell that runs it is found by its script's path.
    fn launch(&self, revision: u64, release: &str) -> Launch {
        let program = self.path().join(format!("serve-{release}"));
        let script =
            "#!/bin/sh\necho \"$DEPLOYINATOR_INSTANCE at $PORT\" >> \"$SAID\"\nwhile :; do sleep 0.1; done\n";
        if !program.exists() {
            fs::write(&program, script).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Launch {
            fence: fence(revision),
            release: release.parse().unwrap(),
            program,
            environment: BTreeMap::from([
                ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
                ("SAID".to_owned(), self.path().join(format!("said-{release}")).display().to_string()),
            ]),
            working_directory: self.path().to_owned(),
            manner: Manner::default(),
        }
    }

    /// What the instances of a release have said, once so many have.
    async fn said(&self, release: &str, count: usize) -> BTreeSet<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(self.path().join(format!("said-{release}"))).unwrap_or_default();
            let lines: BTreeSet<String> = text.lines().map(str::to_owned).collect();
            if lines.len() == count {
                return lines;
            }
            assert!(
                Instant::now() < deadline,
                "waited {PATIENCE:?} until {count} of {release} said: {lines:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The processes of this world: keepers and services.
    fn processes(&self) -> Vec<Pid> {
        let dir = self.path().as_os_str().as_encoded_bytes();
        let pids =
            fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let of_world = |pid: &i32| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            arguments.windows(dir.len()).any(|window| window == dir)
        };
        pids.filter(of_world).filter_map(Pid::from_raw).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Keepers first: they would start services again. A second look finds what was started between.
        for _ in 0..3 {
            self.processes().into_iter().for_each(|pid| {
                let _ = kill_process(pid, Signal::KILL);
            });
        }
    }
}

fn fence(revision: u64) -> Fence {
    Fence { incarnation: Incarnation(1), revision: Revision(revision) }
}

fn pids(seen: &Observation) -> Vec<u32> {
    let pid = |process: &Process| match process {
        Process::Running { pid, .. } => Some(*pid),
        Process::Stopped | Process::Exited { .. } => None,
    };
    seen.instances.iter().filter_map(pid).collect()
}

fn runs(seen: &Observation) -> bool {
    matches!(seen.process, Process::Running { .. })
}

#[tokio::test]
async fn they_outlive_their_agent_and_what_was_broken_off_is_gone_on_with() {
    let world = World::new();
    let seen = world.agent(3).start(&world.launch(1, "a")).await.unwrap();
    let first = pids(&seen);
    assert_eq!(first.len(), 3, "{seen:?}");
    let said: BTreeSet<String> = (0..3).map(|n| format!("{n} at {}", 8080 + n)).collect();
    assert_eq!(world.said("a", 3).await, said);

    // An agent died after the first of three stops; another one sees a service that runs, and stops it.
    world.keeper(0).stop(fence(2), GRACE).await.unwrap();
    let agent = world.agent(3);
    let seen = agent.observe().await.unwrap();
    assert!(runs(&seen) && pids(&seen) == first[1..], "{seen:?}");
    agent.start(&world.launch(2, "b")).await.expect_err("nothing is started beside what runs");
    let seen = agent.stop(fence(2), GRACE).await.unwrap();
    assert_eq!((seen.process, pids(&agent.observe().await.unwrap())), (Process::Stopped, vec![]));

    // An agent died after the second of three starts; another one sees one that is not over, and completes it.
    for number in [0, 2] {
        let mut launch = world.launch(2, "b");
        launch
            .environment
            .insert("PORT".into(), address_of(([127, 0, 0, 1], 8080).into(), number).port().to_string());
        launch.environment.insert("DEPLOYINATOR_INSTANCE".into(), number.to_string());
        world.keeper(number).start(&launch).await.unwrap();
    }
    let agent = world.agent(3);
    let seen = agent.observe().await.unwrap();
    let two = pids(&seen);
    assert!(!runs(&seen) && two.len() == 2, "{seen:?}");
    let seen = agent.start(&world.launch(2, "b")).await.unwrap();
    assert!(runs(&seen) && two.iter().all(|pid| pids(&seen).contains(pid)), "{seen:?}");
    assert_eq!(world.said("b", 3).await, said, "each was started once, at its own port");
}

#[tokio::test]
async fn one_that_dies_is_told_of_and_kept_running_alone() {
    let world = World::new();
    let agent = world.agent(2);
    let seen = agent.start(&world.launch(1, "a")).await.unwrap();
    let before = pids(&seen);
    let pid = Pid::from_raw(before[1].cast_signed()).unwrap();
    let change = seen.change;
    kill_process(pid, Signal::KILL).unwrap();
    let wait = tokio::time::timeout(PATIENCE, agent.changed(change));
    let seen = wait.await.expect("its end is told").unwrap();
    assert!(matches!(seen.process, Process::Exited { exit: Exit::Signal(9), .. }), "{seen:?}");
    assert_eq!(pids(&seen), before[..1]);

    let mut seen = agent.keep_running(fence(1), true).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !runs(&seen) {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} until it runs again: {seen:?}");
        seen = agent.changed(seen.change).await.unwrap();
    }
    assert!(matches!(seen.process, Process::Running { restarts: 1, .. }), "{seen:?}");
    assert!(pids(&seen)[0] == before[0] && pids(&seen)[1] != before[1], "{seen:?}");
}

#[tokio::test]
async fn fewer_are_watched_and_stopped_before_fewer_are_started() {
    let world = World::new();
    let three = pids(&world.agent(3).start(&world.launch(1, "a")).await.unwrap());
    let agent = world.agent(1);
    assert_eq!(pids(&agent.observe().await.unwrap()), three, "another number disturbs nothing");
    agent.stop(fence(2), GRACE).await.unwrap();
    let seen = agent.start(&world.launch(2, "b")).await.unwrap();
    assert!(runs(&seen) && seen.instances.is_empty(), "{seen:?}");
    let is_gone = |pid: &u32| !Path::new(&format!("/proc/{pid}")).exists();
    assert!(three.iter().all(is_gone), "none of those is left");
    world.said("b", 1).await;
    let services = world.processes().into_iter().filter(|pid| {
        let arguments = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
        arguments.windows(7).any(|window| window == b"serve-b")
    });
    assert_eq!(services.count(), 1);
}
