//! A whole lab: a cloud, a cache, a builder, and hosts whose agents find each other by tags.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use demo::{programs::Programs, releases::Recipe};
use fakeaws::{Control, NewBalancer, NewInstance, NewListener, Options, Server, Settings};
use serde_json::Value;
use tokio::{
    process::Command,
    time::{Instant, sleep, timeout},
};

use crate::{
    builder::{Builder, NIX_CONFIG},
    cache::Cache,
    layout::{Around, Layout},
    machine::{Machine, Make},
    net::{Net, US},
};

/// Longest wait for anything, on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);
/// Where agents listen.
pub(crate) const AGENT: u16 = 7100;
/// Where the first service's requests go; those of the next ones go to the ports after it.
const FRONT: u16 = 80;
/// The name of a lab's first service, and of its group.
pub(crate) const WEB: &str = "web";
/// Who has this tag with this value is a host of the fleet.
pub(crate) const TAG: (&str, &str) = ("deployinator:cluster", "lab");

/// The file of the services' own account, in the lab's folder.
const TIMELINE: &str = "timeline";

/// A lab. Dropping it ends all that runs in it.
pub(crate) struct Lab {
    /// The cloud's control door.
    pub(crate) cloud: Control,
    /// The binary cache.
    pub(crate) cache: Cache,
    /// The CI job's machine.
    pub(crate) builder: Builder,
    /// The hosts.
    pub(crate) hosts: Vec<Machine>,
    /// Where requests to the services go that have a balancer.
    pub(crate) fronts: BTreeMap<String, SocketAddr>,
    /// How long long requests take, in milliseconds.
    pub(crate) long_ms: RangeInclusive<u64>,
    /// The network between them.
    pub(crate) net: Net,
    configuration: String,
    programs: Programs,
    server: Server,
    dir: tempfile::TempDir,
}

impl Lab {
    /// Sets up a cloud, with hosts that are off.
    ///
    /// # Errors
    /// Something that it needs is missing.
    pub(crate) async fn set(layout: Layout) -> Result<Self> {
        let net = Net::new()?;
        let dir =
            tempfile::Builder::new().prefix("deployinator-lab-").tempdir().context("make a directory")?;
        let at = |port| SocketAddr::from((US, port));
        let options = Options {
            api: at(4566),
            metadata: SocketAddr::from((Ipv4Addr::new(169, 254, 169, 254), 80)),
            control: SocketAddr::from(([127, 0, 0, 1], 0)),
            settings: layout.cloud.clone(),
        };
        let server = Server::start(options).await.context("start the cloud")?;
        let cloud = server.control();
        cloud.make_balancer(&NewBalancer { name: "front".to_owned(), ..NewBalancer::default() }).await?;
        let (mut fronts, mut arns) = (BTreeMap::new(), BTreeMap::new());
        for (port, service) in (FRONT..).zip(&layout.services) {
            let Some(group) = &service.group else { continue };
            let made = cloud.put_group(service.name, group).await.context("make a target group")?;
            arns.insert(service.name, made.arn);
            let listener = NewListener { address: at(port), group: service.name.to_owned() };
            let made = cloud.listen("front", &listener).await.context("make a listener")?;
            fronts.insert(service.name.to_owned(), made.address);
        }
        let cache = Cache::start(&dir.path().join("cache"), at(8092)).await?;
        let builder = Builder::new(dir.path())?;
        let programs = Programs::find()?;
        let timeline = dir.path().join(TIMELINE);
        let around = Around { cache: &cache.url, key: &builder.public_key, timeline: &timeline };
        let configuration = layout.configuration(&around, &arns);
        let long_ms = layout.long_ms;
        let hosts = Vec::new();
        let mut lab =
            Self { cloud, cache, builder, hosts, fronts, long_ms, net, configuration, programs, server, dir };
        for _ in 0..layout.hosts {
            lab.launch(Make::default()).await?;
        }
        Ok(lab)
    }

    /// Launches one more instance, and leaves it off.
    ///
    /// # Errors
    /// A program fails.
    pub(crate) async fn launch(&mut self, mut make: Make) -> Result<usize> {
        let number = u8::try_from(self.hosts.len() + 1).context("too many hosts")?;
        make.environment.extend([
            ("AWS_ENDPOINT_URL".to_owned(), self.server.api_url()),
            ("NIX_CONFIG".to_owned(), NIX_CONFIG.to_owned()),
            ("RUST_BACKTRACE".to_owned(), "0".to_owned()),
        ]);
        let machine = Machine::new(&self.net, number, self.dir.path(), make)?;
        let zone = ["a", "b", "c"][usize::from(number) % 3];
        let instance = NewInstance {
            id: Some(instance(number)),
            tags: BTreeMap::from([(TAG.0.to_owned(), TAG.1.to_owned())]),
            private_ipv4: Some(machine.address),
            zone: Some(format!("{}{zone}", Settings::default().region)),
            role: Some("host".to_owned()),
            ..NewInstance::default()
        };
        self.cloud.launch(&instance).await.context("launch an instance")?;
        machine.configure(&self.configuration)?;
        self.hosts.push(machine);
        Ok(self.hosts.len() - 1)
    }

