//! What bare consensus costs here: three nodes of our own Raft, each a process with a disk file, around a machine that does nothing.

pub(crate) mod node;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Instant, sleep},
};

use crate::stats::Samples;

const NAMES: [&str; 3] = ["a", "b", "c"];
/// Port of every node; each has an address of its own.
const PORT: u16 = 7300;
/// Longest wait for a leader.
const PATIENCE: Duration = Duration::from_secs(30);

/// A bare group. Dropping it kills its processes.
pub(crate) struct Floor {
    nodes: Vec<Bare>,
}

struct Bare {
    _child: Child,
    asks: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Floor {
    /// Three nodes that have formed a group, with their files below `dir`.
    pub(crate) async fn formed(dir: &Path) -> Result<Self> {
        let net: [u8; 2] = [rand_octet(), rand_octet()];
        let address =
            |number: u8| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, net[0], net[1], number)), PORT);
        let members: Vec<String> =
            NAMES.iter().zip(1..).map(|(name, number)| format!("{name}={}", address(number))).collect();
        let me = std::env::current_exe().context("find this program")?;
        let mut nodes = Vec::new();
        for name in NAMES {
            let mut command = Command::new(&me);
            command.arg("node").args(["--name", name, "--members", &members.join(","), "--dir"]);
            command.arg(dir.join(format!("floor-{name}"))).kill_on_drop(true);
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("start a node")?;
            let (asks, answers) = (child.stdin.take(), child.stdout.take());
            let answers = BufReader::new(answers.context("a node's stdout")?).lines();
            nodes.push(Bare { _child: child, asks: asks.context("a node's stdin")?, answers });
        }
        let mut floor = Self { nodes };
        floor.commits(1, 1).await?;
        Ok(floor)
    }

    /// `times` runs of `commits` commits, one after the other, at the leader.
    pub(crate) async fn commits(&mut self, times: usize, commits: usize) -> Result<Samples> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for node in &mut self.nodes {
                if let Some(samples) = node.commits(times, commits).await? {
                    return Ok(samples);
                }
            }
            ensure!(Instant::now() < deadline, "waited {PATIENCE:?} until a bare node leads");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Bare {
    async fn commits(&mut self, times: usize, commits: usize) -> Result<Option<Samples>> {
        self.asks.write_all(format!("{times} {commits}\n").as_bytes()).await.context("ask a bare node")?;
        let answer = self.answers.next_line().await.context("hear a bare node")?;
        let Some(answer) = answer else { bail!("a bare node ended") };
        if answer == node::FOLLOWS {
            return Ok(None);
        }
        let micros: Vec<u64> =
            serde_json::from_str(&answer).with_context(|| format!("a bare node said {answer}"))?;
        Ok(Some(micros.into_iter().map(Duration::from_micros).collect()))
    }
}

/// A part of a loopback address that other runs hardly draw.
pub(crate) fn rand_octet() -> u8 {
    let drawn = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
    u8::try_from(drawn % 250 + 1).unwrap_or(1)
}
