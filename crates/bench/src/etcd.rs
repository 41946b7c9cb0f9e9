//! A peer to compare with: three members of etcd, and its lock, handed round by clients that wait for it.

mod call;

use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep};

use self::call::Client;
use crate::stats::Samples;

const MEMBERS: u8 = 3;
/// Longest wait until the members have formed a group.
const PATIENCE: Duration = Duration::from_secs(30);
/// Before the lock is given back, so that the next client waits for it already, and its member looks out for the release: it takes a
/// new watch into account only every 100 ms.
const SETTLE: Duration = Duration::from_millis(150);

/// A group of etcd with one lock, and a client at each member. Dropping it kills the members.
pub(crate) struct Etcd {
    members: Vec<Child>,
    clients: Vec<Client>,
    holder: usize,
    /// What the holder gives back.
    key: Vec<u8>,
}

/// The program, where it is installed.
pub(crate) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join("etcd")).find(|program| program.is_file())
}

/// What the program calls itself.
pub(crate) fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or_default().replace("etcd Version: ", "etcd ")
}

impl Etcd {
    /// A group that has formed, with its files below `dir`; the client at the first member has the lock.
    pub(crate) async fn formed(program: &Path, dir: &Path) -> Result<Self> {
        let net = [crate::floor::rand_octet(), crate::floor::rand_octet()];
        let ip = |number: u8| IpAddr::V4(Ipv4Addr::new(127, net[0], net[1], number));
        let all: Vec<String> =
            (1..=MEMBERS).map(|number| format!("m{number}=http://{}:2380", ip(number))).collect();
        let mut etcd = Self { members: Vec::new(), clients: Vec::new(), holder: 0, key: Vec::new() };
        for number in 1..=MEMBERS {
            let (peers, callers) =
                (format!("http://{}:2380", ip(number)), format!("http://{}:2379", ip(number)));
            let mut command = Command::new(program);
            command.args(["--name", &format!("m{number}"), "--initial-cluster-state", "new"]);
            command.args(["--initial-cluster", &all.join(","), "--log-level", "error", "--data-dir"]);
            command.arg(dir.join(format!("etcd-{number}")));
            command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
            command.args(["--listen-client-urls", &callers, "--advertise-client-urls", &callers]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            etcd.members.push(command.spawn().with_context(|| format!("start {}", program.display()))?);
        }
        for number in 1..=MEMBERS {
            etcd.clients.push(connect(&format!("http://{}:2379", ip(number))).await?);
        }
        etcd.key = etcd.clients[0].lock().await?;
        Ok(etcd)
    }

    /// From the release of the lock by one client to its grant to the one that waits for it at the next member.
    pub(crate) async fn handoffs(&mut self, times: usize) -> Result<Samples> {
        let mut samples = Samples::default();
        for _ in 0..times {
            let next = (self.holder + 1) % self.clients.len();
            let mut waiting = self.clients[next].clone();
            let waiting = tokio::spawn(async move { waiting.lock().await.map(|key| (key, Instant::now())) });
            sleep(SETTLE).await;
            let began = Instant::now();
            self.clients[self.holder].unlock(&self.key).await?;
            let (key, granted) = waiting.await.context("wait for the lock")??;
            samples.push(granted.saturating_duration_since(began));
            (self.holder, self.key) = (next, key);
        }
        Ok(samples)
    }
}

/// A client with a lease, once the member gives one: it has a leader then.
async fn connect(url: &str) -> Result<Client> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Client::connect(url).await {
            Ok(client) => return Ok(client),
            Err(error) => {
                ensure!(Instant::now() < deadline, "waited {PATIENCE:?} for etcd at {url}: {error:#}");
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in &mut self.members {
            // One that ended by itself is as wanted.
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}
