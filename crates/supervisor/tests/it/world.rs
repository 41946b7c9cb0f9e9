//! A directory with a keeper in it, and programs to run. Everything that was started in it dies with it.

use std::{
    ffi::OsString,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use model::{Fence, Incarnation, Revision};
use ports::{
    Supervisor,
    supervisor::{Launch, Manner, Observation, Process},
};
use rustix::process::{Pid, Signal};
use supervisor::{KeeperClient, Options};
use tempfile::TempDir;

/// Names the directory of a keeper to the process that is to be one.
pub(crate) const KEEPER_DIR: &str = "SUPERVISOR_TEST_KEEPER_DIR";
/// Names the world of an agent to the process that is to be one.
pub(crate) const AGENT_DIR: &str = "SUPERVISOR_TEST_AGENT_DIR";
/// By this every service of a world is found, wherever it fled.
const WORLD: &str = "SUPERVISOR_TEST_WORLD";
/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(30);
pub(crate) const GRACE: Duration = Duration::from_secs(20);
pub(crate) const LOG_LIMIT_BYTES: u64 = 1 << 20;

pub(crate) struct World {
    root: TempDir,
    pub(crate) client: KeeperClient,
}

impl World {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let client = client(root.path());
        Self { root, client }
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// The keeper's directory.
    pub(crate) fn dir(&self) -> PathBuf {
        keeper_dir(self.root())
    }

    /// A shell script to run.
    pub(crate) fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.root().join(name);
        let text = format!("#!/bin/sh\n{body}\n");
        // A shell reads its script while it runs: one that is there already is not written anew.
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            return path;
        }
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A launch under fence 1.`revision`.
    pub(crate) fn launch(&self, revision: u64, release: &str, program: &Path) -> Launch {
        launch(self.root(), revision, release, program)
    }

    /// Waits until the service is as wanted.
    pub(crate) async fn process(&self, what: &str, wanted: impl Fn(&Process) -> bool) -> Observation {
        self.observation(what, |now| wanted(&now.process)).await
    }

    /// Waits until what is observed is as wanted.
    pub(crate) async fn observation(&self, what: &str, wanted: impl Fn(&Observation) -> bool) -> Observation {
        let mut now = self.client.observe().await.unwrap();
        let wait = async {
            while !wanted(&now) {
                now = self.client.changed(now.change).await.unwrap();
            }
        };
        let waited = tokio::time::timeout(LIMIT, wait).await;
        assert!(waited.is_ok(), "waited {LIMIT:?} for {what}; last seen: {now:?}");
        now
    }

    /// Waits until a program has written this file, and reads it.
    pub(crate) async fn file(&self, name: &str) -> String {
        let path = self.root().join(name);
        until(&format!("{} to be written", path.display()), || {
            fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n'))
        })
        .await
    }

    /// The keeper's pid.
    pub(crate) fn keeper(&self) -> u32 {
        let keepers = self.keepers();
        assert_eq!(keepers.len(), 1, "keepers of {}: {keepers:?}", self.dir().display());
        keepers[0]
    }

    /// The pids of all keepers, those among them that will give up.
    pub(crate) fn keepers(&self) -> Vec<u32> {
        with_mark(&format!("{KEEPER_DIR}={}", self.dir().display()))
    }

    /// Kills the keeper, and waits until it is gone.
    pub(crate) async fn kill_keeper(&self, signal: Signal) {
        let keeper = self.keeper();
        kill(keeper, signal);
        until_gone(keeper).await;
    }

    /// All that runs as a program of this world.
    pub(crate) fn programs(&self) -> Vec<u32> {
        with_mark(&format!("{WORLD}={}", self.root().display()))
    }

    /// Waits until so many programs of this world have become `sleep`, which is when a shell has done what it should.
    pub(crate) async fn sleepers(&self, count: usize) -> Vec<u32> {
        let asleep =
            |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n");
        until(&format!("{count} sleepers"), || {
            let found: Vec<u32> = self.programs().into_iter().filter(asleep).collect();
            (found.len() == count).then_some(found)
        })
        .await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let root = self.root().display();
        let marks =
            [format!("{KEEPER_DIR}={root}/"), format!("{AGENT_DIR}={root}"), format!("{WORLD}={root}")];
        let until = Instant::now() + LIMIT;
        let mut empty_looks = 0;
        // A process in mid-exec has no environment for a moment, so one empty look proves nothing.
        while empty_looks < 3 && Instant::now() < until {
            let left: Vec<u32> = marks.iter().flat_map(|mark| with_mark(mark)).collect();
            empty_looks = if left.is_empty() { empty_looks + 1 } else { 0 };
            left.into_iter().for_each(|pid| kill(pid, Signal::KILL));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Says that a test does nothing here, and why, past whatever captures a test's output. With `CI=true` that is a failure where this machine `could`.
pub(crate) fn skipped(why: &str, could: bool) {
    let must = could && std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!must, "skipped with CI=true: {why}");
    let of = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "skipped: {of}: {why}");
}

pub(crate) fn fence(revision: u64) -> Fence {
    Fence { incarnation: Incarnation(1), revision: Revision(revision) }
}

/// Another client of the keeper of the world in `root`.
pub(crate) fn client(root: &Path) -> KeeperClient {
    KeeperClient::new(options(&keeper_dir(root)))
}

pub(crate) fn options(dir: &Path) -> Options {
    let mut mark = OsString::from(format!("{KEEPER_DIR}="));
    mark.push(dir);
    let this = std::env::current_exe().unwrap().into_os_string();
    let words = ["keeper_process", "--exact", "--ignored", "--nocapture"].map(OsString::from);
    Options {
        dir: dir.to_owned(),
        keeper_command: [OsString::from("env"), mark, this].into_iter().chain(words).collect(),
        otherwise: None,
        program: None,
        service: "web".parse().unwrap(),
        log_limit_bytes: LOG_LIMIT_BYTES,
        open_files: None,
    }
}

fn keeper_dir(root: &Path) -> PathBuf {
    root.join("web")
}

pub(crate) fn launch(root: &Path, revision: u64, release: &str, program: &Path) -> Launch {
    let path = std::env::var("PATH").unwrap();
    Launch {
        fence: fence(revision),
        release: release.parse().unwrap(),
        program: program.to_owned(),
        environment: [("PATH".to_owned(), path), (WORLD.to_owned(), root.display().to_string())].into(),
        working_directory: root.to_owned(),
        manner: Manner::default(),
    }
}

/// The pid of a process that must run.
pub(crate) fn pid(now: &Observation) -> u32 {
    match now.process {
        Process::Running { pid, .. } => pid,
        ref other => panic!("it does not run: {other:?}"),
    }
}

/// Waits for a condition outside of any keeper.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {LIMIT:?} for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn until_gone(pid: u32) {
    until(&format!("process {pid} to be gone"), || (!lives(pid)).then_some(())).await;
}

/// Whether the process lives; a zombie does not.
pub(crate) fn lives(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])))
}

pub(crate) fn kill(pid: u32, signal: Signal) {
    let _ = rustix::process::kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal);
}

/// Living processes with this at the start of an environment variable.
fn with_mark(mark: &str) -> Vec<u32> {
    let marked = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|pair| pair.starts_with(mark.as_bytes()))
    };
    let pids =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(marked).filter(|&pid| lives(pid)).collect()
}
