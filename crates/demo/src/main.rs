//! The show: a fleet of real agents on loopback, a balancer, load, and a rollout, watched through the public API.

use std::{
    io::{IsTerminal as _, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use api::v1::{HistoryRequest, StatusResponse, deployinator_client::DeployinatorClient};
use clap::{Parser, ValueEnum};
use demo::{
    cloud::{self, Cloud},
    fleet::{Fleet, Programs, SERVICE, Shape},
    load::{Load, LoadOptions, Totals},
    releases::{self, Bad, Recipe},
    run,
    summary::{self, seconds},
};
use localbalancer::{Options, Server};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

/// Exit code of a show that did not end as it should, whatever the rollout did.
const EXIT_SHOW_FAILED: u8 = 70;

/// A fleet rolls on this machine: real agents, a balancer, load, and a release pushed through the public API.
#[derive(Debug, Parser)]
#[command(name = "cargo demo")]
struct Arguments {
    /// Hosts of the fleet.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=60))]
    hosts: u8,
    /// Hosts that may be out at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=60))]
    max_unavailable: u8,
    /// Release 2 never gets healthy, exits at once, or its migration fails.
    #[arg(long)]
    bad: Option<Bad>,
    /// Kill an agent with SIGKILL in the middle of the rollout, and start it again.
    #[arg(long)]
    kill: Option<Victim>,
    /// Stay up after the rollout, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// In a stand-in for AWS on this machine: the hosts find each other by EC2 tags, and roll behind an ALB.
    #[arg(long)]
    aws: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Victim {
    /// The agent that leads.
    Leader,
    /// The agent of the host that has the slot.
    Holder,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run::to_the_end("demo", EXIT_SHOW_FAILED, show(arguments))
}

/// What is on the stage.
struct Stage {
    dir: tempfile::TempDir,
    programs: Programs,
    front: Front,
    fleet: Arc<Mutex<Fleet>>,
}

/// What sends requests to the fleet.
enum Front {
    Local(Server),
    Cloud(Cloud),
}

impl Front {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Local(balancer) => balancer.data_address(),
            Self::Cloud(cloud) => cloud.front,
        }
    }

    async fn reset_counters(&self) -> Result<()> {
        match self {
            Self::Local(balancer) => balancer.reset_counters(SERVICE),
            Self::Cloud(cloud) => cloud.reset_counters().await?,
        }
        Ok(())
    }

    /// The fewest hosts that were in service at a time since the counters were reset.
    async fn in_service_min(&self) -> Result<u64> {
        Ok(match self {
            Self::Local(balancer) => balancer.counters(SERVICE).in_service_min.into(),
            Self::Cloud(cloud) => cloud.healthy_min().await?.into(),
        })
    }
}

async fn show(arguments: Arguments) -> Result<u8> {
    let stage = set(&arguments).await?;
    let first = stage.release(&Recipe::good("release-1"))?;
    let began = Instant::now();
    stage.push_quietly(&first).await.context("release 1")?;
    say(&format!("release 1 is in service on {} hosts ({})", arguments.hosts, seconds(began.elapsed())));

    stage.front.reset_counters().await?;
    let load = Load::start(LoadOptions::new(stage.front.address()));
    let second = stage.release(&Recipe { bad: arguments.bad, ..Recipe::good("release-2") })?;
    say(&format!("load runs against http://{}; release 2 is pushed now", stage.front.address()));
    println!();
    let killer = arguments.kill.map(|victim| {
        let struck = Arc::new(AtomicBool::new(false));
        (tokio::spawn(kill(stage.fleet.clone(), victim, struck.clone())), struck)
    });
    let began = Instant::now();
    let code = stage.push_live(&second).await?;
    let took = began.elapsed();
    if let Some((killer, struck)) = killer {
        if struck.load(Ordering::Acquire) {
            killer.await.context("kill an agent")??;
        } else {
            killer.abort();
            say("nobody was killed: the rollout ended before any host was touched");
        }
    }
    // What the last host does after its change counts as well.
    sleep(Duration::from_millis(500)).await;
    let totals = load.stop().await;
    stage.sum_up(&totals, took, code).await?;
    if arguments.keep {
        stage.keep().await;
    }
    let failed = totals.failed;
    drop(stage);
    if failed == 0 { Ok(code) } else { bail!("{failed} requests failed") }
}

async fn set(arguments: &Arguments) -> Result<Stage> {
    let dir = tempfile::Builder::new()
        .prefix("deployinator-demo-")
        .tempdir()
        .context("make a directory for the demo")?;
    let programs = Programs::find()?;
    let mut shape = Shape { hosts: arguments.hosts.into(), ..Shape::default() };
    let front = if arguments.aws {
        let cloud = Cloud::start(&cloud::quick()).await?;
        shape.account = Some(cloud.account());
        Front::Cloud(cloud)
    } else {
        let balancer = Server::start(Options::default()).await.context("start the balancer")?;
        shape.balancer = Some(balancer.admin_url());
        Front::Local(balancer)
    };
    let policy = format!(
        "max_unavailable = {}\nsoak = \"1s\"\n\n[deadlines]\nhealthy = \"5s\"\n",
        arguments.max_unavailable
    );
    std::fs::write(dir.path().join("policy.toml"), policy).context("write the policy")?;
    let mut fleet = Fleet::new(dir.path(), &shape, programs.clone())?;
    let (hosts, addresses) = (arguments.hosts, listed(&fleet.addresses()));
    if let Front::Cloud(cloud) = &front {
        for agent in &fleet.agents {
            cloud.launch(agent).await?;
        }
        let (tag, value) = cloud::TAG;
        say(&format!(
            "{hosts} instances are launched with tag {tag}={value}, and an agent starts on each: {addresses}"
        ));
    } else {
        say(&format!("{hosts} agents start, each on an address of its own: {addresses}"));
    }
    let began = Instant::now();
    fleet.start_all()?;
    fleet.formed().await?;
    let status = fleet.status().await?;
    let leader = status.leader.unwrap_or_default();
    say(&format!(
        "they formed cluster {} by themselves ({}); {leader} leads",
        status.cluster,
        seconds(began.elapsed())
    ));
    Ok(Stage { dir, programs, front, fleet: Arc::new(Mutex::new(fleet)) })
}

fn say(text: &str) {
    let mark = if std::io::stdout().is_terminal() { "\x1b[1;36m▶\x1b[0m" } else { "▶" };
    println!("{mark} {text}");
    // Lines of children follow, which write past our buffer.
    let _ = std::io::stdout().flush();
}

fn listed(addresses: &[String]) -> String {
    match addresses {
        [first, .., last] if 4 < addresses.len() => format!("{first} … {last}"),
        few => few.join(", "),
    }
}

impl Stage {
    fn runs_of(&self, release: &str) -> PathBuf {
        self.dir.path().join(format!("{release}.migrations"))
    }

    fn release(&self, recipe: &Recipe) -> Result<PathBuf> {
        let dir = self.dir.path().join("pushed");
        releases::write(&dir, recipe, &self.programs.service, &self.runs_of(&recipe.name))
            .context("write a release")
    }

    async fn cli(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::from(self.fleet.lock().await.cli());
        command.kill_on_drop(true);
        command
    }

    async fn push(&self, release: &Path) -> tokio::process::Command {
        let mut command = self.cli().await;
        command.arg("push").arg(release).args(["--service", SERVICE, "--wait", "--by", "demo", "--policy"]);
        command.arg(self.dir.path().join("policy.toml"));
        command
    }

    async fn push_quietly(&self, release: &Path) -> Result<()> {
        let output =
            self.push(release).await.stdin(Stdio::null()).output().await.context("run deployinator push")?;
        let text = || {
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        };
        ensure!(output.status.success(), "push ended with {}:\n{}", output.status, text());
        Ok(())
    }

    /// The rollout as everybody sees it: by the command line, on this terminal.
    async fn push_live(&self, release: &Path) -> Result<u8> {
        let status =
            self.push(release).await.stdin(Stdio::null()).status().await.context("run deployinator push")?;
        let code = status.code().with_context(|| format!("deployinator push was ended by {status}"))?;
        u8::try_from(code).context("the exit code of deployinator push")
    }

    async fn sum_up(&self, totals: &Totals, took: Duration, code: u8) -> Result<()> {
        let address = self.fleet.lock().await.status().await?.answered_by;
        let fleet = self.fleet.lock().await;
        let number = fleet.number(&address).context("the host that answers")?;
        let address = fleet.agents[number].address.to_string();
        drop(fleet);
        let mut client =
            DeployinatorClient::connect(format!("http://{address}")).await.context("ask for the history")?;
        let history =
            client.history(HistoryRequest { service: SERVICE.to_owned(), limit: 0 }).await?.into_inner();
        let pushed =
            history.rollouts.iter().filter(|rollout| rollout.kind == i32::from(api::v1::RolloutKind::Push));
        let rollout = pushed.map(|rollout| rollout.id).max().context("the rollout in the history")?;
        let times = summary::times(&address, SERVICE, rollout).await?;
        println!();
        say("summary");
        print!("{}", times.table());
        println!("  push to end: {}", seconds(took));
        let Totals { requests, long_requests, uploads, .. } = totals;
        println!("  requests: {requests} sent, {long_requests} of them long, {uploads} of them uploads");
        println!("  failed: {}", totals.failed);
        for (reason, times) in &totals.reasons {
            println!("    {times} × {reason}");
        }
        let runs = releases::runs(&self.runs_of("release-2"));
        println!("  migration of release 2: ran {runs} × (counted by itself)");
        let least = self.front.in_service_min().await?;
        println!("  hosts in service: never fewer than {least} while the load ran");
        println!("  exit code: {code}");
        Ok(())
    }

    async fn keep(&self) {
        let agents = self.fleet.lock().await.addresses().join(",");
        let cli = self.programs.cli.display();
        println!();
        say("everything stays up until Ctrl-C. To try:");
        println!("  export DEPLOYINATOR_AGENTS={agents}");
        println!("  {cli} status");
        println!("  {cli} history --service {SERVICE}");
        println!("  {cli} events --service {SERVICE}");
        println!("  {cli} logs --follow --service {SERVICE}");
        println!(
            "  {cli} push {} --service {SERVICE} --wait",
            self.dir.path().join("pushed/release-1").display()
        );
        println!("  {cli} rollback --service {SERVICE} --wait");
        println!("  curl http://{}/", self.front.address());
        std::future::pending::<()>().await;
    }
}

/// Kills an agent once a host is in the middle of its change, and starts it again a second later.
async fn kill(fleet: Arc<Mutex<Fleet>>, victim: Victim, struck: Arc<AtomicBool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let number = loop {
        ensure!(Instant::now() < deadline, "waited 60 s until a host was in the middle of its change");
        let fleet = fleet.lock().await;
        if let Ok(status) = fleet.status().await
            && let Some(host) = host_to_kill(&status, victim)
        {
            break fleet.number(&host).with_context(|| format!("host {host}"))?;
        }
        drop(fleet);
        sleep(Duration::from_millis(20)).await;
    };
    let mut held = fleet.lock().await;
    struck.store(true, Ordering::Release);
    held.kill(number)?;
    drop(held);
    sleep(Duration::from_secs(1)).await;
    fleet.lock().await.start(number)
}

fn host_to_kill(status: &StatusResponse, victim: Victim) -> Option<String> {
    use api::v1::HostPhase::{Draining, Joining, Probing, Reverting, Soaking, Starting, Stopping};
    let hosts = status.services.iter().flat_map(|service| &service.hosts);
    let busy = [Draining, Stopping, Starting, Probing, Joining, Soaking, Reverting].map(i32::from);
    let mut changing =
        hosts.filter(|host| host.change.as_ref().is_some_and(|change| busy.contains(&change.phase)));
    let holder = changing.next()?.host.clone();
    match victim {
        Victim::Holder => Some(holder),
        Victim::Leader => status.leader.clone(),
    }
}
