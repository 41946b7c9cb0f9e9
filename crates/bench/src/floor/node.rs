//! One bare node. It is asked on its standard input, and answers on its standard output.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Args;
use model::Revision;
use raft::{Machine, Node, NodeId, Role};
use serde::{Deserialize, Serialize};
use tonic::transport::{Server, server::TcpIncoming};

/// The answer of a node that does not lead.
pub(super) const FOLLOWS: &str = "follows";
/// Longest wait for one commit.
const WITHIN: Duration = Duration::from_secs(10);
/// What each command carries: about as much as a report or a plan does.
const PAYLOAD_BYTES: usize = 400;

/// How a bare node is started.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Its name among the members.
    #[arg(long)]
    name: String,
    /// All members, as NAME=ADDRESS.
    #[arg(long, value_delimiter = ',')]
    members: Vec<String>,
    /// Where it keeps its file.
    #[arg(long)]
    dir: PathBuf,
}

/// A machine that does nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Nothing;

impl Machine for Nothing {
    type Command = String;
    type Reply = ();
    fn apply(&mut self, _: Revision, _: &String) {}
}

/// Runs until its standard input ends.
pub(crate) fn run(options: &Options) -> ExitCode {
    match answer_all(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: node {}: {error:#}", options.name);
            ExitCode::FAILURE
        }
    }
}

fn answer_all(options: &Options) -> Result<()> {
    // As many threads as an agent has.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.context("start")?;
    let node = runtime.block_on(open(options))?;
    for line in std::io::stdin().lines() {
        let line = line.context("read what is asked")?;
        let (times, commits) = line.split_once(' ').context("asked for no TIMES COMMITS")?;
        let (times, commits) = (times.parse()?, commits.parse()?);
        // On a thread of the runtime, where an agent's tasks are too.
        let node = node.clone();
        let answer = runtime.spawn(async move { answer(&node, times, commits).await });
        println!("{}", runtime.block_on(answer)??);
    }
    runtime.block_on(node.halt());
    Ok(())
}

/// Starts the node and its server, and has it form the group with the others.
async fn open(options: &Options) -> Result<Node<Nothing>> {
    let members = options.members.iter().map(|member| {
        let parts = member.split_once('=');
        let (name, address) = parts.with_context(|| format!("member {member} is no NAME=ADDRESS"))?;
        Ok((name.parse::<NodeId>()?, address.parse::<SocketAddr>()?))
    });
    let members: BTreeMap<NodeId, SocketAddr> = members.collect::<Result<_>>()?;
    let name: NodeId = options.name.parse().context("its name")?;
    let address = *members.get(&name).context("it is no member itself")?;
    let node = raft::Options::new(name, "floor".parse().context("the cluster's name")?, options.dir.clone());
    let node = Node::<Nothing>::open(node).await?;
    let incoming = TcpIncoming::bind(address).context("listen")?.with_nodelay(Some(true));
    tokio::spawn(Server::builder().add_service(node.peer_service()).serve_with_incoming(incoming));
    node.bootstrap(members).await?;
    Ok(node)
}

async fn answer(node: &Node<Nothing>, times: usize, commits: usize) -> Result<String> {
    if node.standing().borrow().role != Role::Leader {
        return Ok(FOLLOWS.to_owned());
    }
    let payload = "x".repeat(PAYLOAD_BYTES);
    let mut micros = Vec::new();
    for _ in 0..times {
        let began = Instant::now();
        for _ in 0..commits {
            node.propose(payload.clone(), WITHIN).await?;
        }
        micros.push(u64::try_from(began.elapsed().as_micros())?);
    }
    Ok(serde_json::to_string(&micros)?)
}