    /// Switches a host on, and starts its agent.
    ///
    /// # Errors
    /// It does not come up.
    pub(crate) fn boot(&mut self, host: usize) -> Result<()> {
        self.hosts[host].switch_on()?;
        self.start_agent(host)
    }

    /// Starts the agent of a host that is on.
    ///
    /// # Errors
    /// It runs.
    pub(crate) fn start_agent(&mut self, host: usize) -> Result<()> {
        self.hosts[host].start_agent(&self.programs.agent)
    }

    /// Boots all hosts, and waits until their agents have formed a cluster.
    ///
    /// # Errors
    /// They do not.
    pub(crate) async fn form(&mut self) -> Result<()> {
        for host in 0..self.hosts.len() {
            self.boot(host)?;
        }
        let all = self.hosts.len();
        self.wait("all hosts are in the cluster", async |lab: &Self| {
            let status = lab.status().await?;
            let web = &status["services"][0];
            Ok(web["hosts"].as_array().is_some_and(|hosts| hosts.len() == all))
        })
        .await
    }

    /// Builds, signs and publishes a release.
    ///
    /// # Errors
    /// Nix fails.
    pub(crate) fn release(&self, recipe: &Recipe) -> Result<String> {
        let path = self.builder.build(recipe)?;
        self.builder.sign(&path)?;
        self.builder.publish(&path, &self.cache.folder)?;
        Ok(path)
    }

    /// The command line, with every agent to speak to.
    pub(crate) fn cli(&self, words: &[&str]) -> Command {
        let agents: Vec<String> = self.hosts.iter().map(|host| format!("{}:{AGENT}", host.address)).collect();
        let mut command = Command::new(&self.programs.cli);
        command.args(words).env("DEPLOYINATOR_AGENTS", agents.join(",")).stdin(Stdio::null());
        command.kill_on_drop(true);
        command
    }

    /// Runs the command line to its end.
    ///
    /// # Errors
    /// It does not end in time.
    pub(crate) async fn ask(&self, words: &[&str]) -> Result<Output> {
        let ended = timeout(Duration::from_secs(300), self.cli(words).output()).await;
        ended
            .with_context(|| format!("deployinator {} does not end", words.join(" ")))?
            .context("run the CLI")
    }

    /// Pushes a release of the first service, waits for its end, and says with which exit code.
    ///
    /// # Errors
    /// It does not end in time.
    pub(crate) async fn push(&self, path: &str, policy: &str) -> Result<(i32, String)> {
        self.push_to(WEB, path, policy).await
    }

    /// Pushes a release of a service, waits for its end, and says with which exit code.
    ///
    /// # Errors
    /// It does not end in time.
    pub(crate) async fn push_to(&self, service: &str, path: &str, policy: &str) -> Result<(i32, String)> {
        let policy = self.policy(policy)?.display().to_string();
        let said = self.ask(&["push", path, "--service", service, "--policy", &policy, "--wait"]).await?;
        let text =
            format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        Ok((said.status.code().unwrap_or(-1), text))
    }

    /// Where services note what they do when.
    pub(crate) fn timeline(&self) -> PathBuf {
        self.dir.path().join(TIMELINE)
    }

    /// Writes a policy.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn policy(&self, text: &str) -> Result<PathBuf> {
        // One of its own: two services may be pushed to at once.
        let file = tempfile::Builder::new().prefix("policy-").suffix(".toml").tempfile_in(self.dir.path());
        let (_, path) = file.context("make a policy")?.keep().context("keep a policy")?;
        fs::write(&path, text).context("write a policy")?;
        Ok(path)
    }

    /// What `status` says.
    ///
    /// # Errors
    /// Nobody answers.
    pub(crate) async fn status(&self) -> Result<Value> {
        let said = self.ask(&["status", "--output", "json"]).await?;
        ensure!(
            said.status.success(),
            "status: {}{}",
            String::from_utf8_lossy(&said.stdout),
            String::from_utf8_lossy(&said.stderr)
        );
        serde_json::from_slice(&said.stdout).context("read the status")
    }

    /// Waits for something.
    ///
    /// # Errors
    /// It does not come in time.
    pub(crate) async fn wait(&self, what: &str, there: impl AsyncFn(&Self) -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let last = match there(self).await {
                Ok(true) => return Ok(()),
                Ok(false) => "not yet".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            ensure!(Instant::now() < deadline, "waited {} s for: {what}; last: {last}", PATIENCE.as_secs());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// The ends of the agents' logs, for whoever looks at a failure.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for host in &self.hosts {
            let log = fs::read_to_string(host.log()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(40)..].join("\n");
            text.push_str(&format!("--- h{}\n{last}\n", host.number));
        }
        text
    }
}

/// The id of the instance that a host is.
pub(crate) fn instance(number: u8) -> String {
    format!("i-{number:017x}")
}
