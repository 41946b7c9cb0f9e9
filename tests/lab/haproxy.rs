//! A second load balancer before the same hosts: real HAProxy, which is told all the time what the group's targets are. What is wrong with
//! fakeaws' own data plane, or is only forgiven by it, it shows.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use fakeaws::{Control, TargetView};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UnixStream},
    process::{Child, Command},
    task::AbortHandle,
    time::{Instant, sleep},
};

use crate::net::{US, address};

/// Most hosts that it knows.
const HOSTS: u8 = 16;
/// How long it takes until it is told, as with an ALB.
const LAG: Duration = Duration::from_millis(50);
/// Longest wait for it to come up.
const START: Duration = Duration::from_secs(10);

/// What it is told about a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// It gets requests.
    Ready(u16),
    /// It gets no more, and finishes what it has.
    Drain(u16),
    /// It is no target: whatever it has is cut.
    Gone,
}

/// HAProxy before the targets of a group. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Haproxy {
    /// Where requests go.
    pub(crate) front: SocketAddr,
    telling: AbortHandle,
    _process: Child,
    _dir: tempfile::TempDir,
}

impl Haproxy {
    /// Starts one that knows the group's targets.
    ///
    /// # Errors
    /// It is missing, or does not come up.
    pub(crate) async fn start(cloud: Control, group: &str) -> Result<Self> {
        let free = TcpListener::bind((US, 0)).await.context("find a port for HAProxy")?;
        let front = free.local_addr().context("its address")?;
        drop(free);
        let dir = tempfile::tempdir().context("make a directory for HAProxy")?;
        let (file, socket) = (dir.path().join("haproxy.cfg"), dir.path().join("socket"));
        fs::write(&file, configuration(&socket, front)).context("configure HAProxy")?;
        let mut command = Command::new("haproxy");
        command.args(["-db", "-q", "-f"]).arg(&file).stdin(Stdio::null()).kill_on_drop(true);
        let process = command.spawn().context("start HAProxy")?;
        let mut teller = Teller { cloud, group: group.to_owned(), socket, told: BTreeMap::new() };
        let deadline = Instant::now() + START;
        while let Err(error) = teller.tell().await {
            ensure!(Instant::now() < deadline, "HAProxy does not come up: {error:#}");
            sleep(LAG).await;
        }
        let telling = tokio::spawn(async move {
            loop {
                sleep(LAG).await;
                if let Err(error) = teller.tell().await {
                    eprintln!("tell HAProxy: {error:#}");
                }
            }
        });
        Ok(Self { front, telling: telling.abort_handle(), _process: process, _dir: dir })
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        self.telling.abort();
    }
}

/// It hides nothing: no request is tried twice or given to another host.
fn configuration(socket: &Path, front: SocketAddr) -> String {
    format!(
        "global
    stats socket {} level admin
    maxconn 4000
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    retries 0
    no option redispatch
    http-reuse always
frontend front
    bind {front}
    default_backend group
backend group
    balance roundrobin
    server-template h 1-{HOSTS} 0.0.0.0:0 disabled
",
        socket.display()
    )
}

/// Tells HAProxy what has changed about the targets.
struct Teller {
    cloud: Control,
    group: String,
    socket: PathBuf,
    told: BTreeMap<u8, Told>,
}

impl Teller {
    async fn tell(&mut self) -> Result<()> {
        let targets = self.cloud.targets(&self.group).await.context("ask for the targets")?;
        for number in 1..=HOSTS {
            let wanted = standing(&targets, number);
            if self.told.get(&number).copied().unwrap_or(Told::Gone) != wanted {
                self.say(&words(number, wanted)).await?;
                self.told.insert(number, wanted);
            }
        }
        Ok(())
    }

    async fn say(&self, words: &str) -> Result<()> {
        let mut stream = UnixStream::connect(&self.socket).await.context("connect to HAProxy")?;
        stream.write_all(format!("{words}\n").as_bytes()).await.context("speak to HAProxy")?;
        let mut said = String::new();
        stream.read_to_string(&mut said).await.context("hear HAProxy")?;
        let bad = ["Unknown", "No such", "Invalid", "Permission", "Can't"];
        ensure!(!bad.iter().any(|word| said.contains(word)), "HAProxy on {words:?}: {}", said.trim());
        Ok(())
    }
}

/// What HAProxy is to do with a host: of several targets of one host, the best counts.
fn standing(targets: &[TargetView], number: u8) -> Told {
    let (instance, ip) = (crate::fleet::instance(number), address(number).to_string());
    let mut its = targets.iter().filter(|target| target.id == instance || target.id == ip);
    let Some(target) = its.next() else { return Told::Gone };
    match target.state.as_str() {
        "healthy" => Told::Ready(target.port),
        "unused" => Told::Gone,
        _ => Told::Drain(target.port),
    }
}

fn words(number: u8, wanted: Told) -> String {
    let (server, address): (String, Ipv4Addr) = (format!("group/h{number}"), address(number));
    match wanted {
        Told::Ready(port) => {
            format!("set server {server} addr {address} port {port}; set server {server} state ready")
        }
        Told::Drain(port) => {
            format!("set server {server} addr {address} port {port}; set server {server} state drain")
        }
        Told::Gone => format!("set server {server} state maint; shutdown sessions server {server}"),
    }
}
