//! A process that is killed while it commits loses nothing that it acknowledged.

mod common;

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use common::{Order, PATIENCE, Tally, WITHIN, id, until};
use raft::{Compaction, Node, Options, Role};
use rand::RngExt as _;
use tempfile::TempDir;

/// Where the child finds its directory. Without it, it is not a child.
const DIRECTORY: &str = "RAFT_KILL_DIRECTORY";
const ROUNDS: usize = 10;

async fn open(dir: &Path) -> Node<Tally> {
    let mut options = Options::new(id("a"), "blue".parse().unwrap(), dir.to_owned());
    // Often, so that some kills hit a snapshot or a purge.
    options.compaction = Compaction { every: 25, keep: 5 };
    let node = Node::open(options).await.unwrap();
    if !node.is_initialised().await.unwrap() {
        node.bootstrap(BTreeMap::from([(id("a"), "127.0.0.1:9".parse().unwrap())])).await.unwrap();
    }
    until(node.standing(), "the only node leads", |now| now.role == Role::Leader).await;
    node
}

/// Commits until it is killed, and prints the sum after each commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of the test below, which starts it"]
async fn child_that_commits() {
    let dir = env::var_os(DIRECTORY).expect("started by the test below");
    let node = open(Path::new(&dir)).await;
    loop {
        let (_, sum) = node.propose(Order::Add(1), WITHIN).await.unwrap();
        writeln!(std::io::stdout(), "sum {sum}").unwrap();
    }
}

/// Kills its process when dropped, so that a test that fails leaves none behind.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts a child, kills it after so many acknowledgements, and returns the last one that it printed.
fn run_and_kill(dir: &Path, acknowledgements: usize) -> u64 {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child_that_commits", "--ignored", "--nocapture"]).env(DIRECTORY, dir);
    let mut victim = Victim(command.stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(victim.0.stdout.take().unwrap()).lines();
    let mut sums = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("sum ")?.parse().ok());
    let seen = sums.by_ref().take(acknowledgements).last().expect("the child acknowledged nothing");
    victim.0.kill().unwrap();
    sums.last().unwrap_or(seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_commit_is_lost_to_sigkill() {
    let dir = TempDir::new().unwrap();
    let mut before = 0;
    for round in 0..ROUNDS {
        let acknowledgements = rand::rng().random_range(1..120);
        let path = dir.path().to_owned();
        let killed = tokio::task::spawn_blocking(move || run_and_kill(&path, acknowledgements));
        let acknowledged = tokio::time::timeout(PATIENCE, killed).await.expect("the child hangs").unwrap();
        assert!(acknowledged > before, "round {round} started from an older state");

        let node = open(dir.path()).await;
        assert!(node.confirm_leader(WITHIN).await);
        let state = node.state().borrow().clone();
        assert!(state.sum >= acknowledged, "round {round}: {acknowledged} acknowledged, {} found", state.sum);
        assert_eq!(state.sum, state.orders, "round {round}: a commit was applied twice");
        before = state.sum;
        node.shutdown().await;
    }
}
